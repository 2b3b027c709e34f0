//! What can have happened to an account. Stored for ever: names and members never change meaning.

use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use crate::catalogue::catalogued;
use crate::{
    AccountNumber, CredentialId, Email, PersonName, Personal, Phone, ResetId, RevocationReason,
    Role, SessionId, Timestamp, Username, VerificationId,
};

/// An event of the `User` aggregate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum UserEvent {
    /// An account was made.
    UserRegistered(UserRegistered),
    /// Someone asked to reset the account's password.
    PasswordResetRequested(PasswordResetRequested),
    /// A reset was carried out: the password is new and every session has ended.
    PasswordReset(PasswordReset),
    /// The password is the same, and its hash is another.
    PasswordRehashed(PasswordRehashed),
    /// The person set another password, and every other session has ended.
    PasswordChanged(PasswordChanged),
    /// Every session has ended but perhaps one.
    SessionsRevoked(SessionsRevoked),
    /// The account may do other things than before, and every session has ended.
    RoleChanged(RoleChanged),
    /// Nobody can sign in to the account until it is unlocked.
    UserLocked(UserLocked),
    /// The account can be signed in to again.
    UserUnlocked(UserUnlocked),
    /// A link was asked for that proves whose an e-mail address is.
    EmailVerificationRequested(EmailVerificationRequested),
    /// The account's e-mail address is its person's.
    EmailVerified(EmailVerified),
    /// The account has another e-mail address, which is its person's.
    EmailChanged(EmailChanged),
    /// The account and all that was known of its person is gone.
    UserErased(UserErased),
}

/// An account was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserRegistered {
    /// When.
    pub at: Timestamp,
    /// The account's number.
    pub number: AccountNumber,
    /// The username, where one was chosen that is not the e-mail address.
    pub username: Option<Personal<Username>>,
    /// The e-mail address.
    pub email: Option<Personal<Email>>,
    /// The person's name.
    pub name: Option<Personal<PersonName>>,
    /// The person's telephone number.
    pub phone: Option<Personal<Phone>>,
    /// What the account may do.
    pub role: Role,
    /// Names the stored password hash.
    pub credential: CredentialId,
}

/// Someone asked to reset the account's password; a request made earlier no longer counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PasswordResetRequested {
    /// When.
    pub at: Timestamp,
    /// Names the request.
    pub reset: ResetId,
    /// From this instant on it can no longer be carried out.
    pub expires_at: Timestamp,
}

/// A reset was carried out: the password is new and every session has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PasswordReset {
    /// When.
    pub at: Timestamp,
    /// The request that was carried out.
    pub reset: ResetId,
    /// Names the new stored password hash.
    pub credential: CredentialId,
    /// The account's session epoch from now on.
    pub session_epoch: u32,
}

/// The password was hashed anew, by what a hash costs today: it is the same, and so are the sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PasswordRehashed {
    /// When.
    pub at: Timestamp,
    /// Names the new stored password hash.
    pub credential: CredentialId,
}

/// The person set another password, and every other session has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PasswordChanged {
    /// When.
    pub at: Timestamp,
    /// Names the new stored password hash.
    pub credential: CredentialId,
    /// The account's session epoch from now on.
    pub session_epoch: u32,
    /// The session of an earlier epoch that goes on: the one in which it was done.
    pub kept_session: SessionId,
}

/// Every session has ended but perhaps one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionsRevoked {
    /// When.
    pub at: Timestamp,
    /// On whose wish.
    pub reason: RevocationReason,
    /// The account's session epoch from now on.
    pub session_epoch: u32,
    /// The session of an earlier epoch that goes on.
    pub kept_session: Option<SessionId>,
}

/// The account may do other things than before, and every session has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoleChanged {
    /// When.
    pub at: Timestamp,
    /// What it may do from now on.
    pub role: Role,
    /// The account's session epoch from now on, so that no token claims the role of before. Version 1 has none: it
    /// ended no session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_epoch: Option<u32>,
}

/// Nobody can sign in to the account until it is unlocked, and every session has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserLocked {
    /// When.
    pub at: Timestamp,
    /// The account's session epoch from now on.
    pub session_epoch: u32,
}

/// The account can be signed in to again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserUnlocked {
    /// When.
    pub at: Timestamp,
}

/// A link was asked for that proves whose an e-mail address is; one asked for earlier no longer counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmailVerificationRequested {
    /// When.
    pub at: Timestamp,
    /// Names the request.
    pub verification: VerificationId,
    /// The address that the account is to have; `None` for the one that it has.
    pub email: Option<Personal<Email>>,
    /// From this instant on the link is no good.
    pub expires_at: Timestamp,
}

/// The account's e-mail address is its person's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmailVerified {
    /// When.
    pub at: Timestamp,
    /// The request whose link was followed.
    pub verification: VerificationId,
}

/// The account has another e-mail address, which is its person's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmailChanged {
    /// When.
    pub at: Timestamp,
    /// The request whose link was followed.
    pub verification: VerificationId,
    /// The address.
    pub email: Personal<Email>,
}

/// The account is gone, and the key of everything personal in its events with it. Nothing happens to it any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserErased {
    /// When.
    pub at: Timestamp,
    /// An epoch after every one that the account had: all its sessions have ended.
    pub session_epoch: u32,
}

catalogued!(
    UserEvent: UserRegistered, PasswordResetRequested, PasswordReset, PasswordRehashed, PasswordChanged, SessionsRevoked,
    RoleChanged, UserLocked, UserUnlocked, EmailVerificationRequested, EmailVerified, EmailChanged, UserErased,
);

/// An account's session epoch was raised: sessions that started under an earlier one have ended, but for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaisedEpoch {
    /// The epoch from now on.
    pub epoch: u32,
    /// The session of an earlier epoch that goes on.
    pub kept_session: Option<SessionId>,
}

impl UserEvent {
    /// The session epoch that this event begins, if it begins one. An erasure does, too.
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
            | Self::EmailChanged(_) => return None,
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
