//! Guesses that are under way on other nodes: each has a name, so that none is taken back that was not counted.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use authlog_application::ports::Entropy;

/// What a node calls one of its guesses.
pub(super) type Name = NonZeroU64;

/// How many names are remembered: those that a few nodes give in the seconds that a guess can be under way. It takes 128
/// KiB.
const REMEMBERED: usize = 16_384;

/// Names of this node's guesses.
pub(super) struct Names(AtomicU64);

impl Names {
    /// Names that begin at random, so that no other node gives the same.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut first = [0; 8];
        entropy.fill(&mut first);
        Self(AtomicU64::new(u64::from_ne_bytes(first)))
    }

    /// The next name. They are numbered, so that one node's names displace each other as late as possible.
    pub fn next(&self) -> Option<Name> {
        Name::new(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Names of guesses that were counted and may be taken back. A name displaces the one that has its place: that guess stays
/// counted, whether its password was right or not.
pub(super) struct UnderWayElsewhere(Mutex<Vec<Option<Name>>>);

impl UnderWayElsewhere {
    pub fn new() -> Self {
        Self(Mutex::new(vec![None; REMEMBERED]))
    }

    /// Remembers a guess, if it has a name.
    pub fn add(&self, name: Option<Name>) {
        if let Some(name) = name {
            self.with_place_of(name, |place| *place = Some(name));
        }
    }

    /// Forgets a guess, and says whether it was remembered.
    pub fn remove(&self, name: Option<Name>) -> bool {
        name.is_some_and(|name| {
            self.with_place_of(name, |place| place.take_if(|held| *held == name).is_some())
        })
    }

    fn with_place_of<T>(&self, name: Name, change: impl FnOnce(&mut Option<Name>) -> T) -> T {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut places[(name.get() % REMEMBERED as u64) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::SystemEntropy;

    #[test]
    fn a_guess_is_taken_back_once_and_only_if_it_was_counted() {
        let (names, elsewhere) = (Names::new(&SystemEntropy), UnderWayElsewhere::new());
        let (one, other) = (names.next(), names.next());
        elsewhere.add(one);
        assert!(!elsewhere.remove(other));
        assert!(elsewhere.remove(one));
        assert!(!elsewhere.remove(one));
        assert!(!elsewhere.remove(None));
    }

    #[test]
    fn of_many_names_the_newest_are_remembered() {
        let (names, elsewhere) = (Names::new(&SystemEntropy), UnderWayElsewhere::new());
        let given: Vec<_> = (0..2 * REMEMBERED).map(|_| names.next()).collect();
        given.iter().for_each(|name| elsewhere.add(*name));
        let remembered = given.iter().map(|name| elsewhere.remove(*name));
        let (old, new): (Vec<_>, Vec<_>) = remembered
            .enumerate()
            .partition(|(number, _)| *number < REMEMBERED);
        assert!(old.iter().all(|(_, remembered)| !remembered));
        assert!(new.iter().all(|(_, remembered)| *remembered));
    }
}
