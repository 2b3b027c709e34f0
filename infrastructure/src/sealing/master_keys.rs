//! The master keys that the program was started with: one, or two during a rotation.

use std::sync::atomic::{AtomicUsize, Ordering};

use authlog_application::ports::Entropy;
use zeroize::Zeroizing;

use super::{Fingerprint, MasterKey, Unopenable};

/// The master keys that the program was started with. Each opens what was sealed under it. One of them, which the store
/// names, seals new secrets.
pub struct MasterKeys {
    keys: Vec<MasterKey>,
    sealing: AtomicUsize,
}

impl From<MasterKey> for MasterKeys {
    fn from(only: MasterKey) -> Self {
        Self {
            keys: vec![only],
            sealing: AtomicUsize::new(0),
        }
    }
}

impl MasterKeys {
    /// The keys of a rotation: `new` replaces `old`.
    pub fn of_rotation(old: MasterKey, new: MasterKey) -> Self {
        Self {
            keys: vec![old, new],
            sealing: AtomicUsize::new(0),
        }
    }

    /// The new key of a rotation; `None` if there is only one key.
    pub(crate) fn replacement(&self) -> Option<&MasterKey> {
        self.keys.get(1)
    }

    /// Seals new secrets with the key of this fingerprint from now on. Returns whether it is among these keys.
    pub(crate) fn seal_with(&self, fingerprint: &[u8]) -> bool {
        let named = |key: &MasterKey| key.fingerprint().as_slice() == fingerprint;
        let found = self.keys.iter().position(named);
        if let Some(place) = found {
            self.sealing.store(place, Ordering::SeqCst);
        }
        found.is_some()
    }

    /// The key that seals new secrets.
    pub(crate) fn sealing(&self) -> &MasterKey {
        &self.keys[self.sealing.load(Ordering::SeqCst)]
    }

    /// The fingerprint of the key that seals new secrets.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.sealing().fingerprint()
    }

    /// Seals a secret that is to be stored under the name `place`.
    ///
    /// # Errors
    /// It cannot be encrypted.
    pub fn seal(
        &self,
        place: &str,
        plain: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, Unopenable> {
        self.sealing().seal(place, plain, entropy)
    }

    /// Opens what was sealed for `place` under any of these keys.
    ///
    /// # Errors
    /// It was sealed under another master key or for another place, or was changed.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unopenable> {
        self.keys
            .iter()
            .find_map(|key| key.open(place, sealed).ok())
            .ok_or(Unopenable)
    }

    /// Encrypts a secret of `place` again under the new key; `None` if it already is.
    ///
    /// # Errors
    /// None of these keys opens it, or there is no replacement.
    pub(crate) fn rewrap(
        &self,
        place: &str,
        sealed: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Option<Vec<u8>>, Unopenable> {
        let replacement = self.replacement().ok_or(Unopenable)?;
        if replacement.open(place, sealed).is_ok() {
            return Ok(None);
        }
        let plain = self.open(place, sealed)?;
        replacement.seal(place, &plain, entropy).map(Some)
    }
}
