//! The `Session` aggregate: one sign-in, its refresh token's generations and its end.

mod decide;
mod event;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

pub use decide::{
    Limits, LogOut, RefreshSession, RevokeSession, SessionCommand, SessionRefusal, StartSession,
};
pub use event::{
    LoggedIn, LoggedOut, RefreshTokenReused, SessionEvent, SessionRevoked, TokenRefreshed,
};

use crate::{Timestamp, UserId};

/// Whether a refresh token works once or until it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rotation {
    /// Each use replaces it; a use after that, beyond the grace, ends the session (RFC 9700 §4.14.2).
    Rotating,
    /// It works until it expires or the session ends.
    Reusable,
}

/// On whose wish a session was ended from outside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationReason {
    /// The account's own, from another session.
    Owner,
    /// An administrator's.
    Administrator,
}

impl RevocationReason {
    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Administrator => "administrator",
        }
    }
}

/// A session as its events so far have made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Session {
    /// Nobody has signed in under this id.
    #[default]
    NotStarted,
    /// Someone has.
    Started(Started),
}

/// What later decisions about a started session depend on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Whose session it is.
    pub user: UserId,
    /// The account's session epoch when it started.
    pub epoch: u32,
    /// How its refresh token behaves; `None` where it has none.
    pub rotation: Option<Rotation>,
    /// The generation of the refresh token that is current.
    pub generation: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// When it was last refreshed, or started.
    pub last_used_at: Timestamp,
    /// When the current generation replaced the one before it.
    pub rotated_at: Timestamp,
    /// From this instant on none of its tokens is good.
    pub expires_at: Timestamp,
    /// When it was ended before it expired.
    pub ended_at: Option<Timestamp>,
}

impl Session {
    /// The session, if it started.
    pub fn started(&self) -> Option<&Started> {
        match self {
            Self::NotStarted => None,
            Self::Started(session) => Some(session),
        }
    }
}

impl Started {
    /// The session that was just started.
    pub fn new(event: &LoggedIn) -> Self {
        Self {
            user: event.user,
            epoch: event.epoch,
            rotation: event.rotation,
            generation: 0,
            started_at: event.at,
            last_used_at: event.at,
            rotated_at: event.at,
            expires_at: event.expires_at,
            ended_at: None,
        }
    }

    /// Applies a later event of the session. A login changes nothing here: it begins the session.
    pub fn apply(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::LoggedIn(_) => {}
            SessionEvent::TokenRefreshed(event) => {
                if event.generation > self.generation {
                    self.generation = event.generation;
                    self.rotated_at = event.at;
                }
                self.last_used_at = event.at;
                self.expires_at = event.expires_at;
            }
            SessionEvent::RefreshTokenReused(_)
            | SessionEvent::LoggedOut(_)
            | SessionEvent::SessionRevoked(_) => self.ended_at = Some(event.at()),
        }
    }

    /// Whether the session counts at `now`, for an account whose session epoch is `account_epoch`.
    pub fn is_live(&self, account_epoch: u32, now: Timestamp) -> bool {
        self.ended_at.is_none() && self.epoch == account_epoch && now < self.expires_at
    }
}

impl Aggregate for Session {
    const TYPE: &'static str = "session";
    type Command = SessionCommand;
    type Event = SessionEvent;
    type Error = SessionRefusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: SessionCommand,
        _services: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), SessionRefusal> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: SessionEvent) {
        match (&mut *self, event) {
            (_, SessionEvent::LoggedIn(event)) => *self = Self::Started(Started::new(&event)),
            (Self::Started(session), event) => session.apply(&event),
            // No event but a login can come first: `decide` refuses every other command.
            (Self::NotStarted, _) => {}
        }
    }
}
