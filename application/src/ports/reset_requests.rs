//! The durable queue of requests to reset a password.

use async_trait::async_trait;
use authlog_domain::{ResetId, Timestamp};

use super::StoreError;
use crate::RequestContext;

/// Someone asked to reset the password of whoever is called `identifier`. Whether anybody is gets found out later, so
/// that the answer to the request takes as long either way.
#[derive(Clone)]
pub struct ResetRequest {
    /// Names the request, and the reset if there will be one.
    pub reset: ResetId,
    /// What was typed, bounded in length by the caller.
    pub identifier: String,
    /// When.
    pub at: Timestamp,
    /// Through what and from where.
    pub context: RequestContext,
    /// How often it was tried to carry it out.
    pub attempts: u32,
    /// How often its mail was handed over and not acknowledged.
    pub unacknowledged: u32,
}

/// A queue that survives a crash, of which each entry is handled at least once, by one node at a time.
#[async_trait]
pub trait ResetRequests: Send + Sync {
    /// Puts a request in. When it returns, the request survives a crash.
    async fn enqueue(&self, request: &ResetRequest) -> Result<(), StoreError>;

    /// Takes up to `limit` requests that are due at `now`, oldest first, and hides them until `leased_until`: if they
    /// are neither completed nor postponed by then, they are due again. Each take adds one to `attempts`.
    async fn take_due(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ResetRequest>, StoreError>;

    /// Removes a request for good.
    async fn complete(&self, reset: ResetId) -> Result<(), StoreError>;

    /// Makes a request due again at `at`, and stores how often its mail was not acknowledged. A request that was taken again
    /// since is left alone.
    async fn postpone(&self, request: &ResetRequest, at: Timestamp) -> Result<(), StoreError>;
}
