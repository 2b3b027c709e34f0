//! How a session's owner was authenticated, as a column of its row.

use authlog_application::ports::SessionRecord;
use authlog_domain::{Authentication, Timestamp};

/// The column's text: JSON. `None` for a password alone, as in the rows of versions before the column.
pub(crate) fn authentication_text(session: &SessionRecord) -> Option<String> {
    let by_password = Authentication::by_password(session.started_at);
    (session.authentication != by_password)
        // Serialisation of strings and lists of them does not fail.
        .then(|| serde_json::to_string(&session.authentication).unwrap_or_default())
}

/// What the column says of a session that started at `started_at`.
///
/// # Errors
/// The column holds something else.
pub(crate) fn authentication_from(
    text: Option<&str>,
    started_at: Timestamp,
) -> Result<Authentication, serde_json::Error> {
    text.map_or(
        Ok(Authentication::by_password(started_at)),
        serde_json::from_str,
    )
}
