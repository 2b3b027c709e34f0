//! Passwords that are on a list of breached ones: the event, the command and its decision.

use serde::{Deserialize, Serialize};

use super::{Registered, UserEvent};
use crate::{CredentialId, Timestamp};

/// A person signed in with a password that is on the list of breached passwords.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PasswordFoundBreached {
    /// When the event occurred.
    pub at: Timestamp,
    /// The id of the hash of that password.
    pub credential: CredentialId,
}

/// Record that the password was found on the list of breached ones.
#[derive(Clone, Copy, Debug)]
pub struct ReportBreachedPassword {
    /// The current time.
    pub at: Timestamp,
    /// The hash against which the password was checked. If the account has another one, the password may have changed,
    /// and the command has no effect.
    pub credential: CredentialId,
}

pub(super) fn report_breached_password(
    account: &Registered,
    command: ReportBreachedPassword,
) -> Vec<UserEvent> {
    if account.credential != command.credential {
        return vec![];
    }
    vec![UserEvent::PasswordFoundBreached(PasswordFoundBreached {
        at: command.at,
        credential: command.credential,
    })]
}
