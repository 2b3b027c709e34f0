//! The keys of a moment, in memory: which one signs, and which ones verify.

use std::sync::Arc;

use authlog_domain::Timestamp;
use serde_json::{Value, json};

use super::{KeyRecord, KeyState, SigningKey};

/// The keys that a node goes by.
#[derive(Default)]
pub struct KeySet {
    /// The secret that is shared with clients; where there is one, it signs.
    shared: Option<Arc<SigningKey>>,
    /// The newest first.
    keys: Vec<Held>,
}

/// A key, read once, and its times without its private half.
struct Held {
    times: KeyRecord,
    key: Arc<SigningKey>,
}

impl KeySet {
    /// The keys that were stored, and the secret that is shared with clients.
    pub fn new(shared: Option<Arc<SigningKey>>, records: &[KeyRecord]) -> Self {
        let empty = Self {
            shared,
            keys: vec![],
        };
        empty.with(records)
    }

    /// The same with what is stored now. A key that is known already is not read again.
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
            keys.push(Held { times, key });
        }
        keys.sort_by_key(|held| std::cmp::Reverse(held.times.signs_from));
        Self {
            shared: self.shared.clone(),
            keys,
        }
    }

    /// The key that signs at `now`. A node whose clock is behind that of the one that published the first key takes
    /// that one.
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

    /// The key of that name, if tokens of it can be good at `now`. One that is only published is among them: on a node
    /// whose clock is ahead it may sign already.
    pub(super) fn verifying(&self, kid: &str, now: Timestamp) -> Option<&SigningKey> {
        self.good(now)
            .map(|held| &*held.key)
            .chain(self.shared.as_deref())
            .find(|key| key.kid() == kid)
    }

    /// Whether a key of that name is known, good or not.
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

    fn good(&self, now: Timestamp) -> impl Iterator<Item = &Held> {
        self.keys
            .iter()
            .filter(move |held| held.times.state(now) != KeyState::Retired)
    }
}
