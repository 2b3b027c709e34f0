//! Places for readers of the log, of which no account may hold too many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use authlog_domain::UserId;

/// How many readers of the log a node serves at once: each may hold a page of events in memory.
const READERS: usize = 1000;

/// How many of them one account may be: enough for every instance of a large service, and ten services fit.
const READERS_OF_AN_ACCOUNT: usize = READERS / 10;

/// Why an account gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// The account has as many as an account may have.
    Account,
    /// The node has no more.
    Node,
}

/// Who reads the log now, and how often.
#[derive(Default)]
pub(crate) struct ReaderPlaces(Mutex<Held>);

#[derive(Default)]
struct Held {
    total: usize,
    by_account: HashMap<UserId, usize>,
}

impl ReaderPlaces {
    /// One more place for an account.
    ///
    /// # Errors
    /// There is none for it.
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

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a reader, until it is dropped.
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
    fn an_account_has_a_tenth_of_the_places_and_gives_them_back() {
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
