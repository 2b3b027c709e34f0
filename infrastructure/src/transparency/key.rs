//! The key of the log, which every node of a store shares.

use authlog_application::ports::{Entropy, StoreError};
use zeroize::Zeroizing;

use super::note::{NoteKey, is_name};
use crate::SharedSecrets;
use crate::store::unreadable;

/// Under which name the key is kept.
const NAME: &str = "checkpoint-key";

/// The stored key is not one.
#[derive(Debug, thiserror::Error)]
#[error("the stored key of checkpoints cannot be used")]
struct Unusable;

/// The key of the log in this store. If there is none yet it is made, for a log called `origin`; the name is kept with
/// the key, because checkpoints that auditors hold are good only as long as neither changes.
///
/// # Errors
/// The store does not answer, or what it holds is no key.
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
