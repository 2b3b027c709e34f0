//! Encryption of personal data and secrets at rest, each bound to its context.
//!
//! A master key, which is kept outside the database, wraps one key per account. The key of an account seals the
//! personal fields of its events. Destroying that key erases the person from every copy of the log without changing
//! the log.

mod access;
mod events;
mod master_key;
mod master_keys;
mod subject_key;

pub(crate) use access::{
    AccessSeals, GrantsAccess, SealedCredential, Stored, StoredCredential, StoredStanding, WithMac,
};
pub use events::{SealedEvent, open_metadata, open_payload, seal};
pub(crate) use master_key::Fingerprint;
pub use master_key::{MasterKey, MasterKeyError};
pub use master_keys::MasterKeys;
pub(crate) use subject_key::place as subject_key_place;
pub use subject_key::{SubjectKey, SubjectKeyCache};

use authlog_application::ports::Entropy;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// A sealed value cannot be opened: it was sealed under another key or for another context, or it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed value cannot be opened with this key")]
pub struct Unopenable;

/// A key that seals: AES-256-GCM (NIST SP 800-38D) with random nonces. One key may seal 2³² messages at the most (§8.3),
/// which is far beyond the events of one account and the accounts under one master key.
pub(crate) struct Sealer(LessSafeKey);

impl Sealer {
    pub(crate) fn new(key: &[u8; 32]) -> Result<Self, Unopenable> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| Unopenable)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Returns the nonce, followed by the ciphertext with its tag. Opening needs the same `place`, which is
    /// authenticated as associated data.
    pub(crate) fn seal(
        &self,
        place: &str,
        plain: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, Unopenable> {
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place),
                &mut sealed,
            )
            .map_err(|_| Unopenable)?;
        Ok([nonce.as_slice(), sealed.as_slice()].concat())
    }

    pub(crate) fn open(
        &self,
        place: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unopenable> {
        let (nonce, sealed) = sealed.split_first_chunk().ok_or(Unopenable)?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let length = self
            .0
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(place),
                &mut plain,
            )
            .map_err(|_| Unopenable)?
            .len();
        plain.truncate(length);
        Ok(plain)
    }
}
