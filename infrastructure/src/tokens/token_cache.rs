//! A cache of verified tokens, by the whole token. Verifying a signature costs more than the rest of a request.

use quick_cache::sync::Cache;

/// The capacity of the cache, in tokens. With about a kilobyte each they take at most twelve megabytes. Only tokens that this
/// service has signed are cached, so an attacker cannot fill the cache with other data.
const CAPACITY: usize = 8192;

/// A cache of the content of verified tokens.
pub(super) struct TokenCache<T> {
    tokens: Cache<Box<str>, T>,
}

impl<T: Clone> TokenCache<T> {
    /// The content of exactly this token, if it is cached.
    pub(super) fn get(&self, token: &str) -> Option<T> {
        self.tokens.get(token)
    }

    /// Adds a token. If the cache is full, it replaces one that is rarely used.
    pub(super) fn put(&self, token: &str, known: T) {
        self.tokens.insert(token.into(), known);
    }
}

impl<T: Clone> Default for TokenCache<T> {
    fn default() -> Self {
        Self {
            tokens: Cache::new(CAPACITY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_has_a_fixed_capacity() {
        let cache = TokenCache::default();
        for number in 0..3 * CAPACITY {
            cache.put(&number.to_string(), number);
        }
        assert!((CAPACITY / 2..=CAPACITY).contains(&cache.tokens.len()));
        let last = 3 * CAPACITY - 1;
        assert_eq!(cache.get(&last.to_string()), Some(last));
    }
}
