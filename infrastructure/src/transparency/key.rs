//! The signing key of the log, which all nodes of a store share.

use authlog_application::ports::{Entropy, SharedSecrets, StoreError};
use zeroize::Zeroizing;

use super::note::{NoteKey, is_name};
use crate::store::unreadable;

/// The name of the shared secret that holds the key.
const NAME: &str = "checkpoint-key";

/// The stored bytes are not a key.
#[derive(Debug, thiserror::Error)]
#[error("the stored key of checkpoints cannot be used")]
struct Unusable;

/// The key of the log in this store. If the store has none, a key is created for a log named `origin`. The name is stored
/// with the key, because checkpoints that auditors keep stay valid only while neither of them changes.
///
/// # Errors
/// The store does not answer, or the stored key is malformed.
pub async fn log_key(
    store: &(impl SharedSecrets + ?Sized),
    entropy: &dyn Entropy,
    origin: Option<&str>,
) -> Result<NoteKey, StoreError> {
    let mut candidate = Zeroizing::new(vec![0; NoteKey::SEED]);
    entropy.fill(&mut candidate);
    let name = origin.filter(|origin| is_name(origin)).map_or_else(
        || format!("authlog.invalid/{}", entropy.random_uuid()),
        str::to_owned,
    );
    candidate.extend_from_slice(name.as_bytes());
    let stored = store.shared_secret(NAME, &candidate).await?;
    let key = stored
        .split_at_checked(NoteKey::SEED)
        .and_then(|(seed, name)| {
            let name = std::str::from_utf8(name).ok()?;
            NoteKey::new(name, seed)
        });
    key.ok_or_else(|| unreadable(Unusable))
}
