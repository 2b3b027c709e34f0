//! The public key in the header of a proof (RFC 7517), and its thumbprint (RFC 7638).

use authlog_domain::KeyThumbprint;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

/// The sizes of RSA keys, in bytes: 2048 to 4096 bits. A signature of a larger key takes longer to verify than a request may cost.
const RSA_SIZES: std::ops::RangeInclusive<usize> = 256..=512;

/// The largest public exponent, in bytes. All programs use 65537.
const MAX_EXPONENT: usize = 4;

/// The size of a coordinate on P-256 and of an Ed25519 key, in bytes.
const COORDINATE: usize = 32;

/// Members that only a private or a shared key has (RFC 7518 §6). A proof with one gives the key away.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A key, which verifies a proof, and its thumbprint.
pub(super) struct ProofKey {
    pub(super) key: DecodingKey,
    pub(super) thumbprint: KeyThumbprint,
}

impl ProofKey {
    /// The key in `jwk`; `None` unless it is a public key of this algorithm.
    pub(super) fn of(jwk: &Map<String, Value>, algorithm: Algorithm) -> Option<Self> {
        if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
            return None;
        }
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        // The required members in the order of their names, without spaces (RFC 7638 §3.3). All values are base64url or
        // names, so they need no escaping.
        let (key, canonical) = match (algorithm, text("kty")?, text("crv")) {
            (Algorithm::ES256, "EC", Some("P-256")) => {
                let [x, y] = [coordinate(text("x")?)?, coordinate(text("y")?)?];
                let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
                (DecodingKey::from_ec_components(x, y), canonical)
            }
            (Algorithm::EdDSA, "OKP", Some("Ed25519")) => {
                let x = coordinate(text("x")?)?;
                let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
                (DecodingKey::from_ed_components(x), canonical)
            }
            (Algorithm::RS256, "RSA", None) => {
                let n = number(text("n")?, |size| RSA_SIZES.contains(&size))?;
                let e = number(text("e")?, |size| size <= MAX_EXPONENT)?;
                let canonical = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
                (DecodingKey::from_rsa_components(n, e), canonical)
            }
            _ => return None,
        };
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()));
        Some(Self {
            key: key.ok()?,
            thumbprint: KeyThumbprint::parse(&thumbprint).ok()?,
        })
    }
}

/// The text, if it is a coordinate. The decoder accepts one spelling of each, so a key has one thumbprint.
fn coordinate(text: &str) -> Option<&str> {
    let decoded = URL_SAFE_NO_PAD.decode(text).ok()?;
    (decoded.len() == COORDINATE).then_some(text)
}

/// The text, if it is a number of such a size in bytes, without leading zeros (RFC 7518 §2).
fn number(text: &str, is_size: impl Fn(usize) -> bool) -> Option<&str> {
    let decoded = URL_SAFE_NO_PAD.decode(text).ok()?;
    let is_shortest = decoded.first().is_some_and(|first| *first != 0);
    (is_shortest && is_size(decoded.len())).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key_of(jwk: &Value, algorithm: Algorithm) -> Option<ProofKey> {
        ProofKey::of(jwk.as_object().unwrap(), algorithm)
    }

    /// The key of RFC 9449 section 4.1, whose thumbprint is in section 6.1.
    fn example() -> Value {
        json!({
            "kty": "EC", "crv": "P-256",
            "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        })
    }

    #[test]
    fn the_thumbprint_is_that_of_the_rfc() {
        let of = |jwk: &Value, algorithm| key_of(jwk, algorithm).unwrap().thumbprint.to_string();
        let expected = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        assert_eq!(of(&example(), Algorithm::ES256), expected);
        // Members that a thumbprint does not cover.
        let mut more = example();
        more["kid"] = json!("one");
        more["use"] = json!("sig");
        more["alg"] = json!("ES256");
        assert_eq!(of(&more, Algorithm::ES256), expected);
        // The example of RFC 8037 appendix A.3.
        let ed25519 = json!({
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        });
        let expected = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
        assert_eq!(of(&ed25519, Algorithm::EdDSA), expected);
        // The example of RFC 7638 section 3.1.
        let rsa = json!({
            "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiF\
                  V4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9\
                  c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1\
                  jF44-csFCur-kEgU8awapJzKnqDKgw",
        });
        let expected = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
        assert_eq!(of(&rsa, Algorithm::RS256), expected);
    }

    #[test]
    fn a_key_of_another_algorithm_or_size_is_none() {
        let rsa = |bytes: usize, e: &str| {
            let mut n = vec![0xa5; bytes];
            *n.last_mut().unwrap() = 1;
            json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(n), "e": e })
        };
        assert!(key_of(&rsa(256, "AQAB"), Algorithm::RS256).is_some());
        assert!(key_of(&rsa(512, "AQAB"), Algorithm::RS256).is_some());
        let zero = URL_SAFE_NO_PAD.encode([[0].as_slice(), &[0xa5; 256]].concat());
        for (jwk, algorithm) in [
            (rsa(255, "AQAB"), Algorithm::RS256),
            (rsa(513, "AQAB"), Algorithm::RS256),
            (rsa(256, "AQABAQAB"), Algorithm::RS256),
            (rsa(256, ""), Algorithm::RS256),
            (rsa(256, "AAEAAQ"), Algorithm::RS256),
            (rsa(256, "AQAB"), Algorithm::ES256),
            (
                json!({ "kty": "RSA", "n": zero, "e": "AQAB" }),
                Algorithm::RS256,
            ),
            (example(), Algorithm::EdDSA),
            (example(), Algorithm::RS256),
            (json!({}), Algorithm::ES256),
            (json!({ "kty": "oct", "k": "AA" }), Algorithm::ES256),
        ] {
            assert!(key_of(&jwk, algorithm).is_none(), "{jwk}");
        }
        for (name, value) in [
            ("crv", json!("P-384")),
            ("crv", json!(null)),
            ("x", json!("AA")),
            ("x", json!(7)),
            ("y", json!(null)),
            // Another spelling of the last bits.
            ("x", json!("l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFt")),
            ("x", json!("l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs=")),
        ] {
            let mut jwk = example();
            jwk[name] = value;
            assert!(key_of(&jwk, Algorithm::ES256).is_none(), "{jwk}");
        }
        for name in PRIVATE {
            let mut jwk = example();
            jwk[name] = json!("AA");
            assert!(key_of(&jwk, Algorithm::ES256).is_none(), "{name}");
        }
    }
}
