//! What was verified lately, by the whole token: a signature costs more than all else about a request that verifies one.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

/// Tokens that are remembered, the latest used: with some kilobyte each they take no more than ten megabytes, and an
/// attacker can put nothing in their place but tokens that we have signed.
const MOST: NonZeroUsize = NonZeroUsize::new(8192).unwrap();

/// What is known of some tokens.
pub(super) struct Remembered<T> {
    tokens: Mutex<LruCache<Box<str>, T>>,
}

impl<T: Clone> Remembered<T> {
    /// What is known of this very token, to the last character.
    pub(super) fn get(&self, token: &str) -> Option<T> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(token).cloned()
    }

    /// Remembers a token in place of the one that was not used for the longest time.
    pub(super) fn put(&self, token: &str, known: T) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.put(token.into(), known);
    }
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self {
            tokens: Mutex::new(LruCache::new(MOST)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let remembered = Remembered::default();
        for number in 0..3 * MOST.get() {
            remembered.put(&number.to_string(), number);
        }
        assert_eq!(remembered.tokens.lock().unwrap().len(), MOST.get());
        assert_eq!(remembered.get("0"), None);
        let last = 3 * MOST.get() - 1;
        assert_eq!(remembered.get(&last.to_string()), Some(last));
    }
}
