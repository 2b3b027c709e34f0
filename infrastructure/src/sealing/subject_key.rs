//! The key of one account, under which its personal data is sealed.

use std::sync::Arc;

use authlog_application::ports::{Entropy, PasskeyCredential, TotpSecret};
use authlog_domain::{Email, FactorId, PasskeyTransport, UserId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use quick_cache::sync::{Cache, GuardResult};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{MasterKeys, Sealer, Unopenable};

/// The key of one account. It has no `Debug`.
#[derive(Clone)]
pub struct SubjectKey(Zeroizing<[u8; 32]>);

/// What is sealed of a passkey. Bytes are in base 64.
#[derive(Serialize, Deserialize)]
struct SealedPasskey {
    id: String,
    public_key: String,
    transports: Vec<PasskeyTransport>,
    backup_eligible: bool,
}

impl SubjectKey {
    /// A new key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        entropy.fill(key.as_mut_slice());
        Self(key)
    }

    /// Encrypts the key of `user` under the master key, for storage.
    ///
    /// # Errors
    /// It cannot be encrypted.
    pub fn wrap(
        &self,
        user: UserId,
        master: &MasterKeys,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, Unopenable> {
        master.seal(&place(user), self.0.as_slice(), entropy)
    }

    /// Decrypts the stored key of `user`.
    ///
    /// # Errors
    /// It was wrapped under another master key or for another account, or was changed.
    pub fn unwrap(user: UserId, wrapped: &[u8], master: &MasterKeys) -> Result<Self, Unopenable> {
        let plain = master.open(&place(user), wrapped)?;
        let key = <[u8; 32]>::try_from(plain.as_slice()).map_err(|_| Unopenable)?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// Seals an e-mail address that waits in a queue for the account of `user`.
    pub(crate) fn seal_address(
        &self,
        user: UserId,
        address: &Email,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, Unopenable> {
        let place = address_place(user);
        self.sealer()?
            .seal(&place, address.as_str().as_bytes(), entropy)
    }

    /// Opens what [`Self::seal_address`] sealed for the same account.
    pub(crate) fn open_address(&self, user: UserId, sealed: &[u8]) -> Result<Email, Unopenable> {
        let plain = self.sealer()?.open(&address_place(user), sealed)?;
        let text = std::str::from_utf8(&plain).map_err(|_| Unopenable)?;
        Ok(Email::from_stored(text))
    }

    /// Seals the secret of an authenticator app of the account of `user`.
    pub(crate) fn seal_totp(
        &self,
        user: UserId,
        factor: FactorId,
        secret: &TotpSecret,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, Unopenable> {
        let plain = (secret.parameters, secret.seed.as_slice());
        let plain = Zeroizing::new(serde_json::to_vec(&plain).map_err(|_| Unopenable)?);
        self.sealer()?
            .seal(&totp_place(user, factor), &plain, entropy)
    }

    /// Opens what [`Self::seal_totp`] sealed for the same account and factor.
    pub(crate) fn open_totp(
        &self,
        user: UserId,
        factor: FactorId,
        sealed: &[u8],
    ) -> Result<TotpSecret, Unopenable> {
        let plain = self.sealer()?.open(&totp_place(user, factor), sealed)?;
        let (parameters, seed): (_, Vec<u8>) =
            serde_json::from_slice(&plain).map_err(|_| Unopenable)?;
        Ok(TotpSecret {
            parameters,
            seed: Zeroizing::new(seed),
        })
    }

    /// Seals a passkey of the account of `user`. The credential id names the person to the services that know it, and the
    /// public key is not changed without this key.
    pub(crate) fn seal_passkey(
        &self,
        user: UserId,
        factor: FactorId,
        credential: &PasskeyCredential,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, Unopenable> {
        let plain = SealedPasskey {
            id: STANDARD_NO_PAD.encode(&credential.id),
            public_key: STANDARD_NO_PAD.encode(&credential.public_key),
            transports: credential.transports.clone(),
            backup_eligible: credential.backup_eligible,
        };
        let plain = serde_json::to_vec(&plain).map_err(|_| Unopenable)?;
        let place = passkey_place(user, factor);
        self.sealer()?.seal(&place, &plain, entropy)
    }

    /// Opens what [`Self::seal_passkey`] sealed for the same account and factor.
    pub(crate) fn open_passkey(
        &self,
        user: UserId,
        factor: FactorId,
        sealed: &[u8],
    ) -> Result<PasskeyCredential, Unopenable> {
        let plain = self.sealer()?.open(&passkey_place(user, factor), sealed)?;
        let plain: SealedPasskey = serde_json::from_slice(&plain).map_err(|_| Unopenable)?;
        let bytes = |text: &str| STANDARD_NO_PAD.decode(text).map_err(|_| Unopenable);
        Ok(PasskeyCredential {
            id: bytes(&plain.id)?,
            public_key: bytes(&plain.public_key)?,
            transports: plain.transports,
            backup_eligible: plain.backup_eligible,
        })
    }

    pub(super) fn sealer(&self) -> Result<Sealer, Unopenable> {
        Sealer::new(&self.0)
    }
}

/// The context that a wrapped key is bound to, so that it cannot be used for another account.
pub(crate) fn place(user: UserId) -> String {
    format!("subject-key/{user}")
}

fn totp_place(user: UserId, factor: FactorId) -> String {
    format!("totp/{user}/{factor}")
}

fn passkey_place(user: UserId, factor: FactorId) -> String {
    format!("passkey/{user}/{factor}")
}

fn address_place(user: UserId) -> String {
    format!("queued-address/{user}")
}

/// The number of cached keys: about 10 MB, and enough for the people who return within minutes.
const CACHED: usize = 65_536;

/// A cache of account keys, so that a refresh of an active account does not have to read and unwrap its key. For
/// recently erased accounts the cache holds the fact that they have no key. Each key has one slot, which is wiped
/// when the key is evicted.
pub struct SubjectKeyCache(Cache<UserId, Option<Arc<SubjectKey>>>);

impl Default for SubjectKeyCache {
    fn default() -> Self {
        Self(Cache::new(CACHED))
    }
}

impl SubjectKeyCache {
    /// The key of `user`, if it is cached.
    pub fn get(&self, user: UserId) -> Option<SubjectKey> {
        self.0.get(&user).flatten().as_deref().cloned()
    }

    /// Caches the key of `user`, unless it was removed: a reader that read the key before the erasure must not put it
    /// back.
    pub fn put(&self, user: UserId, key: SubjectKey) {
        if let GuardResult::Guard(place) = self.0.get_value_or_guard(&user, None) {
            // There is no slot for it if it was removed at this moment.
            let _no_place = place.insert(Some(Arc::new(key)));
        }
    }

    /// Removes the key of `user`, and remembers the removal for longer than a reader of the key takes: until some
    /// thousand other accounts were cached.
    pub fn forget(&self, user: UserId) {
        self.0.insert(user, None);
    }

    /// Empties the cache.
    pub fn forget_all(&self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::SystemEntropy;
    use uuid::Uuid;

    #[test]
    fn a_sealed_passkey_opens_for_its_account_and_factor_alone() {
        let key = SubjectKey::generate(&SystemEntropy);
        let [ann, eve] = [1, 2].map(|id| UserId::new(Uuid::from_u128(id)));
        let [first, second] = [3, 4].map(|id| FactorId::new(Uuid::from_u128(id)));
        let credential = PasskeyCredential {
            id: vec![0, 255, 7],
            public_key: vec![1; 77],
            transports: vec![PasskeyTransport::Usb],
            backup_eligible: true,
        };
        let sealed = key.seal_passkey(ann, first, &credential, &SystemEntropy);
        let sealed = sealed.unwrap();
        let open = |user, factor| key.open_passkey(user, factor, &sealed);
        assert_eq!(open(ann, first).unwrap(), credential);
        assert_eq!(open(eve, first), Err(Unopenable));
        assert_eq!(open(ann, second), Err(Unopenable));
    }

    #[test]
    fn a_forgotten_key_is_not_brought_back_by_a_late_reader() {
        let cache = SubjectKeyCache::default();
        let [ann, eve] = [1, 2].map(|id| UserId::new(Uuid::from_u128(id)));
        let key = SubjectKey::generate(&SystemEntropy);
        cache.put(ann, key.clone());
        cache.put(eve, key.clone());
        cache.forget(ann);
        cache.put(ann, key);
        assert!(cache.get(ann).is_none());
        assert!(cache.get(eve).is_some());
    }
}
