//! Which account an operator means: by its id, its e-mail address or its username.

use authlog_domain::UserId;

use super::history::has_history;
use crate::ports::{Directory, History, Identifier, StoreError};
use crate::{Authlog, Operator};

/// Why a text names no account.
#[derive(Debug, thiserror::Error)]
pub enum NotIdentified {
    /// No account has it.
    #[error("there is no such account")]
    Unknown,
    /// It is the id of one account and the username of another: earlier versions took such usernames.
    #[error(
        "it is the id of one account and the username of another, {username_of}; name that one by its id, and the first by its \
         e-mail address or its own username"
    )]
    Ambiguous {
        /// The account that has it as its username.
        username_of: UserId,
    },
    /// It cannot be told now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The account of this id, e-mail address or username. An id is good even after the account was erased, when nothing else
/// names it.
///
/// # Errors
/// Why it names none.
pub async fn identify(
    directory: &dyn Directory,
    history: &dyn History,
    text: &str,
) -> Result<UserId, NotIdentified> {
    let by_id = match UserId::parse(text) {
        Some(user) => has_history(history, user).await?.then_some(user),
        None => None,
    };
    let by_name = match Identifier::parse(text) {
        Some(identifier) => directory.find_account(&identifier).await?,
        None => None,
    };
    match (by_id, by_name.map(|account| account.id)) {
        (Some(user), Some(username_of)) if user != username_of => {
            Err(NotIdentified::Ambiguous { username_of })
        }
        (Some(user), _) | (None, Some(user)) => Ok(user),
        (None, None) => Err(NotIdentified::Unknown),
    }
}

impl Authlog {
    /// As [`identify`].
    ///
    /// # Errors
    /// Why it names none.
    pub async fn identify(&self, _by: &Operator, text: &str) -> Result<UserId, NotIdentified> {
        identify(&*self.parts.directory, &*self.parts.history, text).await
    }
}
