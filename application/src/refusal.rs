//! The reasons for refusing a request: a closed list, for which every contract has its own texts.

use std::time::Duration;

use authlog_domain::Flaw;
use authlog_domain::client::{ClientRefusal, ServiceScope, SettingsFlaw};
use authlog_domain::session::SessionRefusal;
use authlog_domain::user::{UserRefusal, VERIFICATION_REQUEST_WINDOW};

use crate::ports::{HashingError, IdentifierKind, MailError, StoreError, TokenError};

/// A field of a request, by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// The username.
    Username,
    /// The person's name.
    Name,
    /// The e-mail address.
    Email,
    /// The telephone number.
    Phone,
    /// The password.
    Password,
    /// The repeated password.
    PasswordConfirmation,
}

/// A flaw in a field of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field.
    pub field: Field,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request has at least one invalid field.
    #[error("the request is invalid")]
    Invalid(Vec<Violation>),
    /// The service takes no registrations.
    #[error("registration is closed")]
    RegistrationClosed,
    /// Other accounts have these identifiers (at least one).
    #[error("an identifier is taken")]
    IdentifierTaken(Vec<IdentifierKind>),
    /// The account does not exist, or the password is wrong. The answer to the client must not reveal which.
    #[error("the identifier or the password is wrong")]
    WrongCredentials {
        /// The minimum length that the policy requires, if the password is shorter.
        password_too_short: Option<usize>,
        /// A challenge to finish the login with a second factor. Only a login with the right password has one.
        challenge: Option<SignInChallenge>,
    },
    /// The access token is missing or not valid.
    #[error("the access token is not valid")]
    InvalidAccessToken,
    /// The access token is valid, but its account lacks the permission.
    #[error("the account may not do this")]
    Forbidden,
    /// The access token of a client is valid, but lacks this scope, or the client is not registered for it any more.
    #[error("the client needs the scope {}", .0.as_str())]
    InsufficientScope(ServiceScope),
    /// The refresh token is missing or not valid.
    #[error("the refresh token is not valid")]
    InvalidRefreshToken,
    /// The refresh token had already been replaced, so a copy exists. Its session has been ended.
    #[error("the refresh token was used before")]
    RefreshTokenReused,
    /// The reset token is missing or not valid.
    #[error("the password reset token is not valid")]
    InvalidResetToken,
    /// The verification token is missing or not valid.
    #[error("the e-mail verification token is not valid")]
    InvalidVerificationToken,
    /// The account does not exist.
    #[error("there is no such account")]
    UnknownAccount,
    /// The account has no such live session.
    #[error("there is no such session")]
    UnknownSession,
    /// A request about second factors is refused.
    #[error("{0}")]
    SecondFactor(SecondFactorRefusal),
    /// A request about the registered clients is refused.
    #[error("{0}")]
    Client(ClientRegistryRefusal),
    /// The command would leave no administrator who can sign in.
    #[error("no other account is an administrator's")]
    LastAdministrator,
    /// Too many attempts.
    #[error("too many attempts")]
    TooManyAttempts {
        /// The time until the next attempt is allowed.
        retry_after: Duration,
    },
    /// The service is overloaded. Nothing was done.
    #[error("overloaded")]
    Overloaded {
        /// The time after which a retry makes sense.
        retry_after: Duration,
    },
    /// A dependency failed. Nothing was done, unless the store failed after it had received the append.
    #[error("unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How a person can finish a login whose password was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInChallenge {
    /// The challenge, which the client sends back with the second factor.
    pub sealed: String,
    /// What the account can finish it with.
    pub methods: Vec<SignInMethod>,
}

/// A second factor by its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInMethod {
    /// A code of an authenticator app.
    Totp,
    /// A passkey.
    Passkey,
    /// A recovery code.
    Recovery,
}

impl SignInMethod {
    /// The name in the header that carries the challenge.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Passkey => "passkey",
            Self::Recovery => "recovery",
        }
    }
}

