//! Guesses in progress on other nodes. Each has an id, so that a guess that was not counted here is not taken back.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use authlog_application::ports::Entropy;

/// The id that a node gives to one of its guesses.
pub(super) type GuessId = NonZeroU64;

/// The number of remembered ids: enough for the guesses that a few nodes begin within the seconds that a guess takes.
/// It takes 128 KiB.
const REMEMBERED: usize = 16_384;

/// The ids of this node's guesses.
pub(super) struct GuessIds(AtomicU64);

impl GuessIds {
    /// Ids that begin at a random number, so that no other node uses the same.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut first = [0; 8];
        entropy.fill(&mut first);
        Self(AtomicU64::new(u64::from_ne_bytes(first)))
    }

    /// The next id. Ids are consecutive, so that one node's ids displace each other as late as possible.
    pub fn next(&self) -> Option<GuessId> {
        GuessId::new(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// The ids of guesses that were counted and may be taken back. An id displaces the one in its slot. The displaced guess
/// stays counted, even if its password was right.
pub(super) struct RemoteGuesses(Mutex<Vec<Option<GuessId>>>);

impl RemoteGuesses {
    pub fn new() -> Self {
        Self(Mutex::new(vec![None; REMEMBERED]))
    }

    /// Remembers a guess, if it has an id.
    pub fn add(&self, guess: Option<GuessId>) {
        if let Some(guess) = guess {
            self.with_place_of(guess, |place| *place = Some(guess));
        }
    }

    /// Forgets a guess, and returns whether it was remembered.
    pub fn remove(&self, guess: Option<GuessId>) -> bool {
        guess.is_some_and(|guess| {
            self.with_place_of(guess, |place| {
                place.take_if(|held| *held == guess).is_some()
            })
        })
    }

    fn with_place_of<T>(
        &self,
        guess: GuessId,
        change: impl FnOnce(&mut Option<GuessId>) -> T,
    ) -> T {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        #[expect(clippy::cast_possible_truncation, reason = "less than `REMEMBERED`")]
        let slot = (guess.get() % REMEMBERED as u64) as usize;
        change(&mut places[slot])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::SystemEntropy;

    #[test]
    fn a_guess_is_taken_back_once_and_only_if_it_was_counted() {
        let (ids, guesses) = (GuessIds::new(&SystemEntropy), RemoteGuesses::new());
        let (one, other) = (ids.next(), ids.next());
        guesses.add(one);
        assert!(!guesses.remove(other));
        assert!(guesses.remove(one));
        assert!(!guesses.remove(one));
        assert!(!guesses.remove(None));
    }

    #[test]
    fn of_many_ids_the_newest_are_remembered() {
        let (ids, guesses) = (GuessIds::new(&SystemEntropy), RemoteGuesses::new());
        let given: Vec<_> = (0..2 * REMEMBERED).map(|_| ids.next()).collect();
        for guess in &given {
            guesses.add(*guess);
        }
        let remembered = given.iter().map(|guess| guesses.remove(*guess));
        let (old, new): (Vec<_>, Vec<_>) = remembered
            .enumerate()
            .partition(|(number, _)| *number < REMEMBERED);
        assert!(old.iter().all(|(_, remembered)| !remembered));
        assert!(new.iter().all(|(_, remembered)| *remembered));
    }
}
