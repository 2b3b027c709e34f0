//! Finding the account that the operator names by id, e-mail address or username.

use authlog_domain::UserId;

use super::history::has_history;
use crate::ports::{Directory, History, Identifier, StoreError};
use crate::{Authlog, Operator};

/// Why a text does not name an account.
#[derive(Debug, thiserror::Error)]
pub enum NotIdentified {
    /// No account has this id or name.
    #[error("there is no such account")]
    Unknown,
    /// The text is the id of one account and the username of another: earlier versions allowed such usernames.
    #[error(
        "it is the id of one account and the username of another, {username_of}; name that one by its id, and the first by its \
         e-mail address or its own username"
    )]
    Ambiguous {
        /// The account with this username.
        username_of: UserId,
    },
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The account with this id, e-mail address or username. An erased account can be named by its id only.
///
/// # Errors
/// See [`NotIdentified`].
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
    /// See [`NotIdentified`].
    pub async fn identify(&self, _by: &Operator, text: &str) -> Result<UserId, NotIdentified> {
        identify(&*self.parts.directory, &*self.parts.history, text).await
    }
}
