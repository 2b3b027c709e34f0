//! Creation and verification of tokens.

use async_trait::async_trait;
use authlog_domain::client::IdTokenAlg;
use authlog_domain::{
    Authentication, ContractName, ResetId, SessionId, Timestamp, UserId, VerificationId,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    ClientTokenClaims, Entropy, IdTokenError, LogoutClaims, OAuthClaims, VerifiedOAuthToken,
};

/// The kind of a token. A token of one kind is never accepted as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// It authenticates.
    Access,
    /// It is exchanged for new tokens.
    Refresh {
        /// The generation of the token: how often the session's refresh token had been replaced before.
        generation: u32,
    },
}

/// The claims of a token to be signed.
#[derive(Clone, Debug)]
pub struct TokenClaims {
    /// The kind of the token.
    pub kind: TokenKind,
    /// The id of the token (`jti`).
    pub token: Uuid,
    /// The account (`sub`).
    pub user: UserId,
    /// The session (`sid`).
    pub session: SessionId,
    /// `client_id` of an access token (RFC 9068 §2.2): the contract through which it is issued (`docs/adr/0017`).
    pub client: Option<ContractName>,
    /// The account's session epoch under which the session started.
    pub epoch: u32,
    /// When it is issued (`iat`).
    pub issued_at: Timestamp,
    /// When it expires (`exp`).
    pub expires_at: Timestamp,
    /// `amr`, `acr` and `auth_time` of an access token (RFC 9068 §2.2.1).
    pub authentication: Option<Authentication>,
    /// Further claims for the contract's clients. Registered claims override members of the same name.
    pub extra: Map<String, Value>,
    /// The claims of a token of OAuth, in place of `client`; `None` for a token of a contract. No contract accepts the one,
    /// and no endpoint of OAuth the other.
    pub oauth: Option<OAuthClaims>,
}

/// The claims of a token whose signature, issuer, audience, kind and times have been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedToken {
    /// The kind of the token.
    pub kind: TokenKind,
    /// The id of the token (`jti`).
    pub token: Uuid,
    /// The account.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// The account's session epoch under which the session started.
    pub epoch: u32,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// How the person was authenticated. Only access tokens say it, and those of earlier versions do not.
    pub authentication: Option<Authentication>,
}

/// Why a token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("the token cannot be signed")]
pub struct TokenError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Signs and verifies tokens in the form of RFC 7519, by RFC 8725.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// The signed token.
    ///
    /// # Errors
    /// The key cannot sign.
    fn sign(&self, claims: &TokenClaims) -> Result<String, TokenError>;

    /// The claims of the token; `None` unless it was issued by this service through a contract and is valid at `now`. A token
    /// of OAuth is refused.
    fn verify(&self, token: &str, now: Timestamp) -> Option<VerifiedToken>;

    /// The claims of an access or refresh token of OAuth; `None` unless it was issued by this service and is valid at `now`. A
    /// token of a contract and an ID token are refused.
    fn verify_oauth(&self, token: &str, now: Timestamp) -> Option<VerifiedOAuthToken>;

    /// The signed access token of a client itself.
    ///
    /// # Errors
    /// The key cannot sign.
    fn sign_client_token(&self, claims: &ClientTokenClaims) -> Result<String, TokenError>;

    /// The signed ID token with these claims (OpenID Connect Core §2), `iss` and `iat`. Where clients share the secret that
    /// signs access tokens, it is signed with RS256 in any case: with the secret, each of them could sign such tokens.
    ///
    /// # Errors
    /// There is no key yet, it cannot sign, or `exp` is missing or later than any key would verify it.
    fn sign_id_token(
        &self,
        claims: &Map<String, Value>,
        algorithm: IdTokenAlg,
        now: Timestamp,
    ) -> Result<String, IdTokenError>;

    /// The logout token with these claims (OpenID Connect Back-Channel Logout 1.0 §2.4), `iss`, `iat` and `events`. It is signed
    /// as the ID tokens of the client are, and is valid for two minutes.
    ///
    /// # Errors
    /// There is no key yet, or it cannot sign.
    fn sign_logout_token(
        &self,
        claims: &LogoutClaims,
        algorithm: IdTokenAlg,
        now: Timestamp,
    ) -> Result<String, IdTokenError>;

    /// The claims of an ID token of this service, of any age; `None` if it is none, or if its key was retired or is not
    /// known any more. So it says whom a request is about, and proves nothing (OpenID Connect Core §3.1.2.1, `id_token_hint`).
    fn verify_id_token_hint(&self, token: &str) -> Option<Map<String, Value>>;

    /// The algorithms that sign ID tokens at `now`, each once: `id_token_signing_alg_values_supported` of OpenID Connect
    /// Discovery §3.
    fn id_token_algorithms(&self, now: Timestamp) -> Vec<&'static str>;

    /// If this node does not know the key that the token of any kind names, waits briefly until it is loaded. Returns whether
    /// verifying again makes sense.
    async fn learn_key(&self, token: &str) -> bool;

    /// The public keys that verify tokens at `now`, as a JSON Web Key Set (RFC 7517). A shared secret is not among them.
    fn key_set(&self, now: Timestamp) -> Value;

    /// `iss` of every token.
    fn issuer(&self) -> &str;

    /// `aud` of every token of a contract.
    fn audience(&self) -> &str;
}

