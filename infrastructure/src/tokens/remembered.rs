//! What was verified lately, by the whole token: a signature costs more than all else about a request that verifies one.

use quick_cache::sync::Cache;

/// Tokens that are remembered, those that are presented again and again: with some kilobyte each they take no more than
/// twelve megabytes, and an attacker can put nothing in their place but tokens that we have signed.
const MOST: usize = 8192;

/// What is known of some tokens.
pub(super) struct Remembered<T> {
    tokens: Cache<Box<str>, T>,
}

impl<T: Clone> Remembered<T> {
    /// What is known of this very token, to the last character.
    pub(super) fn get(&self, token: &str) -> Option<T> {
        self.tokens.get(token)
    }

    /// Remembers a token in place of one that was hardly used.
    pub(super) fn put(&self, token: &str, known: T) {
        self.tokens.insert(token.into(), known);
    }
}

impl<T: Clone> Default for Remembered<T> {
    fn default() -> Self {
        Self {
            tokens: Cache::new(MOST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let remembered = Remembered::default();
        for number in 0..3 * MOST {
            remembered.put(&number.to_string(), number);
        }
        assert!((MOST / 2..=MOST).contains(&remembered.tokens.len()));
        let last = 3 * MOST - 1;
        assert_eq!(remembered.get(&last.to_string()), Some(last));
    }
}
