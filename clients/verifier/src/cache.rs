//! The cache of tokens whose signature was verified.
//!
//! It is bounded, and keeps what was used last: when the young half is full, it becomes the old half, and the old half is dropped.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use crate::claims::Claims;

/// The number of parts, each with a lock of its own.
const PARTS: usize = 16;

/// The digest of a whole token with its signature.
pub(crate) type TokenDigest = [u8; SHA256_OUTPUT_LEN];

/// Verified tokens.
pub(crate) struct TokenCache {
    parts: Vec<Mutex<Part>>,
    /// The largest number of tokens in one half of a part.
    half: usize,
}

#[derive(Default)]
struct Part {
    young: HashMap<TokenDigest, Verified>,
    old: HashMap<TokenDigest, Verified>,
}

/// A token whose signature was verified with the keys of this generation.
#[derive(Clone)]
pub(crate) struct Verified {
    pub(crate) claims: Claims,
    pub(crate) generation: u64,
}

impl TokenCache {
    /// A cache of about `size` tokens; none if that is zero.
    pub(crate) fn new(size: usize) -> Self {
        let mut parts = Vec::new();
        parts.resize_with(PARTS, Mutex::default);
        Self {
            parts,
            half: size.div_ceil(2 * PARTS),
        }
    }

    /// The digest of a token; `None` if nothing is cached.
    pub(crate) fn digest(&self, token: &str) -> Option<TokenDigest> {
        if self.half == 0 {
            return None;
        }
        digest(&SHA256, token.as_bytes()).as_ref().try_into().ok()
    }

    /// The token with this digest, if it was verified with the keys of this generation.
    pub(crate) fn get(&self, digest: &TokenDigest, generation: u64) -> Option<Claims> {
        let mut part = self.part(digest);
        let found = match part.young.get(digest) {
            Some(found) => found.clone(),
            None => {
                let found = part.old.remove(digest)?;
                part.put(*digest, found.clone(), self.half);
                found
            }
        };
        drop(part);
        (found.generation == generation).then_some(found.claims)
    }

    pub(crate) fn put(&self, digest: TokenDigest, verified: Verified) {
        let mut part = self.part(&digest);
        part.put(digest, verified, self.half);
    }

    fn part(&self, digest: &TokenDigest) -> std::sync::MutexGuard<'_, Part> {
        let part = &self.parts[usize::from(digest[0]) % PARTS];
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn put(&mut self, digest: TokenDigest, verified: Verified, half: usize) {
        if self.young.len() >= half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, verified);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        let payload =
            r#"{"iss":"i","aud":"a","sub":"c","client_id":"c","jti":"j","iat":1,"exp":2}"#;
        Claims::parse(payload.as_bytes().to_vec()).unwrap()
    }

    fn put(cache: &TokenCache, token: &str, generation: u64) -> TokenDigest {
        let digest = cache.digest(token).unwrap();
        let claims = claims();
        cache.put(digest, Verified { claims, generation });
        digest
    }

    #[test]
    fn a_cache_does_not_grow_beyond_its_size() {
        let cache = TokenCache::new(1024);
        for number in 0..10_000 {
            put(&cache, &number.to_string(), 0);
        }
        let held: usize = cache
            .parts
            .iter()
            .map(|part| {
                let part = part.lock().unwrap();
                part.young.len() + part.old.len()
            })
            .sum();
        assert!((512..=1024).contains(&held), "{held}");
    }

    #[test]
    fn a_token_that_is_used_stays() {
        let cache = TokenCache::new(1024);
        let used = put(&cache, "used", 0);
        for number in 0..10_000 {
            put(&cache, &number.to_string(), 0);
            assert!(cache.get(&used, 0).is_some(), "{number}");
        }
        let unused = cache.digest("0").unwrap();
        assert!(cache.get(&unused, 0).is_none());
    }

    #[test]
    fn a_token_that_was_verified_with_other_keys_is_verified_again() {
        let cache = TokenCache::new(1024);
        let token = put(&cache, "token", 1);
        assert!(cache.get(&token, 1).is_some());
        assert!(cache.get(&token, 2).is_none());
    }

    #[test]
    fn nothing_is_cached_without_a_size() {
        assert!(TokenCache::new(0).digest("token").is_none());
    }
}
