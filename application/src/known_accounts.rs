//! Accounts that were looked up lately: whoever asks about a token, or asks again and again, costs the store nothing.
//!
//! What is known of an account says what a token's bearer may do only for tokens of the session epoch that it has: a
//! change of role begins another. Its other members may be as old as the news of the log are.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use authlog_domain::UserId;
use lru::LruCache;

use crate::ports::Account;

/// Accounts that are remembered, the latest used: a few megabytes.
const MOST: NonZeroUsize = NonZeroUsize::new(8192).unwrap();

/// The accounts that a node knows.
pub(crate) struct KnownAccounts(Mutex<Known>);

struct Known {
    accounts: LruCache<UserId, Arc<Account>>,
    /// How often something was heard of any account.
    heard: u64,
}

/// A moment from which on nothing must have been heard for what was looked up since to be remembered.
#[derive(Clone, Copy)]
pub(crate) struct Mark(u64);

impl Default for KnownAccounts {
    fn default() -> Self {
        Self(Mutex::new(Known {
            accounts: LruCache::new(MOST),
            heard: 0,
        }))
    }
}

impl KnownAccounts {
    /// What is known of the account.
    pub(crate) fn get(&self, user: UserId) -> Option<Arc<Account>> {
        self.lock().accounts.get(&user).cloned()
    }

    /// To be taken before an account is looked up.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.lock().heard)
    }

    /// Remembers what was looked up since `mark`, unless it may have changed meanwhile.
    pub(crate) fn put(&self, account: Arc<Account>, mark: Mark) {
        let mut known = self.lock();
        if known.heard == mark.0 {
            known.accounts.put(account.id, account);
        }
    }

    /// Forgets accounts to which something happened.
    pub(crate) fn forget(&self, users: impl IntoIterator<Item = UserId>) {
        let mut known = self.lock();
        for user in users {
            known.heard += 1;
            known.accounts.pop(&user);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use authlog_domain::{AccountNumber, CredentialId, Role, Timestamp};
    use uuid::Uuid;

    use super::*;

    fn account() -> Arc<Account> {
        let at = Timestamp::from_unix_millis(0);
        Arc::new(Account {
            id: UserId::new(Uuid::from_u128(1)),
            version: 1,
            number: AccountNumber::new(1),
            username: None,
            email: None,
            email_verified: false,
            name: None,
            phone: None,
            role: Role::User,
            credential: CredentialId::new(Uuid::from_u128(2)),
            locked: false,
            session_epoch: 0,
            kept_session: None,
            pending_reset: None,
            pending_verification: None,
            created_at: at,
            updated_at: at,
        })
    }

    #[test]
    fn what_was_heard_of_is_looked_up_again() {
        let (known, account) = (KnownAccounts::default(), account());
        known.put(Arc::clone(&account), known.mark());
        assert_eq!(known.get(account.id), Some(Arc::clone(&account)));
        known.forget([account.id]);
        assert_eq!(known.get(account.id), None);
    }

    #[test]
    fn what_may_have_changed_while_it_was_looked_up_is_not_remembered() {
        let (known, account) = (KnownAccounts::default(), account());
        let mark = known.mark();
        known.forget([account.id]);
        known.put(Arc::clone(&account), mark);
        assert_eq!(known.get(account.id), None);
    }
}
