//! The durable queue of requests to reset a password.

use async_trait::async_trait;
use authlog_domain::{ResetId, Timestamp};

use super::StoreError;
use crate::RequestContext;

/// A queued request to reset the password of the account that `identifier` names. The account is looked up later, so
/// that the answer takes equally long whether it exists or not.
#[derive(Clone)]
pub struct ResetRequest {
    /// The id of the request, from which the id of the reset is derived
    /// ([`SecretTokens::reset_of`](super::SecretTokens::reset_of)).
    pub reset: ResetId,
    /// What was typed, bounded in length by the caller.
    pub identifier: String,
    /// When the request was made.
    pub at: Timestamp,
    /// The origin of the request.
    pub context: RequestContext,
    /// How often it was leased.
    pub attempts: u32,
    /// How often its mail was sent without an acknowledgement by the server.
    pub unacknowledged: u32,
}

/// A queue that survives a crash. Each entry is handled at least once, by one node at a time.
#[async_trait]
pub trait ResetRequests: Send + Sync {
    /// Queues a request. When this returns, the request survives a crash.
    async fn enqueue(&self, request: &ResetRequest) -> Result<(), StoreError>;

    /// Leases up to `limit` requests that are due at `now`, oldest first, until `leased_until`. A request that is
    /// neither completed nor postponed by then is due again. Each lease adds one to `attempts`.
    async fn take_due(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ResetRequest>, StoreError>;

    /// Removes a request for good.
    async fn complete(&self, reset: ResetId) -> Result<(), StoreError>;

    /// Makes a request due again at `at`, and stores its count of unacknowledged mails. It has no effect if the request
    /// was leased again meanwhile.
    async fn postpone(&self, request: &ResetRequest, at: Timestamp) -> Result<(), StoreError>;
}
