//! The `Session` aggregate: one sign-in, the generations of its refresh token, and its end.

mod client_grant;
mod decide;
mod event;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

pub use client_grant::ClientGrant;
pub use decide::{
    Limits, LogOut, RefreshSession, ReuseCode, RevokeSession, SessionCommand, SessionRefusal,
    StartSession, StepUp,
};
pub use event::{
    AuthorizationCodeReused, LoggedIn, LoggedOut, RefreshTokenReused, SessionEvent, SessionRevoked,
    SteppedUp, TokenRefreshed,
};

use crate::{Authentication, SessionId, Timestamp, UserId};

/// Whether a refresh token works once or until it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rotation {
    /// Each use replaces the token. A later use of the replaced token, after the grace, ends the session (RFC 9700
    /// §4.14.2).
    Rotating,
    /// The token works until it expires or the session ends.
    Reusable,
}

/// Who revoked a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationReason {
    /// The owner of the account, from another session.
    Owner,
    /// An administrator. In events of earlier versions, this can also be the operator.
    Administrator,
    /// The operator, at the command line.
    Operator,
    /// The owner, by withdrawing the consent to the application of the session.
    ConsentWithdrawn,
    /// The device code of the session came back before the session was refreshed: the answer with its tokens was lost, or the code
    /// was copied.
    DeviceCodeRepeated,
}

impl RevocationReason {
    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Administrator => "administrator",
            Self::Operator => "operator",
            Self::ConsentWithdrawn => "consent-withdrawn",
            Self::DeviceCodeRepeated => "device-code-repeated",
        }
    }
}

/// The state of a session.
#[expect(
    clippy::large_enum_variant,
    reason = "a command has one aggregate, which is nearly always a started session"
)]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Session {
    /// No session with this id has started.
    #[default]
    NotStarted,
    /// The session has started.
    Started(Started),
}

/// The state of a started session, as far as later decisions depend on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// The account of the session.
    pub user: UserId,
    /// The account's session epoch when the session started.
    pub epoch: u32,
    /// How the refresh token behaves. `None` if the session has none.
    pub rotation: Option<Rotation>,
    /// The current generation of the refresh token.
    pub generation: u32,
    /// When the session started.
    pub started_at: Timestamp,
    /// When the session was last refreshed, or when it started.
    pub last_used_at: Timestamp,
    /// When the current generation replaced the previous one.
    pub rotated_at: Timestamp,
    /// The instant from which no token of the session is valid.
    pub expires_at: Timestamp,
    /// When the session was ended, if that was before it expired.
    pub ended_at: Option<Timestamp>,
    /// How the person was authenticated.
    pub authentication: Authentication,
    /// What was granted to an application. `None` for a session of a person.
    pub grant: Option<ClientGrant>,
}

impl Session {
    /// The state, if the session has started.
    pub fn started(&self) -> Option<&Started> {
        match self {
            Self::NotStarted => None,
            Self::Started(session) => Some(session),
        }
    }
}

impl Started {
    /// The state of a session that has just started.
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
            authentication: event.authentication(),
            grant: event.grant(),
        }
    }

    /// Applies a later event of the session. `LoggedIn` changes nothing here, because it starts the session.
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
            SessionEvent::SteppedUp(event) => self.authentication = event.authentication(),
            SessionEvent::RefreshTokenReused(_)
            | SessionEvent::AuthorizationCodeReused(_)
            | SessionEvent::LoggedOut(_)
            | SessionEvent::SessionRevoked(_) => self.ended_at = Some(event.at()),
        }
    }

    /// The session that this one ends with.
    pub fn parent(&self) -> Option<SessionId> {
        self.grant.as_ref()?.parent
    }

    /// Whether the session is live at `now`, for an account with the session epoch `account_epoch`. A session with a parent also
    /// has to have a live one, which is not known here.
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
            // `LoggedIn` is always the first event: `decide` refuses every other command before it.
            (Self::NotStarted, _) => {}
        }
    }
}