/// Why a request about second factors is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecondFactorRefusal {
    /// The challenge or the enrolment is not valid, has expired, or its account has changed since.
    #[error("what was begun is not valid any more")]
    Expired,
    /// The code is wrong.
    #[error("the code is wrong")]
    WrongCode,
    /// The code was used before.
    #[error("the code was used before")]
    CodeUsed,
    /// The account has no such second factor.
    #[error("the account has no such second factor")]
    Unknown,
    /// The account has as many second factors as it can have.
    #[error("the account has too many second factors")]
    TooMany,
    /// The account has no second factor.
    #[error("the account has no second factor")]
    Missing,
    /// The label has this flaw.
    #[error("the label {0}")]
    Label(Flaw),
    /// The account has a second factor, which the request does not show.
    #[error("the account has a second factor")]
    NotShown,
    /// The caller showed no second factor, or showed it too long ago.
    #[error("no second factor was shown, or too long ago")]
    LevelTooLow {
        /// How old it may be; `None` for any age.
        max_age: Option<Duration>,
    },
    /// An administrator removes the factors of the own account as its owner, and not as an administrator.
    #[error("the own factors are removed by their owner")]
    OwnAccount,
    /// A request about passkeys is refused.
    #[error(transparent)]
    Passkey(#[from] PasskeyRefusal),
}

/// Why a request about passkeys is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyRefusal {
    /// The service has no passkeys, because the host of its public URL is an address.
    #[error("the service has no passkeys")]
    Unavailable,
    /// A member of the answer is missing or cannot be read. It holds the name of the member.
    #[error("{0} is missing or malformed")]
    Malformed(&'static str),
    /// The client data are of another type of ceremony.
    #[error("the client data are of another type")]
    WrongType,
    /// The authenticator signed another challenge.
    #[error("the challenge is another one")]
    WrongChallenge,
    /// The passkey was used on a page of another origin.
    #[error("the origin is another one")]
    WrongOrigin,
    /// The page was in a frame of another site.
    #[error("the page was in a frame of another site")]
    CrossOrigin,
    /// The authenticator signed for another RP ID.
    #[error("the RP ID is another one")]
    WrongRelyingParty,
    /// The authenticator did not test that a person is present.
    #[error("the presence of a person was not tested")]
    NotPresent,
    /// The authenticator did not verify the person.
    #[error("the person was not verified")]
    NotVerified,
    /// The flags about backups contradict each other or those of the enrolment.
    #[error("the flags about backups contradict each other")]
    WrongFlags,
    /// The public key has an algorithm that was not asked for, or is none.
    #[error("the public key is not supported")]
    UnsupportedKey,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    WrongSignature,
    /// No account that can be signed in to has this passkey.
    #[error("the passkey is unknown")]
    Unknown,
    /// The user handle is missing or is that of another account.
    #[error("the user handle is another one")]
    WrongUserHandle,
    /// The challenge was used before.
    #[error("the challenge was used before")]
    ChallengeUsed,
    /// The passkey is enrolled already.
    #[error("the passkey is enrolled already")]
    AlreadyEnrolled,
    /// The account has no passkey.
    #[error("the account has no passkey")]
    None,
}

/// Why a request about the registered clients is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientRegistryRefusal {
    /// There is no such client.
    #[error("there is no such client")]
    Unknown,
    /// The id belongs to a client, or belonged to one that was removed, or is the name of a contract.
    #[error("the id of the client is taken")]
    IdTaken,
    /// A member of the settings, or the id, is not valid.
    #[error("{member} {flaw}")]
    Member {
        /// The name of the member.
        member: &'static str,
        /// Its flaw.
        flaw: Flaw,
    },
    /// A member of the settings has a value that is not one of those that are known.
    #[error("{0} has an unknown value")]
    UnknownValue(&'static str),
    /// A member of the settings does not fit the others.
    #[error("{member} {flaw}")]
    Settings {
        /// The name of the member.
        member: &'static str,
        /// Its flaw.
        flaw: SettingsFlaw,
    },
    /// The client does not authenticate by secrets.
    #[error("the client does not authenticate by a secret")]
    HasNoSecrets,
    /// The client has as many valid secrets as it can have.
    #[error("the client has two valid secrets; retire one of them first")]
    TooManySecrets,
    /// The client has no such valid secret.
    #[error("the client has no such secret")]
    UnknownSecret,
}

