//! The signing keys of a node in memory: which one signs, and which ones verify.

use std::sync::Arc;

use authlog_domain::Timestamp;
use serde_json::{Value, json};

use super::{KeyRecord, KeyState, SigningKey};

/// The keys that a node uses.
#[derive(Default)]
pub struct KeySet {
    /// The secret that is shared with clients. If there is one, it signs.
    shared: Option<Arc<SigningKey>>,
    /// The stored keys, the newest first.
    keys: Vec<LoadedKey>,
}

/// A parsed key, and its record without the private half.
struct LoadedKey {
    times: KeyRecord,
    key: Arc<SigningKey>,
}

impl KeySet {
    /// The stored keys, and the secret that is shared with clients.
    pub fn new(shared: Option<Arc<SigningKey>>, records: &[KeyRecord]) -> Self {
        let empty = Self {
            shared,
            keys: vec![],
        };
        empty.with(records)
    }

    /// This set, updated to the stored keys. Known keys are not parsed again.
    pub(super) fn with(&self, records: &[KeyRecord]) -> Self {
        let mut keys = Vec::with_capacity(records.len());
        for record in records {
            let Some(private) = &record.private else {
                continue;
            };
            let known = self.keys.iter().find(|held| held.times.kid == record.kid);
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
        Self {
            shared: self.shared.clone(),
            keys,
        }
    }

    /// The key that signs at `now`. If no key signs yet, because the clock of this node is behind, the first key is used.
    pub(super) fn signing(&self, now: Timestamp) -> Option<&SigningKey> {
        let in_state = |state| {
            let mut found = self
                .keys
                .iter()
                .filter(move |it| it.times.state(now) == state);
            found.next_back().map(|held| &*held.key)
        };
        self.shared
            .as_deref()
            .or_else(|| in_state(KeyState::Signing))
            .or_else(|| in_state(KeyState::Published))
    }

    /// The key with this name, if its tokens can be valid at `now`. Published keys are included, because a node whose clock is
    /// ahead may already sign with them.
    pub(super) fn verifying(&self, kid: &str, now: Timestamp) -> Option<&SigningKey> {
        self.good(now)
            .map(|held| &*held.key)
            .chain(self.shared.as_deref())
            .find(|key| key.kid() == kid)
    }

    /// Whether a key with this name is known, in any state.
    pub(super) fn knows(&self, kid: &str) -> bool {
        self.keys.iter().any(|held| held.times.kid == kid)
    }

    /// The public keys that verify, as a JSON Web Key Set (RFC 7517).
    pub(super) fn public(&self, now: Timestamp) -> Value {
        let keys: Vec<&Value> = self
            .good(now)
            .filter_map(|held| held.key.public_jwk())
            .collect();
        json!({ "keys": keys })
    }

    fn good(&self, now: Timestamp) -> impl Iterator<Item = &LoadedKey> {
        self.keys
            .iter()
            .filter(move |held| held.times.state(now) != KeyState::Retired)
    }
}
