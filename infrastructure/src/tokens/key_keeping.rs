//! Changing the set of keys in the store: at the start of a node, and for an operator.

use authlog_application::ports::StoreError;
use authlog_domain::Timestamp;

use super::key_changes::{self, PUBLISHED_FOR, next_algorithm};
use super::{JwtAlgorithm, KeyRecord, KeyRefusal, SigningKey, SigningKeyError, SigningKeys};
use crate::store::Store;

/// The default of the versions that kept one key for each algorithm.
const FORMER_DEFAULT: JwtAlgorithm = JwtAlgorithm::EdDsa;

/// Why the keys are not changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyChangeError {
    /// They must not be.
    #[error(transparent)]
    Refused(#[from] KeyRefusal),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SigningKeyError> for KeyChangeError {
    fn from(error: SigningKeyError) -> Self {
        Self::Refused(error.into())
    }
}

/// Makes sure that there is a key of the algorithm `wanted` to sign with, now or soon, and returns all keys. Where keys of
/// another algorithm sign, it is published first, and they go on verifying. If no algorithm is wanted, the store keeps the
/// one that it has, and a new store gets the default.
///
/// # Errors
/// A key cannot be made, or the store does not answer.
pub async fn keep_signing_key(
    store: &dyn Store,
    wanted: Option<JwtAlgorithm>,
    now: Timestamp,
) -> Result<Vec<KeyRecord>, KeyChangeError> {
    loop {
        let stored = stored_keys(store, wanted, now).await?;
        let algorithm = next_algorithm(&stored.keys, wanted);
        let changed = if key_changes::lacks(&stored.keys, algorithm) {
            let new = SigningKey::generate(algorithm)?;
            key_changes::succeed(&stored.keys, &new, PUBLISHED_FOR, now)
        } else if stored.is_unconfirmed {
            vec![]
        } else {
            return Ok(stored.keys);
        };
        let after = stored.number;
        store.change_signing_keys(after, &changed, &[], now).await?;
    }
}

/// Publishes a key that is to follow the one that signs; `soon`, as soon as every node knows it. Its algorithm is the one
/// `wanted`, or else that of the newest key. Returns the keys that have changed, the new one last.
///
/// # Errors
/// There is one already, it cannot be made, or the store does not answer.
pub async fn rotate_signing_key(
    store: &dyn Store,
    wanted: Option<JwtAlgorithm>,
    soon: bool,
    now: Timestamp,
) -> Result<Vec<KeyRecord>, KeyChangeError> {
    loop {
        let stored = stored_keys(store, wanted, now).await?;
        let new = SigningKey::generate(next_algorithm(&stored.keys, wanted))?;
        let changed = key_changes::rotate(&stored.keys, &new, soon, now)?;
        let after = stored.number;
        if store.change_signing_keys(after, &changed, &[], now).await? {
            return Ok(changed);
        }
    }
}

/// Gives a key up: no token of it is good any more. Returns the keys that have changed. The row of a key that cannot be
/// used is removed.
///
/// # Errors
/// There is no such key, it was given up before, a successor cannot be made, or the store does not answer.
pub async fn retire_signing_key(
    store: &dyn Store,
    kid: &str,
    now: Timestamp,
) -> Result<Vec<KeyRecord>, KeyChangeError> {
    loop {
        let stored = store.signing_keys(now).await?;
        let is_left_out = !stored.keys.iter().any(|key| key.kid == kid)
            && stored.faults.iter().any(|fault| fault.kid == kid);
        let (changed, removed) = if is_left_out {
            (vec![], vec![kid.to_owned()])
        } else {
            let changed = key_changes::retire(&stored.keys, kid, SigningKey::generate, now)?;
            (changed, vec![])
        };
        let after = stored.number;
        if store
            .change_signing_keys(after, &changed, &removed, now)
            .await?
        {
            return Ok(changed);
        }
    }
}

/// All keys. Where there are none yet, those that were kept one by one for each algorithm, before there was a set of them;
/// the one of the algorithm `wanted`, or else of the default of that time, signs on.
async fn stored_keys(
    store: &dyn Store,
    wanted: Option<JwtAlgorithm>,
    now: Timestamp,
) -> Result<SigningKeys, KeyChangeError> {
    loop {
        let stored = store.signing_keys(now).await?;
        if !stored.keys.is_empty() {
            return Ok(stored);
        }
        let former = former_keys(store, wanted.unwrap_or(FORMER_DEFAULT), now).await?;
        if former.is_empty() {
            return Ok(stored);
        }
        let after = stored.number;
        store.change_signing_keys(after, &former, &[], now).await?;
    }
}

async fn former_keys(
    store: &dyn Store,
    algorithm: JwtAlgorithm,
    now: Timestamp,
) -> Result<Vec<KeyRecord>, KeyChangeError> {
    let mut found = Vec::new();
    for made_for in JwtAlgorithm::ALL {
        let name = format!("signing-key/{made_for}");
        if let Some(stored) = store.find_shared_secret(&name).await? {
            let key = SigningKey::from_stored(made_for, &stored)?;
            found.push(KeyRecord::new(&key, now));
        }
    }
    found.sort_by_key(|key| key.algorithm == algorithm);
    if let [others @ .., _] = found.as_mut_slice() {
        for other in others {
            other.signs_until = Some(now);
        }
    }
    Ok(found)
}
