//! The metadata of the authorization server (RFC 8414) and of the OpenID provider (OpenID Connect Discovery 1.0).

use std::sync::Arc;

use authlog_domain::AuthenticationLevel;
use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::keys::{KEEP, KEY_SET};
use super::{INTROSPECT, REVOKE};
use crate::Api;
use crate::oauth2::{DEVICE_AUTHORIZATION, DEVICE_CODE, DPOP_ALGORITHMS, PAR, TOKEN, USERINFO};
use crate::pages::{AUTHORIZE, END_SESSION};

/// The path of the metadata of the authorization server (RFC 8414 §3).
pub(super) const OF_SERVER: &str = "/.well-known/oauth-authorization-server";

/// The path of the metadata of the OpenID provider.
pub(super) const OF_PROVIDER: &str = "/.well-known/openid-configuration";

/// The algorithm of ID tokens, unless a client is registered for that of access tokens.
const RS256: &str = "RS256";

/// How a client authenticates itself.
const AUTH_METHODS: [&str; 4] = [
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    "none",
];

/// The algorithms with which clients sign assertions.
const ASSERTION_ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

/// One document for both specifications: each allows members of the other. Members without a value are left out
/// (RFC 8414 §3.2).
#[expect(
    clippy::struct_excessive_bools,
    reason = "the specifications say it with these members"
)]
#[derive(Serialize)]
struct MetadataOut<'a> {
    issuer: &'a str,
    authorization_endpoint: String,
    token_endpoint: String,
    device_authorization_endpoint: String,
    userinfo_endpoint: String,
    jwks_uri: String,
    introspection_endpoint: String,
    revocation_endpoint: String,
    pushed_authorization_request_endpoint: String,
    end_session_endpoint: String,
    scopes_supported: [&'static str; 5],
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: [&'static str; 4],
    prompt_values_supported: [&'static str; 4],
    acr_values_supported: [&'static str; 2],
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: Vec<&'static str>,
    token_endpoint_auth_methods_supported: [&'static str; 4],
    token_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
    introspection_endpoint_auth_methods_supported: [&'static str; 4],
    introspection_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
    revocation_endpoint_auth_methods_supported: [&'static str; 4],
    revocation_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
    code_challenge_methods_supported: [&'static str; 1],
    claim_types_supported: [&'static str; 1],
    claims_supported: [&'static str; 15],
    claims_parameter_supported: bool,
    request_parameter_supported: bool,
    // Left out, it would count as true (OpenID Connect Discovery §3).
    request_uri_parameter_supported: bool,
    authorization_response_iss_parameter_supported: bool,
    require_pushed_authorization_requests: bool,
    dpop_signing_alg_values_supported: [&'static str; 3],
    backchannel_logout_supported: bool,
    // Logout tokens have `sid` (OpenID Connect Back-Channel Logout 1.0 §2.1).
    backchannel_logout_session_supported: bool,
}

/// Returns the metadata.
pub(super) async fn metadata(State(api): State<Arc<Api>>) -> Response {
    let at = |path: &str| format!("{}{path}", api.settings.public_url);
    let out = MetadataOut {
        issuer: api.authlog.issuer_and_audience().0,
        authorization_endpoint: at(AUTHORIZE),
        token_endpoint: at(TOKEN),
        device_authorization_endpoint: at(DEVICE_AUTHORIZATION),
        userinfo_endpoint: at(USERINFO),
        jwks_uri: at(KEY_SET),
        introspection_endpoint: at(INTROSPECT),
        revocation_endpoint: at(REVOKE),
        pushed_authorization_request_endpoint: at(PAR),
        end_session_endpoint: at(END_SESSION),
        scopes_supported: ["openid", "profile", "email", "phone", "offline_access"],
        response_types_supported: ["code"],
        response_modes_supported: ["query"],
        grant_types_supported: [
            "authorization_code",
            "refresh_token",
            "client_credentials",
            DEVICE_CODE,
        ],
        prompt_values_supported: ["none", "login", "consent", "select_account"],
        acr_values_supported: [
            AuthenticationLevel::Aal1.as_str(),
            AuthenticationLevel::Aal2.as_str(),
        ],
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: with_rs256(api.authlog.id_token_algorithms()),
        token_endpoint_auth_methods_supported: AUTH_METHODS,
        token_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
        introspection_endpoint_auth_methods_supported: [
            "Bearer",
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
        ],
        introspection_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
        revocation_endpoint_auth_methods_supported: AUTH_METHODS,
        revocation_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
        code_challenge_methods_supported: ["S256"],
        claim_types_supported: ["normal"],
        claims_supported: [
            "sub",
            "iss",
            "aud",
            "exp",
            "iat",
            "auth_time",
            "nonce",
            "acr",
            "amr",
            "name",
            "preferred_username",
            "updated_at",
            "email",
            "email_verified",
            "phone_number",
        ],
        claims_parameter_supported: true,
        request_parameter_supported: false,
        request_uri_parameter_supported: false,
        authorization_response_iss_parameter_supported: true,
        require_pushed_authorization_requests: false,
        dpop_signing_alg_values_supported: DPOP_ALGORITHMS,
        backchannel_logout_supported: true,
        backchannel_logout_session_supported: true,
    };
    ([(CACHE_CONTROL, KEEP)], Json(out)).into_response()
}

/// These algorithms, and RS256: every provider supports it (OpenID Connect Discovery §3). Its key is generated shortly after the
/// first start.
fn with_rs256(mut algorithms: Vec<&'static str>) -> Vec<&'static str> {
    if !algorithms.contains(&RS256) {
        algorithms.insert(0, RS256);
    }
    algorithms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rs256_is_always_supported() {
        assert_eq!(with_rs256(vec![]), ["RS256"]);
        assert_eq!(with_rs256(vec!["EdDSA"]), ["RS256", "EdDSA"]);
        assert_eq!(with_rs256(vec!["ES256", "RS256"]), ["ES256", "RS256"]);
    }
}
