//! The `User` aggregate: an account, its role, its credential, its e-mail address, its lock and its end.

mod breached_password;
mod consents;
mod decide;
mod event;
mod factor_labels;
mod passkeys;
mod proof;
mod second_factors;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

pub use breached_password::{PasswordFoundBreached, ReportBreachedPassword};
pub use consents::{
    Consent, ConsentGiven, ConsentWithdrawn, Consents, GiveConsent, MAX_CONSENTS, WithdrawConsent,
};
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
pub use factor_labels::{FactorRenamed, RenameFactor};
pub use passkeys::{
    EnrolPasskey, EnrolledPasskey, NotePasskeyCounter, PasskeyCounterWentBack, PasskeyEnrolled,
};
pub use proof::ProvedEpoch;
pub use second_factors::{
    EnrolTotp, EnrolledTotp, FactorRemoved, ImportedTotp, IssueRecoveryCodes, MAX_FACTORS,
    RECOVERY_CODES, RecoveryCodeUsed, RecoveryCodes, RecoveryCodesIssued, RemoveFactor,
    SecondFactors, TotpEnrolled, UseRecoveryCode,
};

use crate::{CredentialId, Email, EventKind, ResetId, Role, SessionId, Timestamp, VerificationId};

/// The state of an account.
#[expect(
    clippy::large_enum_variant,
    reason = "a command has one aggregate, which is nearly always a registered account"
)]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum User {
    /// No account with this id is registered.
    #[default]
    Unregistered,
    /// The account is registered.
    Registered(Registered),
    /// The account was erased. No event follows, and no personal data is left.
    Erased,
}

/// The state of a registered account, as far as later decisions depend on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// The role of the account.
    pub role: Role,
    /// The id of the current password hash.
    pub credential: CredentialId,
    /// The session epoch. Sessions that started under an earlier one have ended.
    pub session_epoch: u32,
    /// The kept session: the one session of an earlier epoch that has not ended.
    pub kept_session: Option<SessionId>,
    /// Whether the account is locked.
    pub locked: bool,
    /// The e-mail address.
    pub email: Option<Email>,
    /// Whether the address is verified.
    pub email_verified: bool,
    /// The pending password reset.
    pub pending_reset: Option<PendingReset>,
    /// The pending verification link.
    pub pending_verification: Option<PendingVerification>,
    /// The latest requests for mailed links, which limit further requests.
    pub recent_requests: RecentRequests,
    /// The second factors.
    pub second_factors: SecondFactors,
    /// What the person consented to.
    pub consents: Consents,
}

/// The latest requests for mailed links. They limit how many links are sent for an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentRequests {
    /// When verification links were requested: at most [`MAX_VERIFICATION_REQUESTS`], oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    verifications: Vec<Timestamp>,
    /// Which password resets were requested, and when: at most [`MAX_RESET_REQUESTS`], oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    resets: Vec<(ResetId, Timestamp)>,
}

impl RecentRequests {
    /// The stored types of the events that count as requests. The number is how many of the latest events of that type are
    /// kept here.
    pub const EVENT_TYPES: [(&str, usize); 2] = [
        (
            EventKind::EmailVerificationRequested.stored_type(),
            MAX_VERIFICATION_REQUESTS,
        ),
        (
            EventKind::PasswordResetRequested.stored_type(),
            MAX_RESET_REQUESTS,
        ),
    ];

    /// Adds the request that the event records, if it records one. Events of one type must come in their order; the order
    /// between the types does not matter.
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

/// Appends `item`, and removes the oldest items beyond `max`.
fn push_bounded<T>(items: &mut Vec<T>, item: T, max: usize) {
    items.push(item);
    let surplus = items.len().saturating_sub(max);
    items.drain(..surplus);
}

/// A requested password reset that has not been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingReset {
    /// The id of the request.
    pub reset: ResetId,
    /// The instant from which the reset is no longer possible.
    pub expires_at: Timestamp,
}

impl PendingReset {
    /// Whether this is the request `reset`, and has not expired at `now`.
    pub fn allows(&self, reset: ResetId, now: Timestamp) -> bool {
        self.reset == reset && now < self.expires_at
    }
}

/// A requested verification link that has not been followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingVerification {
    /// The id of the request.
    pub verification: VerificationId,
    /// The requested new address; `None` to verify the current one.
    pub email: Option<Email>,
    /// The instant from which the link is invalid.
    pub expires_at: Timestamp,
}

impl PendingVerification {
    /// Whether this is the request `verification`, and its link has not expired at `now`.
    pub fn allows(&self, verification: VerificationId, now: Timestamp) -> bool {
        self.verification == verification && now < self.expires_at
    }
}

impl User {
    /// The state, if the account is registered.
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
            // `UserRegistered` is always the first event and `UserErased` the last: `decide` refuses every other
            // command before and after them.
            (Self::Unregistered | Self::Erased, _) => {}
        }
    }
}

impl Registered {
    /// The state of an account that has just been registered.
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
            second_factors: SecondFactors::default(),
            consents: Consents::default(),
        }
    }

    /// Applies a later event of the account. `UserRegistered` and `UserErased` change nothing here, because they create
    /// and end the account.
    pub fn apply(&mut self, event: UserEvent) {
        if let Some(raised) = event.raised_epoch() {
            self.session_epoch = raised.epoch;
            self.kept_session = raised.kept_session;
            self.cancel_address_change();
        }
        self.recent_requests.apply(&event);
        self.second_factors.apply(&event);
        self.consents.apply(&event);
        match event {
            // Those about second factors and consents were applied above.
            UserEvent::UserRegistered(_)
            | UserEvent::UserErased(_)
            | UserEvent::TotpEnrolled(_)
            | UserEvent::PasskeyEnrolled(_)
            | UserEvent::PasskeyCounterWentBack(_)
            | UserEvent::FactorRemoved(_)
            | UserEvent::RecoveryCodesIssued(_)
            | UserEvent::RecoveryCodeUsed(_)
            | UserEvent::FactorRenamed(_)
            | UserEvent::ConsentGiven(_)
            | UserEvent::ConsentWithdrawn(_) => {}
            // Nothing depends on it.
            UserEvent::PasswordFoundBreached(_) => {}
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
                // The reset link was mailed to this address: a change of address cancels a pending reset.
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

    /// Cancels a pending change of address when the session epoch is raised. A link that was mailed to another mailbox
    /// before must not change an account that its owner has taken back.
    fn cancel_address_change(&mut self) {
        self.pending_verification.take_if(|it| it.email.is_some());
    }
}
