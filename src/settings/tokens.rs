//! Settings of the tokens that the service signs.

use authlog_infrastructure::tokens::JwtAlgorithm;

use super::declare::settings;
use super::format::Format;
use super::sources::Sources;

settings! {
    /// How tokens are signed.
    pub(crate) struct Tokens in "Token settings" {
        /// Algorithm that signs tokens: ES256, RS256, EdDSA or HS256
        jwt_algorithm: Option<JwtAlgorithm> = ALGORITHM.optional("what the database has; ES256 in a new one"),
        /// Secret that signs tokens with HS256 and is shared with clients
        jwt_secret: Option<String> = SHARED_SECRET.secret().optional("none"),
    }
}

const ALGORITHM: Format<JwtAlgorithm> =
    Format::new("NAME", "ES256, RS256, EdDSA or HS256", |text| {
        text.parse().ok()
    });

const SHARED_SECRET: Format<String> = Format::new(
    "SECRET",
    "at least 32 bytes, as `openssl rand -base64 48` prints them",
    |text| (text.len() >= 32).then(|| text.to_owned()),
);

impl Tokens {
    /// Reads the settings, and checks each by itself and all together.
    ///
    /// # Errors
    /// A setting is not valid, or two contradict each other.
    pub(super) fn from_sources(sources: &Sources) -> anyhow::Result<Self> {
        let tokens = Self::read(sources)?;
        let shared = tokens.jwt_algorithm == Some(JwtAlgorithm::Hs256);
        anyhow::ensure!(
            !shared || tokens.jwt_secret.is_some(),
            "AUTHLOG_JWT_ALGORITHM is HS256, which needs AUTHLOG_JWT_SECRET: the secret that clients share, at least 32 bytes"
        );
        anyhow::ensure!(
            shared || tokens.jwt_secret.is_none(),
            "AUTHLOG_JWT_SECRET is set, but AUTHLOG_JWT_ALGORITHM is not HS256: only that algorithm uses a shared secret"
        );
        Ok(tokens)
    }
}
