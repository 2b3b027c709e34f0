//! The recent requests of an account as JSON, for its row in both stores.
//!
//! The JSON contains the version of the row that it belongs to. A node of an earlier version of this program updates
//! the row and leaves the column as it was; its version then differs from the row's, and the requests count as unknown.

use authlog_application::ports::Account;
use authlog_domain::user::RecentRequests;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Stored<T> {
    version: u64,
    #[serde(flatten)]
    requests: T,
}

/// What the column holds for this row; `None` where the requests are not known.
pub(crate) fn to_stored(account: &Account) -> Option<String> {
    let requests = account.recent_requests.as_ref()?;
    let version = account.version;
    serde_json::to_string(&Stored { version, requests }).ok()
}

/// The requests that the column of a row of this version holds, if they belong to it.
pub(crate) fn from_stored(
    stored: Option<&str>,
    version: u64,
) -> Result<Option<RecentRequests>, serde_json::Error> {
    let stored: Option<Stored<RecentRequests>> = stored.map(serde_json::from_str).transpose()?;
    Ok(stored
        .filter(|stored| stored.version == version)
        .map(|stored| stored.requests))
}
