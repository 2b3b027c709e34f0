//! The `User` aggregate: an account, its role, its credential, its e-mail address, its lock and its end.

mod decide;
mod event;
mod proof;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

pub use decide::{
    Authority, ChangePassword, ChangeRole, ConfirmEmail, Erase, Lock, MAX_RESET_REQUESTS,
    MAX_VERIFICATION_REQUESTS, RESET_REQUEST_WINDOW, RegisterUser, RehashPassword,
    RequestEmailVerification, RequestPasswordReset, ResetPassword, RevokeSessions, Unlock,
    UserCommand, UserRefusal, VERIFICATION_REQUEST_WINDOW, VerificationLink,
};
pub use event::{
    EmailChanged, EmailVerificationRequested, EmailVerified, PasswordChanged, PasswordRehashed,
    PasswordReset, PasswordResetRequested, RaisedEpoch, RoleChanged, SessionsRevoked, UserErased,
    UserEvent, UserLocked, UserRegistered, UserUnlocked,
};
pub use proof::ProvedEpoch;

use crate::{CredentialId, Email, ResetId, Role, SessionId, Timestamp, VerificationId};

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
    /// The one of them that has not.
    pub kept_session: Option<SessionId>,
    /// Whether nobody can sign in to it.
    pub locked: bool,
    /// Its e-mail address.
    pub email: Option<Email>,
    /// Whether that is known to be its person's.
    pub email_verified: bool,
    /// The one reset that can still be carried out.
    pub pending_reset: Option<PendingReset>,
    /// The one link about an e-mail address that is still good.
    pub pending_verification: Option<PendingVerification>,
    /// The links that were last asked for.
    pub recent_requests: RecentRequests,
}

/// The mailed links that were last asked for: what limits how many an account is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentRequests {
    /// When links about e-mail addresses were asked for; at most [`MAX_VERIFICATION_REQUESTS`], oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    verifications: Vec<Timestamp>,
    /// Which password resets were asked for, and when; at most [`MAX_RESET_REQUESTS`], oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    resets: Vec<(ResetId, Timestamp)>,
}

impl RecentRequests {
    /// The types of the events that make requests, and of how many of each type at most the last ones count.
    pub const EVENT_TYPES: [(&str, usize); 2] = [
        ("EmailVerificationRequested", MAX_VERIFICATION_REQUESTS),
        ("PasswordResetRequested", MAX_RESET_REQUESTS),
    ];

    /// Adds the request that the event makes, if it makes one. The order of events of different types does not matter.
    pub fn apply(&mut self, event: &UserEvent) {
        match event {
            UserEvent::EmailVerificationRequested(event) => {
                push_bounded(&mut self.verifications, event.at, MAX_VERIFICATION_REQUESTS);
            }
            UserEvent::PasswordResetRequested(event) => {
                push_bounded(
                    &mut self.resets,
                    (event.reset, event.at),
                    MAX_RESET_REQUESTS,
                );
            }
            _ => {}
        }
    }
}

/// Adds `item` at the end and removes the oldest items that are more than `max`.
fn push_bounded<T>(items: &mut Vec<T>, item: T, max: usize) {
    items.push(item);
    let surplus = items.len().saturating_sub(max);
    items.drain(..surplus);
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

/// A link about an e-mail address that was asked for and not yet followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingVerification {
    /// Which request.
    pub verification: VerificationId,
    /// The address that the account is to have; `None` for the one that it has.
    pub email: Option<Email>,
    /// From this instant on the link is no good.
    pub expires_at: Timestamp,
}

impl PendingVerification {
    /// Whether this is the request `verification` and its link is good at `now`.
    pub fn allows(&self, verification: VerificationId, now: Timestamp) -> bool {
        self.verification == verification && now < self.expires_at
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
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: UserEvent) {
        match (&mut *self, event) {
            (_, UserEvent::UserRegistered(event)) => {
                *self = Self::Registered(Registered::new(&event));
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
    /// The account that was just registered.
    pub fn new(event: &UserRegistered) -> Self {
        Self {
            role: event.role,
            credential: event.credential,
            session_epoch: 0,
            kept_session: None,
            locked: false,
            email: event
                .email
                .as_ref()
                .and_then(|email| email.known().cloned()),
            email_verified: false,
            pending_reset: None,
            pending_verification: None,
            recent_requests: RecentRequests::default(),
        }
    }

    /// Applies a later event of the account. A registration and an erasure change nothing here: they begin and end the
    /// account.
    pub fn apply(&mut self, event: UserEvent) {
        if let Some(raised) = event.raised_epoch() {
            self.session_epoch = raised.epoch;
            self.kept_session = raised.kept_session;
            self.forget_new_address();
        }
        self.recent_requests.apply(&event);
        match event {
            UserEvent::UserRegistered(_) | UserEvent::UserErased(_) => {}
            UserEvent::PasswordResetRequested(event) => {
                self.pending_reset = Some(PendingReset {
                    reset: event.reset,
                    expires_at: event.expires_at,
                });
            }
            UserEvent::PasswordReset(event) => {
                self.credential = event.credential;
                self.pending_reset = None;
                self.pending_verification = None;
                // The link was mailed to the address.
                self.email_verified = self.email.is_some();
            }
            UserEvent::PasswordChanged(event) => {
                self.credential = event.credential;
                self.pending_reset = None;
            }
            UserEvent::SessionsRevoked(_) => {}
            UserEvent::RoleChanged(event) => self.role = event.role,
            UserEvent::UserLocked(_) => self.locked = true,
            UserEvent::UserUnlocked(_) => self.locked = false,
            UserEvent::EmailVerificationRequested(event) => {
                self.pending_verification = Some(PendingVerification {
                    verification: event.verification,
                    email: event.email.and_then(|email| email.known().cloned()),
                    expires_at: event.expires_at,
                });
            }
            UserEvent::EmailVerified(_) => {
                self.email_verified = true;
                self.pending_verification = None;
            }
            UserEvent::EmailChanged(event) => {
                self.email = event.email.known().cloned();
                self.email_verified = true;
                self.pending_verification = None;
                self.pending_reset = None;
            }
            UserEvent::PasswordRehashed(event) => self.credential = event.credential,
        }
    }

    /// A link to a new address counts for the session epoch in which it was asked for: who takes an account back must not
    /// lose it to a link that was mailed to another mailbox before.
    fn forget_new_address(&mut self) {
        self.pending_verification.take_if(|it| it.email.is_some());
    }
}
