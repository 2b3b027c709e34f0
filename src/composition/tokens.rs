//! The keys and names of tokens.

use std::sync::Arc;

use anyhow::Context;
use authlog_application::ports::Entropy;
use authlog_infrastructure::Store;
use authlog_infrastructure::tokens::{
    JwtAlgorithm, KeyPurpose, KeySet, KeyWatch, Keys, SigningKey, ensure_signing_key,
};

use super::clock;
use crate::settings::Settings;

/// `aud` of every token. There is one value, because the tokens of every contract are valid in all of them.
pub(super) const AUDIENCE: &str = "authlog";

/// `iss` of every token: the public URL if it is set (RFC 8414 §2), else a fixed name. The listening address would
/// change with the port and invalidate tokens.
pub(super) fn issuer(settings: &Settings) -> String {
    settings
        .http
        .public_url
        .as_ref()
        .map_or("authlog", |url| url.as_str().trim_end_matches('/'))
        .to_owned()
}

/// The keys that sign and verify tokens, and the worker that keeps them up to date with the store. The first start
/// creates a key of access tokens. A key of ID tokens is made later, because that takes longer.
///
/// # Errors
/// A key cannot be created or read, or the store does not answer.
pub(crate) async fn token_keys(
    settings: &Settings,
    store: Arc<dyn Store>,
) -> anyhow::Result<(Keys, KeyWatch<dyn Store>)> {
    if let Some(checkpoints) = &settings.storage.checkpoint_file {
        let mut file = checkpoints.clone().into_os_string();
        file.push(".retired-keys");
        if let Err(error) = store.keep_retired_keys_in(file.into()) {
            tracing::error!(%error, "retired signing keys cannot be saved to a file and are kept in memory only");
        }
    }
    let shared = settings
        .tokens
        .jwt_secret
        .as_ref()
        .map(|secret| SigningKey::from_secret(secret.as_bytes()))
        .transpose()
        .context("AUTHLOG_JWT_SECRET")?;
    let now = clock().now();
    let access = match settings.tokens.jwt_algorithm {
        // Tokens that were signed with keys of another algorithm stay valid.
        Some(JwtAlgorithm::Hs256) => store.signing_keys(KeyPurpose::Access, now).await?.keys,
        wanted => ensure_signing_key(&*store, KeyPurpose::Access, wanted, now)
            .await
            .context("there is no key to sign tokens with")?,
    };
    let mut first = KeySet::new(shared.map(Arc::new), &access);
    // If they cannot be read, the key watch reports it, and access tokens are not affected.
    if let Ok(stored) = store.signing_keys(KeyPurpose::IdToken, now).await {
        first = first.with(KeyPurpose::IdToken, &stored.keys);
    }
    Ok(KeyWatch::new(store, clock(), first))
}

/// The secret that all nodes share, from which the keys of mailed links and of second factors are derived.
pub(super) async fn shared_secret(
    store: &dyn Store,
    entropy: &dyn Entropy,
) -> anyhow::Result<[u8; 32]> {
    let mut candidate = [0; 32];
    entropy.fill(&mut candidate);
    let key = store.shared_secret("reset-token-key", &candidate).await?;
    <[u8; 32]>::try_from(key.as_slice()).context("the stored key of reset tokens is not 32 bytes")
}
