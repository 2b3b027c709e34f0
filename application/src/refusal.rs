//! Every reason for which a request is refused: one closed list, which each contract puts in its own words.

use std::time::Duration;

use authlog_domain::Flaw;

use crate::ports::{HashingError, IdentifierKind, StoreError, TokenError};

/// A member of a request, by what it means.
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
    /// The password once more.
    PasswordConfirmation,
}

/// One thing that is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where.
    pub field: Field,
    /// What.
    pub flaw: Flaw,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request is not what it should be; at least one thing is wrong with it.
    #[error("the request is invalid")]
    Invalid(Vec<Violation>),
    /// Other accounts have these identifiers; at least one.
    #[error("an identifier is taken")]
    IdentifierTaken(Vec<IdentifierKind>),
    /// There is no such account, or the password is wrong. Nothing may tell which.
    #[error("the identifier or the password is wrong")]
    WrongCredentials {
        /// Whether the password is shorter than any that the policy accepts today.
        password_too_short: Option<usize>,
    },
    /// No access token, or not a good one.
    #[error("the access token is not valid")]
    InvalidAccessToken,
    /// The access token is good, but its account may not do this.
    #[error("the account may not do this")]
    Forbidden,
    /// No refresh token, or not a good one.
    #[error("the refresh token is not valid")]
    InvalidRefreshToken,
    /// The refresh token had been replaced: it was copied, and its session has been ended.
    #[error("the refresh token was used before")]
    RefreshTokenReused,
    /// No reset token, or not a good one.
    #[error("the password reset token is not valid")]
    InvalidResetToken,
    /// No link about an e-mail address, or not a good one.
    #[error("the e-mail verification token is not valid")]
    InvalidVerificationToken,
    /// There is no such account.
    #[error("there is no such account")]
    UnknownAccount,
    /// The account has no such session that counts.
    #[error("there is no such session")]
    UnknownSession,
    /// Nobody else would be left who administers accounts.
    #[error("no other account is an administrator's")]
    LastAdministrator,
    /// It was tried too often.
    #[error("too many attempts")]
    TooManyAttempts {
        /// When it may be tried again.
        retry_after: Duration,
    },
    /// More is being asked than can be answered in time. Nothing was done.
    #[error("overloaded")]
    Overloaded {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// Something that is needed does not work. Nothing was done, unless a store that was asked to did not say so any more.
    #[error("unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Refusal {
    /// A password has this flaw.
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
