//! Changing the set of keys in the store: at the start of a node, and for an operator.

use authlog_application::ports::StoreError;
use authlog_domain::Timestamp;

use super::key_changes::{self, PUBLISHED_FOR};
use super::{JwtAlgorithm, KeyRecord, KeyRefusal, SigningKey, SigningKeyError};
use crate::store::Store;

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

/// Makes sure that there is a key of `algorithm` to sign with, now or soon, and returns all keys. Where keys of another
/// algorithm sign, it is published first, and they go on verifying.
///
/// # Errors
/// A key cannot be made, or the store does not answer.
pub async fn keep_signing_key(
    store: &dyn Store,
    algorithm: JwtAlgorithm,
    now: Timestamp,
) -> Result<Vec<KeyRecord>, KeyChangeError> {
    loop {
        let (keys, after) = stored_keys(store, algorithm, now).await?;
        if !key_changes::lacks(&keys, algorithm) {
            return Ok(keys);
        }
        let new = SigningKey::generate(algorithm)?;
        let changed = key_changes::succeed(&keys, &new, PUBLISHED_FOR, now);
        store.change_signing_keys(after, &changed).await?;
    }
}

/// Publishes a key that is to follow the one that signs; `soon`, as soon as every node knows it. Returns the keys that
/// have changed, the new one last.
///
/// # Errors
/// There is one already, it cannot be made, or the store does not answer.
pub async fn rotate_signing_key(
    store: &dyn Store,
    algorithm: JwtAlgorithm,
    soon: bool,
    now: Timestamp,
) -> Result<Vec<KeyRecord>, KeyChangeError> {
    let new = SigningKey::generate(algorithm)?;
    loop {
        let (keys, after) = stored_keys(store, algorithm, now).await?;
        let changed = key_changes::rotate(&keys, &new, soon, now)?;
        if store.change_signing_keys(after, &changed).await? {
            return Ok(changed);
        }
    }
}

/// Gives a key up: no token of it is good any more. Returns the keys that have changed.
///
/// # Errors
/// There is no such key, it was given up before, a successor cannot be made, or the store does not answer.
pub async fn retire_signing_key(
    store: &dyn Store,
    kid: &str,
    now: Timestamp,
) -> Result<Vec<KeyRecord>, KeyChangeError> {
    loop {
        let (keys, after) = store.signing_keys().await?;
        let changed = key_changes::retire(&keys, kid, SigningKey::generate, now)?;
        if store.change_signing_keys(after, &changed).await? {
            return Ok(changed);
        }
    }
}

/// All keys, and the number of their last change. Where there are none yet, those that were kept one by one for each
/// algorithm, before there was a set of them; the one of `algorithm` signs on.
async fn stored_keys(
    store: &dyn Store,
    algorithm: JwtAlgorithm,
    now: Timestamp,
) -> Result<(Vec<KeyRecord>, i64), KeyChangeError> {
    loop {
        let (keys, after) = store.signing_keys().await?;
        if !keys.is_empty() {
            return Ok((keys, after));
        }
        let former = former_keys(store, algorithm, now).await?;
        if former.is_empty() {
            return Ok((former, after));
        }
        store.change_signing_keys(after, &former).await?;
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
