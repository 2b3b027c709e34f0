//! Reading and forging tokens without the key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// The header of a JWT.
#[track_caller]
pub fn header(token: &str) -> Value {
    part(token, 0)
}

/// The claims of a JWT, unverified.
#[track_caller]
pub fn claims(token: &str) -> Value {
    part(token, 1)
}

/// The lifetime of a JWT, in seconds.
#[track_caller]
pub fn lifetime(token: &str) -> i64 {
    let claims = claims(token);
    claims["exp"].as_i64().expect("exp") - claims["iat"].as_i64().expect("iat")
}

/// The same token with one bit of its signature changed.
#[track_caller]
pub fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').expect("a JWT");
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    bytes[0] ^= 1;
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// The same token with other claims under the old signature.
#[track_caller]
pub fn altered(token: &str, alter: impl FnOnce(&mut Value)) -> String {
    let mut claims = claims(token);
    alter(&mut claims);
    let parts: Vec<&str> = token.split('.').collect();
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    format!("{}.{claims}.{}", parts[0], parts[2])
}

/// The same claims without a signature (RFC 8725 §3.1: the attack with `alg: none`).
#[track_caller]
pub fn unsigned(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let claims = token.split('.').nth(1).expect("a JWT");
    format!("{header}.{claims}.")
}

/// Asserts that `token` has the registered claims, `sid`, and `others` with these values, and nothing of a password.
/// Returns all claims.
#[track_caller]
pub fn carries(token: &str, others: &Value) -> Value {
    let claims = claims(token);
    for name in ["iss", "sub", "aud", "iat", "exp", "jti", "sid"] {
        assert!(!claims[name].is_null(), "no `{name}` in {claims}");
    }
    for (name, expected) in others.as_object().expect("claims by name") {
        super::form::assert_fits(expected, &claims[name], &format!("claim `{name}`"));
    }
    assert!(
        claims.get("password").is_none(),
        "a token carries a password: {claims}"
    );
    claims
}

#[track_caller]
fn part(token: &str, index: usize) -> Value {
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "not a JWT: {token}");
    let bytes = URL_SAFE_NO_PAD
        .decode(parts[index])
        .unwrap_or_else(|error| panic!("{error} in {token}"));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{error} in {token}"))
}
