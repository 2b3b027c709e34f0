//! The queue of logout tokens that clients are to get, and how one is sent (OpenID Connect Back-Channel Logout 1.0).

use async_trait::async_trait;
use authlog_domain::{ClientId, HttpsUri, SessionId, Timestamp, UserId};

use super::StoreError;

/// The outcome of reading the next ends of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueuedLogouts {
    /// The log has no event that was not read.
    Idle,
    /// What was not read ends no session, and nothing was written.
    Nothing,
    /// Another node is reading.
    Busy,
    /// No client gets logout tokens, so the ends of sessions were passed over.
    Unused,
    /// Everything was read.
    Done,
    /// There is more to read.
    More,
}

/// A client that is to get logout tokens, leased by one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutReceiver {
    /// The client.
    pub client: ClientId,
    /// How often it was leased.
    pub leases: u64,
    /// How many attempts to reach it have failed since the last one that succeeded.
    pub failures: u32,
    /// When the first of these attempts failed.
    pub failing_since: Option<Timestamp>,
}

/// A session of a client that has ended, of which the client is to be informed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueLogout {
    /// The session of the client (`sid`).
    pub session: SessionId,
    /// The account (`sub`).
    pub user: UserId,
    /// When the session ended.
    pub ended_at: Timestamp,
    /// How often the client refused the token.
    pub refusals: u32,
}

/// The logout tokens that wait for one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingLogouts {
    /// How many there are.
    pub count: u64,
    /// When the first of their sessions ended.
    pub oldest: Timestamp,
    /// Since when the client has not been reached; `None` if the last attempt succeeded.
    pub failing_since: Option<Timestamp>,
}

/// The durable queue of logout tokens. The tokens themselves are made when they are sent.
///
/// The queue is filled from the log: each event that ends sessions leads to an entry for each of these sessions that belongs to a
/// client with a URI for logout tokens. The place up to which the log was read is stored in the same commit, so no session is
/// missed, and none is queued twice while it waits. An erasure queues the sessions that it deletes itself.
#[async_trait]
pub trait LogoutQueue: Send + Sync {
    /// Reads the next events that end sessions, and queues up to about `at_most` sessions. Nodes may call it concurrently.
    async fn queue_logouts(&self, at_most: u32) -> Result<QueuedLogouts, StoreError>;

    /// Leases up to `limit` clients with due entries until `leased_until`, those that have waited longest first. No other node
    /// gets them until then.
    async fn lease_receivers(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<LogoutReceiver>, StoreError>;

    /// Stores the failures of a leased client, and makes it due again at `due_at`. It has no effect if the client was leased
    /// again meanwhile.
    async fn return_receiver(
        &self,
        receiver: &LogoutReceiver,
        due_at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Up to `limit` entries of the client that are due at `now`: first those that were never sent, in the order in which their
    /// sessions ended.
    async fn due_logouts(
        &self,
        client: &ClientId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueLogout>, StoreError>;

    /// Removes the entry of this session for good.
    async fn complete_logout(&self, session: SessionId) -> Result<(), StoreError>;

    /// Counts a refusal of the entry of this session, and makes it due again at `due_at`.
    async fn postpone_logout(
        &self,
        session: SessionId,
        due_at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Removes up to `limit` entries of a client that gets no logout tokens any more. Returns how many it removed.
    async fn forget_logouts(&self, client: &ClientId, limit: u32) -> Result<u64, StoreError>;

    /// What waits for the client; `None` if nothing does.
    async fn waiting_logouts(
        &self,
        client: &ClientId,
    ) -> Result<Option<WaitingLogouts>, StoreError>;

    /// Makes a client that waits after a failure due at once. One that is being served at this moment may get a token twice.
    async fn retry_logouts(&self, client: &ClientId) -> Result<(), StoreError>;

    /// How many clients for which something waits were not reached at the last attempt.
    async fn failing_receivers(&self) -> Result<u64, StoreError>;
}

/// Why a logout token was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum LogoutSendError {
    /// The client answered this token with a status that may be about this token alone.
    #[error("it answered with the status {0}")]
    Refused(u16),
    /// The client could not be reached, did not answer in time, or answered that it does not work at the moment.
    #[error("{0}")]
    Failed(String),
}

/// Sends logout tokens to clients.
#[async_trait]
pub trait LogoutSender: Send + Sync {
    /// Sends `token` to the `uri` of a client. It ends within ten seconds.
    ///
    /// # Errors
    /// See [`LogoutSendError`]. The client may have received the token.
    async fn send_logout(&self, uri: &HttpsUri, token: &str) -> Result<(), LogoutSendError>;
}