/// The SHA-256 digest of a token, under which it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenDigest(pub [u8; 32]);

/// An opaque access token: a random UUID. It is shown once and stored as a [`TokenDigest`].
pub struct OpaqueToken(Uuid);

impl OpaqueToken {
    /// The token with these random bits.
    pub const fn new(random: Uuid) -> Self {
        Self(random)
    }

    /// Parses a token as a client presents it; `None` if the text is not an opaque token.
    pub fn parse(text: &str) -> Option<Self> {
        // Tokens are only issued in the hyphenated form.
        (text.len() == 36).then(|| Uuid::try_parse(text).ok().map(Self))?
    }

    /// The text for the client.
    pub fn reveal(&self) -> String {
        self.0.hyphenated().to_string()
    }
}

/// The secret of a browser session: 256 random bits, which a browser keeps in a cookie. It is shown once and stored as a
/// [`TokenDigest`]. It is no access token, and an access token is no secret of a browser session.
pub struct BrowserSecret(Zeroizing<[u8; 32]>);

impl BrowserSecret {
    /// A random secret.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut random = Zeroizing::new([0; 32]);
        entropy.fill(random.as_mut_slice());
        Self(random)
    }

    /// Parses the value of a cookie; `None` if it is not such a secret.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != BROWSER_SECRET_CHARACTERS {
            return None;
        }
        let bytes = Zeroizing::new(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?);
        let bytes = bytes.as_slice().try_into().ok()?;
        Some(Self(Zeroizing::new(bytes)))
    }

    /// The value of the cookie.
    pub fn reveal(&self) -> String {
        BASE64URL_NOPAD.encode(self.0.as_slice())
    }

    /// The random bits.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 32 bytes in base64 without padding.
const BROWSER_SECRET_CHARACTERS: usize = 43;

/// Creates and parses the secrets of mailed links.
///
/// A reset token is not a JWT and is derived from a key of its own, so it cannot be forged with the key that signs
/// JWTs. Nothing secret has to be stored to mail it later.
pub trait SecretTokens: Send + Sync {
    /// The id of the reset that a queued request leads to. It is derived from everything in the request that its link depends
    /// on. So an attacker who writes to the queue cannot choose an id that was used before.
    fn reset_of(&self, queued: ResetId, identifier: &str, at: Timestamp) -> ResetId;

    /// The token that proves that its bearer received the mail of this request.
    fn reset_token(&self, user: UserId, reset: ResetId) -> String;

    /// The account and the reset of a token; `None` if this service did not create it.
    fn parse_reset_token(&self, token: &str) -> Option<(UserId, ResetId)>;

    /// The token that proves that its bearer received the mail with this verification link.
    fn verification_token(&self, user: UserId, verification: VerificationId) -> String;

    /// The account and the request of a token; `None` if this service did not create it as a verification token.
    fn parse_verification_token(&self, token: &str) -> Option<(UserId, VerificationId)>;

    /// The digest under which an opaque token is stored.
    fn digest(&self, token: &OpaqueToken) -> TokenDigest;

    /// The digest under which the secret of a browser session is stored.
    fn browser_digest(&self, secret: &BrowserSecret) -> TokenDigest;

    /// A text that the forms of a browser session contain. Only a page that was made for this session has it.
    fn form_token(&self, secret: &BrowserSecret) -> String;

    /// Whether `token` is the text that the forms of the browser session contain.
    fn is_form_token(&self, secret: &BrowserSecret, token: &str) -> bool;

    /// The code challenge of a verifier by the method S256: its SHA-256 in base64url without padding (RFC 7636 §4.2).
    fn code_challenge(&self, verifier: &str) -> String;
}
