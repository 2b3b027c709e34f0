//! What the token endpoint takes and gives.

use std::time::Duration;

use authlog_domain::Scopes;

/// The parameters with which a code is exchanged (RFC 6749 §4.1.3, RFC 7636 §4.5). It has no `Debug`.
#[derive(Clone, Copy)]
pub struct CodeExchange<'a> {
    /// `code`
    pub code: &'a str,
    /// `redirect_uri`; `None` if it is missing.
    pub redirect_uri: Option<&'a str>,
    /// `code_verifier`; `None` if it is missing.
    pub verifier: Option<&'a str>,
    /// `resource`, each time that it was sent: those of the authorization request, or fewer (RFC 8707 §2.2).
    pub resources: &'a [&'a str],
}

/// The answer of the token endpoint (RFC 6749 §5.1). It has no `Debug`.
pub struct OAuthTokens {
    /// `access_token`
    pub access: String,
    /// Whether the access token is bound to a key: then `token_type` is `DPoP`, and otherwise `Bearer`.
    pub is_bound: bool,
    /// `expires_in`
    pub expires_in: Duration,
    /// `refresh_token`
    pub refresh: Option<String>,
    /// `id_token`
    pub id_token: Option<String>,
    /// `scope`
    pub scopes: Scopes,
}