impl ClientRegistryRefusal {
    /// The name of the member that is not valid; `None` if the refusal is about no member.
    pub const fn member(self) -> Option<&'static str> {
        match self {
            Self::Member { member, .. } | Self::Settings { member, .. } => Some(member),
            Self::UnknownValue(member) => Some(member),
            Self::Unknown
            | Self::IdTaken
            | Self::HasNoSecrets
            | Self::TooManySecrets
            | Self::UnknownSecret => None,
        }
    }
}

impl From<ClientRegistryRefusal> for Refusal {
    fn from(refusal: ClientRegistryRefusal) -> Self {
        Self::Client(refusal)
    }
}

impl From<ClientRefusal> for Refusal {
    fn from(refusal: ClientRefusal) -> Self {
        Self::Client(match refusal {
            ClientRefusal::IdTaken => ClientRegistryRefusal::IdTaken,
            ClientRefusal::NoSuchClient => ClientRegistryRefusal::Unknown,
            ClientRefusal::Settings { member, flaw } => {
                ClientRegistryRefusal::Settings { member, flaw }
            }
            ClientRefusal::HasNoSecrets => ClientRegistryRefusal::HasNoSecrets,
            ClientRefusal::TooManySecrets => ClientRegistryRefusal::TooManySecrets,
            ClientRefusal::NoSuchSecret => ClientRegistryRefusal::UnknownSecret,
        })
    }
}

impl From<PasskeyRefusal> for Refusal {
    fn from(refusal: PasskeyRefusal) -> Self {
        Self::SecondFactor(refusal.into())
    }
}

impl Refusal {
    /// The refusal of a wrong password where its length is not mentioned.
    pub(crate) const fn wrong_password() -> Self {
        Self::WrongCredentials {
            password_too_short: None,
            challenge: None,
        }
    }

    /// The refusal of a password with this flaw.
    pub(crate) fn of_password(flaw: Flaw) -> Self {
        Self::Invalid(vec![Violation {
            field: Field::Password,
            flaw,
        }])
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

impl From<HashingError> for Refusal {
    fn from(error: HashingError) -> Self {
        match error {
            HashingError::Overloaded { retry_after } => Self::Overloaded { retry_after },
            failed @ HashingError::Failed(_) => Self::Unavailable(Box::new(failed)),
        }
    }
}

impl From<MailError> for Refusal {
    fn from(error: MailError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

impl From<UserRefusal> for Refusal {
    fn from(refusal: UserRefusal) -> Self {
        match refusal {
            UserRefusal::AlreadyRegistered | UserRefusal::NotRegistered | UserRefusal::Erased => {
                Self::UnknownAccount
            }
            UserRefusal::ResetNotPending
            | UserRefusal::AddressChanged
            | UserRefusal::TooManyResetRequests => Self::InvalidResetToken,
            // The password was changed or the session was ended after it was checked.
            UserRefusal::EpochPassed => Self::wrong_password(),
            UserRefusal::NoSuchFactor => Self::SecondFactor(SecondFactorRefusal::Unknown),
            UserRefusal::TooManyFactors => Self::SecondFactor(SecondFactorRefusal::TooMany),
            UserRefusal::NoSecondFactor => Self::SecondFactor(SecondFactorRefusal::Missing),
            UserRefusal::NoSuchRecoveryCode => Self::SecondFactor(SecondFactorRefusal::WrongCode),
            UserRefusal::TooManyConsents => Self::Forbidden,
            UserRefusal::VerificationNotPending => Self::InvalidVerificationToken,
            UserRefusal::TooManyVerificationRequests => Self::TooManyAttempts {
                retry_after: VERIFICATION_REQUEST_WINDOW,
            },
        }
    }
}

impl From<SessionRefusal> for Refusal {
    fn from(refusal: SessionRefusal) -> Self {
        match refusal {
            SessionRefusal::AlreadyStarted
            | SessionRefusal::NotStarted
            | SessionRefusal::Ended
            | SessionRefusal::NoReplacement
            | SessionRefusal::NoSuchRefreshToken => Self::InvalidRefreshToken,
        }
    }
}
