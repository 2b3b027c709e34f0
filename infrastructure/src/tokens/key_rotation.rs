//! Changing a set of signing keys in the store: at the start of a node, in the background, and for `authlog keys`.
//!
//! Every change names the change that it follows. If another program has changed the keys meanwhile, the decision is made
//! again from the new state.

use authlog_application::ports::StoreError;
use authlog_domain::Timestamp;
use tokio::sync::oneshot;

use super::key_changes::{self, PUBLISHED_FOR};
use super::{
    JwtAlgorithm, KeyPurpose, KeyRecord, KeyRefusal, SigningKey, SigningKeyError, SigningKeys,
};
use crate::store::Store;

/// The default algorithm of versions that stored one key for each algorithm.
const FORMER_DEFAULT: JwtAlgorithm = JwtAlgorithm::EdDsa;

/// Why the keys were not changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyChangeError {
    /// The change is refused.
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

/// Ensures that there is a newest key of this purpose, and returns all of its keys. An access key has the algorithm `wanted`: if
/// keys of another algorithm sign, the new key is published first, and the old ones still verify. Without `wanted`, the store
/// keeps its algorithm, and a new store gets the default.
///
/// # Errors
/// A key cannot be generated, or the store does not answer.
pub async fn ensure_signing_key(
    store: &dyn Store,
    purpose: KeyPurpose,
    wanted: Option<JwtAlgorithm>,
    now: Timestamp,
) -> Result<Vec<KeyRecord>, KeyChangeError> {
    loop {
        let stored = stored_keys(store, purpose, wanted, now).await?;
        let algorithm = purpose.next_algorithm(&stored.keys, wanted);
        let changed = if key_changes::needs_key(&stored.keys, algorithm) {
            let new = generate(purpose, algorithm).await?;
            key_changes::add_successor(&stored.keys, &new, PUBLISHED_FOR, now)
        } else if stored.is_unconfirmed {
            vec![]
        } else {
            return Ok(stored.keys);
        };
        let after = stored.number;
        store
            .change_signing_keys(purpose, after, &changed, &[], now)
            .await?;
    }
}

/// Publishes a successor of the signing key of this purpose. It signs after [`PUBLISHED_FOR`], or with `soon` as soon as every
/// node knows it. The algorithm of an access key is `wanted`, or else that of the newest key. Returns the changed keys, the
/// successor last.
///
/// # Errors
/// A successor is published already, a key cannot be generated, or the store does not answer.
pub async fn rotate_signing_key(
    store: &dyn Store,
    purpose: KeyPurpose,
    wanted: Option<JwtAlgorithm>,
    soon: bool,
    now: Timestamp,
) -> Result<Vec<KeyRecord>, KeyChangeError> {
    loop {
        let stored = stored_keys(store, purpose, wanted, now).await?;
        let algorithm = purpose.next_algorithm(&stored.keys, wanted);
        let new = generate(purpose, algorithm).await?;
        let changed = key_changes::rotate(&stored.keys, &new, soon, now)?;
        let after = stored.number;
        if store
            .change_signing_keys(purpose, after, &changed, &[], now)
            .await?
        {
            return Ok(changed);
        }
    }
}

/// Retires a key: its tokens are invalid from `now` on. Returns its purpose and the changed keys. If the stored key is damaged,
/// its row is removed instead.
///
/// # Errors
/// There is no such key, it was retired before, a successor cannot be generated, or the store does not answer.
pub async fn retire_signing_key(
    store: &dyn Store,
    kid: &str,
    now: Timestamp,
) -> Result<(KeyPurpose, Vec<KeyRecord>), KeyChangeError> {
    loop {
        let (purpose, stored) = keys_with(store, kid, now).await?;
        let (changed, removed) = if stored.keys.iter().any(|key| key.kid == kid) {
            let generate = |algorithm| purpose.generate(algorithm);
            let changed = key_changes::retire(&stored.keys, kid, generate, now)?;
            (changed, vec![])
        } else {
            (vec![], vec![kid.to_owned()])
        };
        let after = stored.number;
        if store
            .change_signing_keys(purpose, after, &changed, &removed, now)
            .await?
        {
            return Ok((purpose, changed));
        }
    }
}

/// Generates a key on a thread of its own. An RSA key takes up to two seconds, and neither requests nor the end of the program
/// wait for it.
async fn generate(
    purpose: KeyPurpose,
    algorithm: JwtAlgorithm,
) -> Result<SigningKey, SigningKeyError> {
    let (sender, generated) = oneshot::channel();
    std::thread::Builder::new()
        .name("signing-key".to_owned())
        .spawn(move || {
            // The program may have stopped to wait.
            let _ = sender.send(purpose.generate(algorithm));
        })
        .map_err(|_| SigningKeyError::NotGenerated(algorithm))?;
    let generated = generated.await;
    generated.map_err(|_| SigningKeyError::NotGenerated(algorithm))?
}

/// The set to which the key `kid` belongs, with its purpose. The key may be damaged.
async fn keys_with(
    store: &dyn Store,
    kid: &str,
    now: Timestamp,
) -> Result<(KeyPurpose, SigningKeys), KeyChangeError> {
    for purpose in KeyPurpose::ALL {
        let stored = store.signing_keys(purpose, now).await?;
        let is_intact = stored.keys.iter().any(|key| key.kid == kid);
        if is_intact || stored.faults.iter().any(|fault| fault.kid == kid) {
            return Ok((purpose, stored));
        }
    }
    Err(KeyRefusal::Unknown(kid.to_owned()).into())
}

/// All keys of this purpose. If the set of access keys is empty, keys of an earlier version, which stored one key for each
/// algorithm, are brought over. The one with the algorithm `wanted`, or else with the former default, keeps signing.
async fn stored_keys(
    store: &dyn Store,
    purpose: KeyPurpose,
    wanted: Option<JwtAlgorithm>,
    now: Timestamp,
) -> Result<SigningKeys, KeyChangeError> {
    loop {
        let stored = store.signing_keys(purpose, now).await?;
        if !stored.keys.is_empty() || purpose != KeyPurpose::Access {
            return Ok(stored);
        }
        let former = former_keys(store, wanted.unwrap_or(FORMER_DEFAULT), now).await?;
        if former.is_empty() {
            return Ok(stored);
        }
        let after = stored.number;
        store
            .change_signing_keys(purpose, after, &former, &[], now)
            .await?;
    }
}

async fn former_keys(
    store: &dyn Store,
    algorithm: JwtAlgorithm,
    now: Timestamp,
) -> Result<Vec<KeyRecord>, KeyChangeError> {
    let mut found = Vec::new();
    for algorithm_of_key in JwtAlgorithm::ALL {
        let name = format!("signing-key/{algorithm_of_key}");
        if let Some(stored) = store.find_shared_secret(&name).await? {
            let key = SigningKey::from_stored(algorithm_of_key, &stored)?;
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
