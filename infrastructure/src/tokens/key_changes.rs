//! What becomes of the set of keys when one is to follow another: decisions, without a store and without a clock.

use std::time::Duration;

use authlog_domain::Timestamp;

use super::{JwtAlgorithm, KeyRecord, KeyState, SigningKey, SigningKeyError};

/// How long a new key stands in the key set before it signs: longer than verifiers may keep a copy of the set (five
/// minutes, as its `Cache-Control` says), and than a node takes to see that there is a new key.
pub const PUBLISHED_FOR: Duration = Duration::from_secs(10 * 60);

/// How long a new key waits that is to sign at once: every node has read it by then, though verifiers elsewhere may have
/// to ask for the key set anew.
pub const KNOWN_TO_NODES_AFTER: Duration = Duration::from_secs(3);

/// Why the set of keys is not changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyRefusal {
    /// There is a successor already.
    #[error("the key {kid} is published already, and signs from {signs_from}")]
    AlreadyPublished {
        /// Which.
        kid: String,
        /// When it takes over.
        signs_from: Timestamp,
    },
    /// There is no such key.
    #[error("there is no key {0:?}")]
    Unknown(String),
    /// Its tokens have been void since.
    #[error("the key {kid} has been retired since {since}")]
    AlreadyRetired {
        /// Which.
        kid: String,
        /// Since when.
        since: Timestamp,
    },
    /// The new key could not be made.
    #[error(transparent)]
    NotMade(#[from] SigningKeyError),
}

/// The algorithm of the next key: the one that is `wanted`, else that of the newest key, else the default. So a set keeps
/// its algorithm until a setting names another one, and all nodes without that setting agree.
pub(super) fn next_algorithm(keys: &[KeyRecord], wanted: Option<JwtAlgorithm>) -> JwtAlgorithm {
    let newest = keys
        .iter()
        .max_by_key(|key| (key.signs_until.is_none(), key.signs_from));
    wanted
        .or_else(|| newest.map(|key| key.algorithm))
        // A shared secret is given by a setting, never generated.
        .filter(|algorithm| *algorithm != JwtAlgorithm::Hs256)
        .unwrap_or_default()
}

/// Whether the set lacks a key of this algorithm to sign with, now or soon.
pub(super) fn lacks(keys: &[KeyRecord], algorithm: JwtAlgorithm) -> bool {
    let newest = keys.iter().find(|key| key.signs_until.is_none());
    newest.is_none_or(|newest| newest.algorithm != algorithm)
}

/// The keys that change when `new` is to sign next: at once if none signs, else after it was published for so long. A
/// key that was about to sign is given up for it.
pub(super) fn succeed(
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
            KeyState::Retired => forgotten(key),
        })
        .collect();
    changed.push(KeyRecord::new(new, begins));
    changed
}

/// The keys that change when `new` is to follow the one that signs: once verifiers know it or, if it has to be `soon`,
/// once every node does. Where a successor is published already, `new` is not needed; that one can only be hurried.
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
        return Ok(succeed(keys, new, published_for, now));
    };
    if !soon {
        return Err(KeyRefusal::AlreadyPublished {
            kid: successor.kid.clone(),
            signs_from: successor.signs_from,
        });
    }
    let signs_from = successor.signs_from.min(now.plus(KNOWN_TO_NODES_AFTER));
    let signing = in_state(keys, KeyState::Signing, now).cloned();
    let hurried = KeyRecord {
        signs_from,
        ..successor.clone()
    };
    Ok(signing
        .map(|key| key.succeeded(signs_from))
        .into_iter()
        .chain([hurried])
        .collect())
}

/// The keys that change when `kid` is given up: no token of it is good from `now` on. If it signs, the key that was to
/// follow signs at once, or a new one that `make` makes.
pub(super) fn retire(
    keys: &[KeyRecord],
    kid: &str,
    make: impl FnOnce(JwtAlgorithm) -> Result<SigningKey, SigningKeyError>,
    now: Timestamp,
) -> Result<Vec<KeyRecord>, KeyRefusal> {
    let key = keys.iter().find(|key| key.kid == kid);
    let key = key.ok_or_else(|| KeyRefusal::Unknown(kid.to_owned()))?;
    let given_up = key.clone().retired(now);
    Ok(match key.state(now) {
        KeyState::Retired => {
            return Err(KeyRefusal::AlreadyRetired {
                kid: kid.to_owned(),
                since: key.verifies_until().unwrap_or(now),
            });
        }
        KeyState::Verifying => vec![given_up],
        KeyState::Published => {
            let goes_on = in_state(keys, KeyState::Signing, now)
                .cloned()
                .map(|mut key| {
                    key.signs_until = None;
                    key
                });
            std::iter::once(given_up).chain(goes_on).collect()
        }
        KeyState::Signing => {
            let successor = match in_state(keys, KeyState::Published, now).cloned() {
                Some(successor) => KeyRecord {
                    signs_from: now,
                    ..successor
                },
                None => KeyRecord::new(&make(key.algorithm)?, now),
            };
            vec![given_up, successor]
        }
    })
}

/// The key in that state: one at the most signs, and one at the most is about to.
fn in_state(keys: &[KeyRecord], state: KeyState, now: Timestamp) -> Option<&KeyRecord> {
    keys.iter().find(|key| key.state(now) == state)
}

/// A key whose time has passed, without its private half; `None` if that is gone already.
fn forgotten(key: &KeyRecord) -> Option<KeyRecord> {
    key.private.as_ref()?;
    Some(KeyRecord {
        private: None,
        ..key.clone()
    })
}

#[cfg(test)]
mod tests;
