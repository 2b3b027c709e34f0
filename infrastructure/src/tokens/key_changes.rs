//! Changes of the set of signing keys: adding, rotating and retiring a key. Pure decisions, without a store and a clock.

use std::time::Duration;

use authlog_domain::Timestamp;

use super::{JwtAlgorithm, KeyRecord, KeyState, SigningKey, SigningKeyError};

/// How long a new key is in the published key set before it signs. This is longer than verifiers may cache the set (five
/// minutes, by its `Cache-Control`) and than a node takes to read a new key.
pub const PUBLISHED_FOR: Duration = Duration::from_secs(10 * 60);

/// How long a new key waits if it has to sign soon. Every node has read it by then, but other verifiers may have to fetch the
/// key set again.
pub const KNOWN_TO_NODES_AFTER: Duration = Duration::from_secs(3);

/// Why a change of the set of keys is refused.
#[derive(Debug, thiserror::Error)]
pub enum KeyRefusal {
    /// A successor is published already.
    #[error("the key {kid} is published already, and signs from {signs_from}")]
    AlreadyPublished {
        /// The key.
        kid: String,
        /// When the key begins to sign.
        signs_from: Timestamp,
    },
    /// The set has no key with this name.
    #[error("there is no key {0:?}")]
    Unknown(String),
    /// The key was retired before.
    #[error("the key {kid} has been retired since {since}")]
    AlreadyRetired {
        /// The key.
        kid: String,
        /// When its tokens became invalid.
        since: Timestamp,
    },
    /// The new key could not be generated.
    #[error(transparent)]
    NotMade(#[from] SigningKeyError),
}

/// The algorithm of the next key: the `wanted` one, or that of the newest key, or the default. So a set keeps its algorithm
/// until a setting names another one, and all nodes without that setting agree.
pub(super) fn next_algorithm(keys: &[KeyRecord], wanted: Option<JwtAlgorithm>) -> JwtAlgorithm {
    let newest = keys
        .iter()
        .max_by_key(|key| (key.signs_until.is_none(), key.signs_from));
    wanted
        .or_else(|| newest.map(|key| key.algorithm))
        // The secret of HS256 comes from a setting. It is never generated.
        .filter(|algorithm| *algorithm != JwtAlgorithm::Hs256)
        .unwrap_or_default()
}

/// Whether the newest key has another algorithm than this one, or there is no key.
pub(super) fn needs_key(keys: &[KeyRecord], algorithm: JwtAlgorithm) -> bool {
    let newest = keys.iter().find(|key| key.signs_until.is_none());
    newest.is_none_or(|newest| newest.algorithm != algorithm)
}

/// Adds `new` as the next key to sign, and returns the changed keys. It signs at once if no key signs, and otherwise after it
/// was published for `published_for`. A published key that has not signed yet is retired.
pub(super) fn add_successor(
    keys: &[KeyRecord],
    new: &SigningKey,
    published_for: Duration,
    now: Timestamp,
) -> Vec<KeyRecord> {
    let begins = match in_state(keys, KeyState::Signing, now) {
        Some(_) => now.plus(published_for),
        None => now,
    };
    let mut changed: Vec<KeyRecord> = keys
        .iter()
        .filter_map(|key| match key.state(now) {
            KeyState::Published => Some(key.clone().retired(now)),
            KeyState::Signing => Some(key.clone().succeeded(begins)),
            KeyState::Verifying => None,
            KeyState::Retired => without_private_half(key),
        })
        .collect();
    changed.push(KeyRecord::new(new, begins));
    changed
}

/// Rotates the signing key, and returns the changed keys. `new` signs after [`PUBLISHED_FOR`], or with `soon` after
/// [`KNOWN_TO_NODES_AFTER`]. If a successor is published already, `new` is discarded: `soon` then brings that successor
/// forward, and without it the rotation is refused.
pub(super) fn rotate(
    keys: &[KeyRecord],
    new: &SigningKey,
    soon: bool,
    now: Timestamp,
) -> Result<Vec<KeyRecord>, KeyRefusal> {
    let Some(successor) = in_state(keys, KeyState::Published, now) else {
        let published_for = if soon {
            KNOWN_TO_NODES_AFTER
        } else {
            PUBLISHED_FOR
        };
        return Ok(add_successor(keys, new, published_for, now));
    };
    if !soon {
        return Err(KeyRefusal::AlreadyPublished {
            kid: successor.kid.clone(),
            signs_from: successor.signs_from,
        });
    }
    let signs_from = successor.signs_from.min(now.plus(KNOWN_TO_NODES_AFTER));
    let signing = in_state(keys, KeyState::Signing, now).cloned();
    let brought_forward = KeyRecord {
        signs_from,
        ..successor.clone()
    };
    Ok(signing
        .map(|key| key.succeeded(signs_from))
        .into_iter()
        .chain([brought_forward])
        .collect())
}

/// Retires the key `kid`, and returns the changed keys. Its tokens are invalid from `now` on. If it is the signing key, the
/// published successor signs at once, or else a new key that `generate` returns.
pub(super) fn retire(
    keys: &[KeyRecord],
    kid: &str,
    generate: impl FnOnce(JwtAlgorithm) -> Result<SigningKey, SigningKeyError>,
    now: Timestamp,
) -> Result<Vec<KeyRecord>, KeyRefusal> {
    let key = keys.iter().find(|key| key.kid == kid);
    let key = key.ok_or_else(|| KeyRefusal::Unknown(kid.to_owned()))?;
    let retired = key.clone().retired(now);
    Ok(match key.state(now) {
        KeyState::Retired => {
            return Err(KeyRefusal::AlreadyRetired {
                kid: kid.to_owned(),
                since: key.verifies_until().unwrap_or(now),
            });
        }
        KeyState::Verifying => vec![retired],
        KeyState::Published => {
            let signs_on = in_state(keys, KeyState::Signing, now)
                .cloned()
                .map(|mut key| {
                    key.signs_until = None;
                    key
                });
            std::iter::once(retired).chain(signs_on).collect()
        }
        KeyState::Signing => {
            let successor = match in_state(keys, KeyState::Published, now).cloned() {
                Some(successor) => KeyRecord {
                    signs_from: now,
                    ..successor
                },
                None => KeyRecord::new(&generate(key.algorithm)?, now),
            };
            vec![retired, successor]
        }
    })
}

/// The key in this state. At most one key is signing, and at most one is published.
fn in_state(keys: &[KeyRecord], state: KeyState, now: Timestamp) -> Option<&KeyRecord> {
    keys.iter().find(|key| key.state(now) == state)
}

/// An expired key without its private half; `None` if the private half is removed already.
fn without_private_half(key: &KeyRecord) -> Option<KeyRecord> {
    key.private.as_ref()?;
    Some(KeyRecord {
        private: None,
        ..key.clone()
    })
}

#[cfg(test)]
mod tests;
