//! Limits for readers of the log: no account may have too many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use authlog_domain::UserId;

/// How many readers of the log a node serves at a time. Each may hold a page of events in memory.
const READERS: usize = 1000;

/// How many of them may be of one account: enough for every instance of a large service, and there is room for ten
/// services.
const READERS_OF_AN_ACCOUNT: usize = READERS / 10;

/// Why a reader is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// The account has as many readers as an account may have.
    Account,
    /// The node has as many readers as it serves.
    Node,
}

/// The number of readers, by account.
#[derive(Default)]
pub(crate) struct ReaderPlaces(Mutex<ReaderCounts>);

#[derive(Default)]
struct ReaderCounts {
    total: usize,
    by_account: HashMap<UserId, usize>,
}

impl ReaderPlaces {
    /// Takes a place for a reader of an account.
    ///
    /// # Errors
    /// The account or the node has too many readers.
    pub fn take(self: &Arc<Self>, account: UserId) -> Result<ReaderPlace, NoPlace> {
        let mut held = self.lock();
        let of_account = held.by_account.get(&account).copied().unwrap_or(0);
        if of_account >= READERS_OF_AN_ACCOUNT {
            return Err(NoPlace::Account);
        }
        if held.total >= READERS {
            return Err(NoPlace::Node);
        }
        held.total += 1;
        held.by_account.insert(account, of_account + 1);
        drop(held);
        Ok(ReaderPlace {
            places: Arc::clone(self),
            account,
        })
    }

    fn lock(&self) -> MutexGuard<'_, ReaderCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a reader, which is free again when this is dropped.
pub(crate) struct ReaderPlace {
    places: Arc<ReaderPlaces>,
    account: UserId,
}

impl Drop for ReaderPlace {
    fn drop(&mut self) {
        let mut held = self.places.lock();
        held.total -= 1;
        if let Some(of_account) = held.by_account.get_mut(&self.account) {
            *of_account -= 1;
            if *of_account == 0 {
                held.by_account.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn an_account_has_a_tenth_of_the_places_and_returns_them() {
        let places = Arc::new(ReaderPlaces::default());
        let account = |number| UserId::new(Uuid::from_u128(number));
        let mut held = Vec::new();
        for number in 0..10 {
            for _ in 0..100 {
                held.push(places.take(account(number)).ok().unwrap());
            }
            assert_eq!(places.take(account(number)).err(), Some(NoPlace::Account));
        }
        assert_eq!(places.take(account(10)).err(), Some(NoPlace::Node));
        held.pop();
        assert!(places.take(account(9)).is_ok());
        drop(held);
        assert_eq!(places.lock().total, 0);
        assert!(places.lock().by_account.is_empty());
    }
}
