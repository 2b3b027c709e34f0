//! What can have happened in a session. Stored for ever: names and members never change meaning.

use serde::{Deserialize, Serialize};

use crate::catalogue::{catalogued, stored_in_current_versions};
use crate::{RevocationReason, Rotation, Timestamp, UserId};

/// An event of the `Session` aggregate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SessionEvent {
    /// Someone signed in.
    LoggedIn(LoggedIn),
    /// A refresh token was exchanged.
    TokenRefreshed(TokenRefreshed),
    /// A refresh token came back after it had been replaced: it was copied, and the session has ended.
    RefreshTokenReused(RefreshTokenReused),
    /// The person ended the session.
    LoggedOut(LoggedOut),
    /// The session was ended from outside it.
    SessionRevoked(SessionRevoked),
}

/// Someone signed in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedIn {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub user: UserId,
    /// The account's session epoch under which the password was checked.
    pub epoch: u32,
    /// How the session's refresh token behaves; `None` where it has none.
    pub rotation: Option<Rotation>,
    /// From this instant on none of the session's tokens is good, unless it is refreshed before.
    pub expires_at: Timestamp,
}

/// A refresh token was exchanged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenRefreshed {
    /// When.
    pub at: Timestamp,
    /// The generation that is current from now on.
    pub generation: u32,
    /// From this instant on none of the session's tokens is good, unless it is refreshed before.
    pub expires_at: Timestamp,
}

/// A refresh token came back after it had been replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefreshTokenReused {
    /// When.
    pub at: Timestamp,
    /// The generation of the token that came back.
    pub generation: u32,
}

/// The person ended the session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedOut {
    /// When.
    pub at: Timestamp,
}

/// The session was ended from outside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionRevoked {
    /// When.
    pub at: Timestamp,
    /// On whose wish.
    pub reason: RevocationReason,
}

catalogued!(SessionEvent: LoggedIn, TokenRefreshed, RefreshTokenReused, LoggedOut, SessionRevoked);

stored_in_current_versions!(SessionEvent);
