//! The public keys of a client that authenticates by signatures.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Flaw;

/// A JSON Web Key Set (RFC 7517) of public keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientJwks(Value);

/// The members of a key that only its owner may have (RFC 7518 sections 6.2.2, 6.3.2 and 6.4).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

impl ClientJwks {
    /// The longest set, in bytes: a dozen RSA keys.
    pub const MAX_LENGTH: usize = 8 * 1024;

    /// The greatest number of keys in a set.
    pub const MAX_KEYS: usize = 20;

    /// Parses a set of public RSA, EC or OKP keys. Whether each key can be used is seen when a signature is verified.
    ///
    /// # Errors
    /// The flaw of the text: missing, longer than [`Self::MAX_LENGTH`], or no such set. A set with a private or a symmetric
    /// key is malformed as well, because everyone can read events. So is one with a number that is no integer of 64 bits: when
    /// it is read again, it can be another one, and then the client's row differs from what was authenticated.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        if text.is_empty() {
            return Err(Flaw::Required);
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(Flaw::TooLong {
                max: Self::MAX_LENGTH,
            });
        }
        let set: Value = serde_json::from_str(text).map_err(|_| Flaw::Malformed)?;
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(Flaw::Malformed)?;
        if keys.is_empty() || keys.len() > Self::MAX_KEYS || !keys.iter().all(is_public_key) {
            return Err(Flaw::Malformed);
        }
        // Other members of the set have no meaning here.
        Ok(Self(serde_json::json!({ "keys": keys })))
    }

    /// The set.
    pub fn as_value(&self) -> &Value {
        &self.0
    }

    /// The keys of the set.
    pub fn keys(&self) -> impl Iterator<Item = &Value> {
        self.0
            .get("keys")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    }
}

fn is_public_key(key: &Value) -> bool {
    let kind = key.get("kty").and_then(Value::as_str);
    matches!(kind, Some("RSA" | "EC" | "OKP"))
        && PRIVATE_MEMBERS
            .iter()
            .all(|member| key.get(member).is_none())
        && is_stable(key)
}

/// Whether the value is the same after it was written as text and read again. The parser bounds the depth.
fn is_stable(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(values) => values.iter().all(is_stable),
        Value::Object(members) => members.values().all(is_stable),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_public_keys_only() {
        let key =
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let set = ClientJwks::parse(&format!(r#"{{"keys":[{key}],"more":1}}"#)).unwrap();
        assert_eq!(set.keys().count(), 1);
        assert_eq!(set.as_value()["more"], Value::Null);
        let dated =
            r#"{"keys":[{"kty":"RSA","n":"a","e":"AQAB","nbf":-1,"exp":18446744073709551615}]}"#;
        assert!(ClientJwks::parse(dated).is_ok());
        for text in [
            "",
            "keys",
            "[]",
            "{}",
            r#"{"keys":[]}"#,
            r#"{"keys":[1]}"#,
            r#"{"keys":{}}"#,
            r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#,
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"a","d":"b"}]}"#,
            r#"{"keys":[{"kty":"RSA","n":"a","e":"AQAB","p":"b"}]}"#,
            r#"{"keys":[{"kty":"RSA","n":"a","e":"AQAB","exp":0.1}]}"#,
            r#"{"keys":[{"kty":"RSA","n":"a","e":"AQAB","more":[{"exp":1e400}]}]}"#,
            r#"{"keys":[{"kty":"RSA","n":"a","e":"AQAB","more":[{"exp":1e20}]}]}"#,
        ] {
            assert!(ClientJwks::parse(text).is_err(), "{text}");
        }
        let many = vec![key; 21].join(",");
        assert!(ClientJwks::parse(&format!(r#"{{"keys":[{many}]}}"#)).is_err());
        assert!(ClientJwks::parse(&"a".repeat(9000)).is_err());
    }
}
