//! The events of the `User` aggregate. They are stored forever: names and fields never change their meaning.

use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use super::{
    ConsentGiven, ConsentWithdrawn, FactorRemoved, FactorRenamed, PasskeyCounterWentBack,
    PasskeyEnrolled, PasswordFoundBreached, RecoveryCodeUsed, RecoveryCodesIssued, TotpEnrolled,
};
use crate::catalogue::catalogued;
use crate::{
    AccountNumber, CredentialId, Email, PersonName, Personal, Phone, ResetId, RevocationReason,
    Role, SessionId, Timestamp, Username, VerificationId,
};

/// An event of the `User` aggregate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum UserEvent {
    /// An account was registered.
    UserRegistered(UserRegistered),
    /// A password reset was requested.
    PasswordResetRequested(PasswordResetRequested),
    /// The password was reset, and every session ended.
    PasswordReset(PasswordReset),
    /// An unchanged password was hashed again.
    PasswordRehashed(PasswordRehashed),
    /// The person changed the password, and every other session ended.
    PasswordChanged(PasswordChanged),
    /// All sessions ended, except for at most one.
    SessionsRevoked(SessionsRevoked),
    /// The role changed, and every session ended.
    RoleChanged(RoleChanged),
    /// The account was locked.
    UserLocked(UserLocked),
    /// The account was unlocked.
    UserUnlocked(UserUnlocked),
    /// A link that verifies an e-mail address was requested.
    EmailVerificationRequested(EmailVerificationRequested),
    /// The e-mail address was verified.
    EmailVerified(EmailVerified),
    /// The e-mail address was changed to another one, which is verified.
    EmailChanged(EmailChanged),
    /// An authenticator app was enrolled.
    TotpEnrolled(TotpEnrolled),
    /// A passkey was enrolled.
    PasskeyEnrolled(PasskeyEnrolled),
    /// A passkey was used with a counter that is not higher than the stored one.
    PasskeyCounterWentBack(PasskeyCounterWentBack),
    /// A second factor was removed.
    FactorRemoved(FactorRemoved),
    /// Recovery codes were made.
    RecoveryCodesIssued(RecoveryCodesIssued),
    /// A recovery code was used.
    RecoveryCodeUsed(RecoveryCodeUsed),
    /// A second factor was given a label.
    FactorRenamed(FactorRenamed),
    /// The password was found on a list of breached ones.
    PasswordFoundBreached(PasswordFoundBreached),
    /// The person consented to what an application may do.
    ConsentGiven(ConsentGiven),
    /// The person withdrew the consent to an application.
    ConsentWithdrawn(ConsentWithdrawn),
    /// The account was erased.
    UserErased(UserErased),
}

/// An account was registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserRegistered {
    /// When the event occurred.
    pub at: Timestamp,
    /// The account's number.
    pub number: AccountNumber,
    /// The username, if there is one in addition to the e-mail address.
    pub username: Option<Personal<Username>>,
    /// The e-mail address.
    pub email: Option<Personal<Email>>,
    /// The person's name.
    pub name: Option<Personal<PersonName>>,
    /// The person's telephone number.
    pub phone: Option<Personal<Phone>>,
    /// The role of the account.
    pub role: Role,
    /// The id of the password hash.
    pub credential: CredentialId,
}

/// A password reset was requested. Earlier requests are invalid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PasswordResetRequested {
    /// When the event occurred.
    pub at: Timestamp,
    /// The id of the request.
    pub reset: ResetId,
    /// The instant from which the reset is no longer possible.
    pub expires_at: Timestamp,
}

/// The password was reset, and every session ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PasswordReset {
    /// When the event occurred.
    pub at: Timestamp,
    /// The id of the request that was carried out.
    pub reset: ResetId,
    /// The id of the new password hash.
    pub credential: CredentialId,
    /// The account's new session epoch.
    pub session_epoch: u32,
}

/// An unchanged password was hashed again with the current parameters. Sessions continue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PasswordRehashed {
    /// When the event occurred.
    pub at: Timestamp,
    /// The id of the new password hash.
    pub credential: CredentialId,
}

/// The person changed the password, and every other session ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PasswordChanged {
    /// When the event occurred.
    pub at: Timestamp,
    /// The id of the new password hash.
    pub credential: CredentialId,
    /// The account's new session epoch.
    pub session_epoch: u32,
    /// The kept session: the one in which the password was changed.
    pub kept_session: SessionId,
}

