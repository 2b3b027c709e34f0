//! What can have happened to an account. Stored for ever: names and members never change meaning.

use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use crate::{
    AccountNumber, CredentialId, Email, PersonName, Personal, PersonalFields, Phone, ResetId, Role,
    Timestamp, Username,
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
    /// The account may do other things than before, and every session has ended.
    RoleChanged(RoleChanged),
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

/// The account may do other things than before, and every session has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoleChanged {
    /// When.
    pub at: Timestamp,
    /// What it may do from now on.
    pub role: Role,
    /// The account's session epoch from now on: a token may say what the role was. The first version had none, and
    /// sessions went on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_epoch: Option<u32>,
}

/// The account is gone, and the key of everything personal in its events with it. Nothing happens to it any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserErased {
    /// When.
    pub at: Timestamp,
    /// An epoch after every one that the account had: all its sessions have ended.
    pub session_epoch: u32,
}

impl UserEvent {
    /// When it happened.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::UserRegistered(event) => event.at,
            Self::PasswordResetRequested(event) => event.at,
            Self::PasswordReset(event) => event.at,
            Self::PasswordRehashed(event) => event.at,
            Self::RoleChanged(event) => event.at,
            Self::UserErased(event) => event.at,
        }
    }
}

impl DomainEvent for UserEvent {
    fn event_type(&self) -> String {
        match self {
            Self::UserRegistered(_) => "UserRegistered",
            Self::PasswordResetRequested(_) => "PasswordResetRequested",
            Self::PasswordReset(_) => "PasswordReset",
            Self::PasswordRehashed(_) => "PasswordRehashed",
            Self::RoleChanged(_) => "RoleChanged",
            Self::UserErased(_) => "UserErased",
        }
        .to_owned()
    }

    fn event_version(&self) -> String {
        match self {
            Self::RoleChanged(event) if event.session_epoch.is_some() => "2",
            _ => "1",
        }
        .to_owned()
    }
}

impl PersonalFields for UserEvent {
    fn personal_fields(event_type: &str) -> &'static [&'static str] {
        match event_type {
            "UserRegistered" => &[
                "/UserRegistered/username",
                "/UserRegistered/email",
                "/UserRegistered/name",
                "/UserRegistered/phone",
            ],
            _ => &[],
        }
    }
}
