//! The signing keys of a node in memory: which ones sign, and which ones verify.

use std::sync::Arc;

use authlog_domain::Timestamp;
use serde_json::{Value, json};

use super::loaded_keys::LoadedKeys;
use super::{KeyPurpose, KeyRecord, SigningKey};

/// The keys that a node uses.
#[derive(Default)]
pub struct KeySet {
    /// The secret that is shared with clients. If there is one, it signs access tokens.
    shared: Option<Arc<SigningKey>>,
    access: Arc<LoadedKeys>,
    id_tokens: Arc<LoadedKeys>,
}

impl KeySet {
    /// The stored keys of access tokens, and the secret that is shared with clients.
    pub fn new(shared: Option<Arc<SigningKey>>, access: &[KeyRecord]) -> Self {
        let empty = Self {
            shared,
            ..Self::default()
        };
        empty.with(KeyPurpose::Access, access)
    }

    /// This set, with the keys of this purpose updated to the stored ones. Known keys are not parsed again.
    #[must_use]
    pub fn with(&self, purpose: KeyPurpose, records: &[KeyRecord]) -> Self {
        let mut updated = Self {
            shared: self.shared.clone(),
            access: Arc::clone(&self.access),
            id_tokens: Arc::clone(&self.id_tokens),
        };
        match purpose {
            KeyPurpose::Access => updated.access = Arc::new(self.access.with(records)),
            KeyPurpose::IdToken => updated.id_tokens = Arc::new(self.id_tokens.with(records)),
        }
        updated
    }

    /// The key that signs access and refresh tokens at `now`.
    pub(super) fn signing(&self, now: Timestamp) -> Option<&SigningKey> {
        self.shared.as_deref().or_else(|| self.access.signing(now))
    }

    /// The key of access and refresh tokens with this name, if its tokens can be valid at `now`.
    pub(super) fn verifying(&self, kid: &str, now: Timestamp) -> Option<&SigningKey> {
        let shared = || self.shared.as_deref().filter(|key| key.kid() == kid);
        self.access.verifying(kid, now).or_else(shared)
    }

    /// The key that signs ID tokens at `now`. A new database has none for a moment.
    pub(super) fn signing_id_tokens(&self, now: Timestamp) -> Option<&SigningKey> {
        self.id_tokens.signing(now)
    }

    /// The key that signs access tokens at `now`, if its public half verifies them. ID tokens are signed with it on request, but
    /// never with a secret that clients share.
    pub(super) fn signing_publicly(&self, now: Timestamp) -> Option<&SigningKey> {
        match self.shared {
            Some(_) => None,
            None => self.access.signing(now),
        }
    }

    /// The key with this name that may have signed an ID token, however long ago, unless it was retired. The private half of
    /// a key is deleted at the first rotation after its last token has expired, and its public half with it.
    pub(super) fn of_id_token(&self, kid: &str) -> Option<&SigningKey> {
        self.id_tokens.named(kid).or_else(|| self.access.named(kid))
    }

    /// Whether a key with this name is known, in any state.
    pub(super) fn knows(&self, kid: &str) -> bool {
        self.of_id_token(kid).is_some()
    }

    /// The public keys that verify, as a JSON Web Key Set (RFC 7517): those of access tokens before those of ID tokens.
    pub(super) fn public(&self, now: Timestamp) -> Value {
        let keys = self.access.public(now).chain(self.id_tokens.public(now));
        json!({ "keys": keys.collect::<Vec<_>>() })
    }
}