/// All sessions ended, except for at most one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionsRevoked {
    /// When the event occurred.
    pub at: Timestamp,
    /// Who revoked the sessions.
    pub reason: RevocationReason,
    /// The account's new session epoch.
    pub session_epoch: u32,
    /// The kept session, if any.
    pub kept_session: Option<SessionId>,
}

/// The role changed, and every session ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoleChanged {
    /// When the event occurred.
    pub at: Timestamp,
    /// The new role.
    pub role: Role,
    /// The account's new session epoch, so that no token claims the previous role. `None` in version 1, which ended no
    /// session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_epoch: Option<u32>,
}

/// The account was locked, and every session ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserLocked {
    /// When the event occurred.
    pub at: Timestamp,
    /// The account's new session epoch.
    pub session_epoch: u32,
}

/// The account was unlocked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserUnlocked {
    /// When the event occurred.
    pub at: Timestamp,
}

/// A link that verifies an e-mail address was requested. Earlier requests are invalid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmailVerificationRequested {
    /// When the event occurred.
    pub at: Timestamp,
    /// The id of the request.
    pub verification: VerificationId,
    /// The requested new address; `None` to verify the current one.
    pub email: Option<Personal<Email>>,
    /// The instant from which the link is invalid.
    pub expires_at: Timestamp,
}

/// The e-mail address was verified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmailVerified {
    /// When the event occurred.
    pub at: Timestamp,
    /// The id of the request whose link was followed.
    pub verification: VerificationId,
}

/// The e-mail address was changed to another one, which is verified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmailChanged {
    /// When the event occurred.
    pub at: Timestamp,
    /// The id of the request whose link was followed.
    pub verification: VerificationId,
    /// The new address.
    pub email: Personal<Email>,
}

/// The account was erased, together with the key of all personal data in its events. No event follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserErased {
    /// When the event occurred.
    pub at: Timestamp,
    /// An epoch later than every one that the account had, because all its sessions have ended.
    pub session_epoch: u32,
}

catalogued!(
    UserEvent: UserRegistered, PasswordResetRequested, PasswordReset, PasswordRehashed, PasswordChanged, SessionsRevoked,
    RoleChanged, UserLocked, UserUnlocked, EmailVerificationRequested, EmailVerified, EmailChanged, TotpEnrolled,
    PasskeyEnrolled, PasskeyCounterWentBack, FactorRemoved, RecoveryCodesIssued, RecoveryCodeUsed, FactorRenamed,
    PasswordFoundBreached, ConsentGiven, ConsentWithdrawn, UserErased,
);

/// The session epoch of an account was raised: sessions that started under an earlier one ended, except for at most
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaisedEpoch {
    /// The new epoch.
    pub epoch: u32,
    /// The kept session, if any.
    pub kept_session: Option<SessionId>,
}

impl UserEvent {
    /// The session epoch that this event begins, if it begins one. An erasure begins one too.
    pub fn raised_epoch(&self) -> Option<RaisedEpoch> {
        let (epoch, kept_session) = match self {
            Self::PasswordReset(event) => (event.session_epoch, None),
            Self::PasswordChanged(event) => (event.session_epoch, Some(event.kept_session)),
            Self::SessionsRevoked(event) => (event.session_epoch, event.kept_session),
            Self::RoleChanged(event) => (event.session_epoch?, None),
            Self::UserLocked(event) => (event.session_epoch, None),
            Self::UserErased(event) => (event.session_epoch, None),
            Self::UserRegistered(_)
            | Self::PasswordResetRequested(_)
            | Self::PasswordRehashed(_)
            | Self::UserUnlocked(_)
            | Self::EmailVerificationRequested(_)
            | Self::EmailVerified(_)
            | Self::EmailChanged(_)
            | Self::TotpEnrolled(_)
            | Self::PasskeyEnrolled(_)
            | Self::PasskeyCounterWentBack(_)
            | Self::FactorRemoved(_)
            | Self::RecoveryCodesIssued(_)
            | Self::RecoveryCodeUsed(_)
            | Self::FactorRenamed(_)
            | Self::PasswordFoundBreached(_)
            | Self::ConsentGiven(_)
            | Self::ConsentWithdrawn(_) => return None,
        };
        Some(RaisedEpoch {
            epoch,
            kept_session,
        })
    }
}

impl DomainEvent for UserEvent {
    fn event_type(&self) -> String {
        self.kind().stored_type().to_owned()
    }

    fn event_version(&self) -> String {
        let version = match self {
            Self::RoleChanged(event) if event.session_epoch.is_none() => 1,
            _ => self.kind().version(),
        };
        version.to_string()
    }
}
