//! Custody of a store's keys: the master key, the keys of accounts and the keys derived from the store's secret.

use std::sync::Arc;

use authlog_application::ports::{Entropy, RecordedEvent, Revocation, StoreError, StreamId};
use authlog_domain::{Email, UserId};

use super::claims::Pepper;
use super::secret::{STORE_SECRET, StoreSecret};
use super::{owner, unreadable};
use crate::sealing::{
    AccessSeals, MasterKeys, SubjectKey, SubjectKeyCache, Unopenable, open_payload,
};
use crate::tokens::{KeyPurpose, RetiredKeys};

/// A store of the wrapped keys of accounts.
pub(crate) trait WrappedKeys: Sync {
    /// The wrapped key of `user`; `None` if the account does not exist or was erased.
    fn wrapped_key(
        &self,
        user: UserId,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>> + Send;
}

/// The keys that seal, open and claim. It also caches the keys of accounts.
pub(crate) struct KeyVault {
    pub(crate) master: MasterKeys,
    pub(crate) pepper: Pepper,
    pub(crate) seals: AccessSeals,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) retired_keys: RetiredKeys,
    cache: SubjectKeyCache,
}

impl KeyVault {
    /// The key of `user` in its wrapped form.
    pub(crate) fn unwrap(&self, user: UserId, wrapped: &[u8]) -> Result<SubjectKey, StoreError> {
        SubjectKey::unwrap(user, wrapped, &self.master).map_err(unreadable)
    }

    pub(crate) fn new(
        master: MasterKeys,
        secret: &StoreSecret,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Unopenable> {
        Ok(Self {
            master,
            pepper: Pepper::new(secret.key.as_slice()),
            seals: AccessSeals::new(secret.key.as_slice(), secret.requires_seals)?,
            entropy,
            retired_keys: RetiredKeys::default(),
            cache: SubjectKeyCache::default(),
        })
    }

    /// Whether the store's secret, as it is stored now, requires seals. If so, this node requires them from now on.
    pub(crate) fn follow_seals(&self, sealed: &[u8]) -> Result<bool, StoreError> {
        let required = self.open_secret(sealed)?.requires_seals;
        if required {
            self.seals.require();
        }
        Ok(required)
    }

    /// The store's secret, sealed again with the flag that seals are required.
    pub(crate) fn secret_requiring_seals(&self, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let secret = StoreSecret {
            requires_seals: true,
            ..self.open_secret(sealed)?
        };
        self.master
            .seal(
                &shared_secret_place(STORE_SECRET),
                &secret.to_stored(),
                &*self.entropy,
            )
            .map_err(unreadable)
    }

    fn open_secret(&self, sealed: &[u8]) -> Result<StoreSecret, StoreError> {
        self.master
            .open(&shared_secret_place(STORE_SECRET), sealed)
            .and_then(|opened| StoreSecret::from_stored(&opened))
            .map_err(unreadable)
    }

    /// The key of `user` for opening, unless the account does not exist or was erased. The store is queried each
    /// time, so that nothing opens after an erasure on another node.
    pub(crate) async fn subject_key(
        &self,
        user: UserId,
        stored: &impl WrappedKeys,
    ) -> Result<Option<SubjectKey>, StoreError> {
        let wrapped = stored.wrapped_key(user).await?;
        wrapped
            .map(|wrapped| SubjectKey::unwrap(user, &wrapped, &self.master).map_err(unreadable))
            .transpose()
    }

    /// The key of `user` for sealing, usually from the cache. If the account was erased in the meantime, the store
    /// refuses the event.
    pub(super) async fn sealing_key(
        &self,
        user: UserId,
        stored: &impl WrappedKeys,
    ) -> Result<Option<SubjectKey>, StoreError> {
        if let Some(key) = self.cache.get(user) {
            return Ok(Some(key));
        }
        let key = self.subject_key(user, stored).await?;
        if let Some(key) = &key {
            self.cache.put(user, key.clone());
        }
        Ok(key)
    }

    /// Removes the key of an erased account from the cache.
    pub(crate) fn forget(&self, user: UserId) {
        self.cache.forget(user);
    }

    /// Empties the cache of account keys.
    pub(crate) fn forget_all(&self) {
        self.cache.forget_all();
    }

    /// Removes the keys of the accounts that these revocations erased.
    pub(crate) fn apply_revocations(&self, revocations: &[Revocation]) {
        for revocation in revocations {
            if let Revocation::Erased { user, .. } = revocation {
                self.forget(*user);
            }
        }
    }

    /// Seals new data under the master key with this fingerprint from now on.
    ///
    /// # Errors
    /// This program does not have that key: the master key was replaced.
    pub(crate) fn follow_rotation(&self, fingerprint: &[u8]) -> Result<(), StoreError> {
        if self.master.seal_with(fingerprint) {
            Ok(())
        } else {
            Err(StoreError::Unavailable(Box::new(Replaced)))
        }
    }

    /// Opens the personal fields of stored events of one stream.
    pub(crate) async fn open(
        &self,
        stream: &StreamId,
        mut events: Vec<RecordedEvent>,
        stored: &impl WrappedKeys,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let personal =
            |event: &RecordedEvent| !stream.kind.personal_fields(&event.event_type).is_empty();
        let Some(user) = events.iter().find(|event| personal(event)).map(owner) else {
            return Ok(events);
        };
        let key = self.subject_key(user?, stored).await?;
        for event in &mut events {
            open_payload(stream.kind, event, key.as_ref()).map_err(unreadable)?;
        }
        Ok(events)
    }

    /// The address of an entry of the mail queue; `None` if the account was erased.
    pub(crate) async fn open_address(
        &self,
        user: UserId,
        sealed: &[u8],
        stored: &impl WrappedKeys,
    ) -> Result<Option<Email>, StoreError> {
        let key = self.subject_key(user, stored).await?;
        key.map(|key| key.open_address(user, sealed).map_err(unreadable))
            .transpose()
    }
}

/// The master key was replaced by one that this program was not given.
#[derive(Debug, thiserror::Error)]
#[error("the store's master key was replaced; this program needs the new one")]
struct Replaced;

/// The context in which the secret with this name is sealed. It keeps one sealed secret from being used as another.
pub(crate) fn shared_secret_place(name: &str) -> String {
    format!("shared-secret/{name}")
}

/// The context in which a signing key is sealed. It keeps a sealed key from being used as another key, with another algorithm
/// or for another purpose.
pub(crate) fn signing_key_place(purpose: KeyPurpose, algorithm: &str, kid: &str) -> String {
    match purpose {
        KeyPurpose::Access => format!("signing-key/{algorithm}/{kid}"),
        KeyPurpose::IdToken => format!("id-token-key/{algorithm}/{kid}"),
    }
}
