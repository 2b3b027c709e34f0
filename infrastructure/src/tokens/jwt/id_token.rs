//! ID tokens (OpenID Connect Core §2), and logout tokens, which are signed with the same keys.

use std::time::Duration;

use authlog_application::LONGEST_TOKEN;
use authlog_application::ports::{IdTokenError, LogoutClaims, TokenError};
use authlog_domain::Timestamp;
use authlog_domain::client::IdTokenAlg;
use serde_json::{Map, Value, json};

use super::format::{
    ID_TYPE, LOGOUT_TYPE, NotSigned, check_lifetime, from_seconds, header_of, payload_of, sign,
};
use crate::tokens::{KeySet, SigningKey};

/// The lifetime of a logout token: "preferably at most two minutes" (OpenID Connect Back-Channel Logout 1.0 §4). Each attempt to
/// send one makes another.
const LOGOUT_LIFETIME: Duration = Duration::from_secs(2 * 60);

/// The member of `events` by which a token is a logout token (§2.4).
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The ID token of `issuer` with these claims.
pub(super) fn sign_id_token(
    keys: &KeySet,
    issuer: &str,
    claims: &Map<String, Value>,
    algorithm: IdTokenAlg,
    now: Timestamp,
) -> Result<String, IdTokenError> {
    let key = key_for(keys, algorithm, now).ok_or(IdTokenError::NoKey)?;
    let expires_at = claims.get("exp").and_then(Value::as_i64);
    let expires_at = expires_at.and_then(from_seconds);
    // Without an end, it would outlive every key.
    let expires_at = expires_at.ok_or_else(|| TokenError::from(NotSigned::TooLongLived))?;
    check_lifetime(now, expires_at, LONGEST_TOKEN).map_err(TokenError::from)?;
    let mut payload = claims.clone();
    payload.insert("iss".to_owned(), json!(issuer));
    payload.insert("iat".to_owned(), json!(now.unix_seconds()));
    Ok(sign(ID_TYPE, key, key.access(), &payload)?)
}

/// The logout token of `issuer` with these claims.
pub(super) fn sign_logout_token(
    keys: &KeySet,
    issuer: &str,
    claims: &LogoutClaims,
    algorithm: IdTokenAlg,
    now: Timestamp,
) -> Result<String, IdTokenError> {
    let key = key_for(keys, algorithm, now).ok_or(IdTokenError::NoKey)?;
    let payload = json!({
        "iss": issuer,
        "sub": claims.user,
        "aud": claims.client,
        "iat": now.unix_seconds(),
        "exp": now.plus(LOGOUT_LIFETIME).unix_seconds(),
        "jti": claims.token,
        "sid": claims.session,
        "events": { LOGOUT_EVENT: {} },
    });
    Ok(sign(LOGOUT_TYPE, key, key.access(), &payload)?)
}

fn key_for(keys: &KeySet, algorithm: IdTokenAlg, now: Timestamp) -> Option<&SigningKey> {
    let own = || keys.signing_id_tokens(now);
    match algorithm {
        IdTokenAlg::Rs256 => own(),
        IdTokenAlg::AccessKey => keys.signing_publicly(now).or_else(own),
    }
}

/// The claims of an ID token of `issuer`, of any age.
pub(super) fn verify_hint(keys: &KeySet, issuer: &str, token: &str) -> Option<Map<String, Value>> {
    let header = header_of(token)?;
    if header.typ != ID_TYPE {
        return None;
    }
    let key = keys.of_id_token(&header.kid)?;
    let payload = payload_of(token, &header, key.access())?;
    let claims: Map<String, Value> = serde_json::from_slice(&payload).ok()?;
    (claims.get("iss")? == issuer).then_some(claims)
}

/// The algorithms of ID tokens, each once.
pub(super) fn algorithms(keys: &KeySet, now: Timestamp) -> Vec<&'static str> {
    let mut algorithms = vec!["RS256"];
    let access = keys.signing_publicly(now);
    let access = access.map(|key| key.algorithm().as_str());
    algorithms.extend(access.filter(|name| *name != "RS256"));
    algorithms
}
