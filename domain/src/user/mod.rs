//! The `User` aggregate: an account, its role, its credential, its pending password reset and its end.

mod decide;
mod event;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

pub use decide::{
    ChangeRole, Erase, MAX_RESET_REQUESTS, RESET_REQUEST_WINDOW, RegisterUser, RehashPassword,
    RequestPasswordReset, ResetPassword, UserCommand, UserRefusal,
};
pub use event::{
    PasswordRehashed, PasswordReset, PasswordResetRequested, RoleChanged, UserErased, UserEvent,
    UserRegistered,
};

use crate::{CredentialId, ResetId, Role, Timestamp};

/// An account as its events so far have made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum User {
    /// Nobody has registered under this id.
    #[default]
    Unregistered,
    /// The account exists.
    Registered(Registered),
    /// There was an account. Nothing can happen to it any more, and nothing is left of its person.
    Erased,
}

/// What later decisions about a registered account depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// What the account may do.
    pub role: Role,
    /// The password that signs it in.
    pub credential: CredentialId,
    /// Sessions started under an earlier epoch have ended.
    pub session_epoch: u32,
    /// The one reset that can still be carried out.
    pub pending_reset: Option<PendingReset>,
    /// The resets that were last asked for, and when; no more than [`MAX_RESET_REQUESTS`].
    reset_requests: Vec<(ResetId, Timestamp)>,
}

/// A password reset that was asked for and not yet carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingReset {
    /// Which request.
    pub reset: ResetId,
    /// From this instant on it can no longer be carried out.
    pub expires_at: Timestamp,
}

impl PendingReset {
    /// Whether this is the request `reset` and it can be carried out at `now`.
    pub fn allows(&self, reset: ResetId, now: Timestamp) -> bool {
        self.reset == reset && now < self.expires_at
    }
}

impl User {
    /// The registered account, if there is one.
    pub fn registered(&self) -> Option<&Registered> {
        match self {
            Self::Unregistered | Self::Erased => None,
            Self::Registered(account) => Some(account),
        }
    }
}

impl Aggregate for User {
    const TYPE: &'static str = "user";
    type Command = UserCommand;
    type Event = UserEvent;
    type Error = UserRefusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: UserCommand,
        _services: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), UserRefusal> {
        for event in decide::decide(self, command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: UserEvent) {
        match (&mut *self, event) {
            (_, UserEvent::UserRegistered(event)) => {
                *self = Self::Registered(Registered {
                    role: event.role,
                    credential: event.credential,
                    session_epoch: 0,
                    pending_reset: None,
                    reset_requests: Vec::new(),
                });
            }
            (_, UserEvent::UserErased(_)) => *self = Self::Erased,
            (Self::Registered(account), event) => account.apply(event),
            // No event but a registration can come first and none can come after an erasure: `decide` refuses every
            // other command.
            (Self::Unregistered | Self::Erased, _) => {}
        }
    }
}

impl Registered {
    fn apply(&mut self, event: UserEvent) {
        match event {
            UserEvent::UserRegistered(_) | UserEvent::UserErased(_) => {}
            UserEvent::PasswordResetRequested(event) => {
                self.pending_reset = Some(PendingReset {
                    reset: event.reset,
                    expires_at: event.expires_at,
                });
                self.reset_requests.push((event.reset, event.at));
                let surplus = self.reset_requests.len().saturating_sub(MAX_RESET_REQUESTS);
                self.reset_requests.drain(..surplus);
            }
            UserEvent::PasswordReset(event) => {
                self.credential = event.credential;
                self.session_epoch = event.session_epoch;
                self.pending_reset = None;
            }
            UserEvent::PasswordRehashed(event) => self.credential = event.credential,
            UserEvent::RoleChanged(event) => {
                self.role = event.role;
                self.session_epoch = event.session_epoch.unwrap_or(self.session_epoch);
            }
        }
    }
}
