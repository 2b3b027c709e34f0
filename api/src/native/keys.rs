//! The public keys that verify tokens.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::problem::problem;
use super::query::{parsed, read_parameters};
use crate::Api;

/// The path of the keys.
pub(super) const KEY_SET: &str = "/.well-known/jwks.json";

/// `Cache-Control` of the keys: verifiers may cache them for five minutes. A new key is published for longer than that before
/// it signs.
pub(super) const KEEP: &str = "public, max-age=300";

/// The types of public keys that there can be (RFC 7518 §6.1, RFC 8037 §2).
const KEY_TYPES: [&str; 3] = ["RSA", "EC", "OKP"];

/// The keys as a JSON Web Key Set (RFC 7517). With `?kty=RSA,EC` it has only keys of these types, for clients that refuse a set
/// with a key of another type.
pub(super) async fn key_set(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Response {
    let types = match wanted_types(query.as_deref()) {
        Ok(types) => types,
        Err(detail) => return problem(StatusCode::BAD_REQUEST, &detail),
    };
    let set = of_types(api.authlog.key_set(), &types);
    ([(CACHE_CONTROL, KEEP)], Json(set)).into_response()
}

/// The key types that the query names; empty for all.
fn wanted_types(query: Option<&str>) -> Result<Vec<&'static str>, String> {
    let mut types = Vec::new();
    read_parameters(query, |name, value| {
        if name != "kty" {
            return Ok(());
        }
        for wanted in value.split(',') {
            let known = KEY_TYPES.into_iter().find(|known| *known == wanted);
            types.push(parsed(name, known, "a list of RSA, EC and OKP")?);
        }
        Ok(())
    })?;
    Ok(types)
}

fn of_types(mut set: Value, types: &[&str]) -> Value {
    if let Some(keys) = set.get_mut("keys").and_then(Value::as_array_mut) {
        keys.retain(|key| {
            let is_wanted = |wanted: &&str| key["kty"] == **wanted;
            types.is_empty() || types.iter().any(is_wanted)
        });
    }
    set
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_set_has_the_keys_of_the_wanted_types_in_their_order() {
        let [ec, rsa, okp] = ["EC", "RSA", "OKP"].map(|kty| json!({ "kty": kty }));
        let set = json!({ "keys": [ec, rsa, okp] });
        for (query, keys) in [
            (None, vec![&ec, &rsa, &okp]),
            (Some("x=1&other"), vec![&ec, &rsa, &okp]),
            (Some("kty=RSA,EC"), vec![&ec, &rsa]),
            (Some("kty=OKP&v=2"), vec![&okp]),
            (Some("kty=RSA&kty=RSA%2COKP"), vec![&rsa, &okp]),
        ] {
            let types = wanted_types(query).unwrap();
            let found = of_types(set.clone(), &types);
            assert_eq!(found, json!({ "keys": keys }), "{query:?}");
        }
    }

    #[test]
    fn a_type_that_no_key_can_have_is_refused() {
        for query in [
            "kty=",
            "kty=rsa",
            "kty=oct",
            "kty=RSA,",
            "kty=RSA EC",
            "kty=RSA&kty=x",
        ] {
            let error = wanted_types(Some(query)).unwrap_err();
            assert_eq!(error, "kty must be a list of RSA, EC and OKP.", "{query}");
        }
    }
}
