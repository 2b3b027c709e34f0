//! The signing keys of one purpose in memory.

use std::sync::Arc;

use authlog_domain::Timestamp;
use serde_json::Value;

use super::{KeyRecord, KeyState, SigningKey};

/// The keys of one purpose, the newest first.
#[derive(Default)]
pub(super) struct LoadedKeys(Vec<LoadedKey>);

/// A parsed key, and its record without the private half.
struct LoadedKey {
    times: KeyRecord,
    key: Arc<SigningKey>,
}

impl LoadedKeys {
    /// These keys, updated to the stored ones. Known keys are not parsed again.
    pub(super) fn with(&self, records: &[KeyRecord]) -> Self {
        let mut keys = Vec::with_capacity(records.len());
        for record in records {
            let Some(private) = &record.private else {
                continue;
            };
            let known = self.0.iter().find(|held| held.times.kid == record.kid);
            let key = match known {
                Some(held) => Arc::clone(&held.key),
                None => match SigningKey::from_stored(record.algorithm, private) {
                    Ok(key) => Arc::new(key),
                    Err(error) => {
                        tracing::error!(kid = record.kid, %error, "a stored signing key cannot be used");
                        continue;
                    }
                },
            };
            let times = KeyRecord {
                private: None,
                ..record.clone()
            };
            keys.push(LoadedKey { times, key });
        }
        keys.sort_by_key(|held| std::cmp::Reverse(held.times.signs_from));
        Self(keys)
    }

    /// The key that signs at `now`. If no key signs yet, because the clock of this node is behind, the first key is used.
    pub(super) fn signing(&self, now: Timestamp) -> Option<&SigningKey> {
        let in_state = |state| {
            let mut found = self.0.iter().filter(|it| it.times.state(now) == state);
            found.next_back().map(|held| &*held.key)
        };
        in_state(KeyState::Signing).or_else(|| in_state(KeyState::Published))
    }

    /// The key with this name, if its tokens can be valid at `now`. Published keys are included, because a node whose clock is
    /// ahead may already sign with them.
    pub(super) fn verifying(&self, kid: &str, now: Timestamp) -> Option<&SigningKey> {
        self.good(now).find(|key| key.kid() == kid)
    }

    /// The key with this name, also if the last of its tokens has expired, unless it was retired before.
    pub(super) fn named(&self, kid: &str) -> Option<&SigningKey> {
        let found = self.0.iter().find(|held| held.times.kid == kid);
        found.map(|held| &*held.key)
    }

    /// The public halves of the keys that verify, as JSON Web Keys.
    pub(super) fn public(&self, now: Timestamp) -> impl Iterator<Item = &Value> {
        self.good(now).filter_map(SigningKey::public_jwk)
    }

    fn good(&self, now: Timestamp) -> impl Iterator<Item = &SigningKey> {
        let is_good = move |held: &&LoadedKey| held.times.state(now) != KeyState::Retired;
        self.0.iter().filter(is_good).map(|held| &*held.key)
    }
}
