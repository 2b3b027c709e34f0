//! The public keys of the issuer, as its key set names them (RFC 7517).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::clock::{Moment, Reading};

/// The largest key set that is read, in bytes. That of Authlog has about 1 KiB.
pub(crate) const LARGEST_SET: usize = 256 * 1024;

/// The largest number of keys in a set. Authlog publishes a handful.
const MOST_KEYS: usize = 100;

/// The longest modulus of an RSA key, in bytes: 8192 bits.
const LONGEST_MODULUS: usize = 1024;

/// The longest exponent of an RSA key, in bytes. All keys in use have three.
const LONGEST_EXPONENT: usize = 4;

/// The longest name of a key.
const LONGEST_KID: usize = 256;

/// An algorithm of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256, with which Authlog signs by default.
    Es256,
    /// RSA PKCS #1 v1.5 with SHA-256, with keys of 2048 to 8192 bits.
    Rs256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The name in headers and keys (RFC 7518 §3.1, RFC 8037 §3.1).
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Es256, Self::Rs256, Self::EdDsa];
        all.into_iter().find(|it| it.name() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A public key, which verifies with one algorithm.
pub(crate) struct PublicKey {
    algorithm: Algorithm,
    key: ParsedPublicKey,
}

impl PublicKey {
    /// The name and the key that a member of a key set describes. `None` if it is no key that verifies access tokens: of another
    /// kind, for another use, or malformed. A shared secret (`oct`) is none either.
    fn of(jwk: &Value) -> Option<(String, Self)> {
        let text = |name: &str| jwk.get(name)?.as_str();
        let kid = text("kid").filter(|kid| !kid.is_empty() && kid.len() <= LONGEST_KID)?;
        if jwk.get("use").is_some_and(|it| it != "sig") {
            return None;
        }
        let algorithm = match (text("kty")?, text("crv")) {
            ("EC", Some("P-256")) => Algorithm::Es256,
            ("RSA", _) => Algorithm::Rs256,
            ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
            _ => return None,
        };
        if jwk.get("alg").is_some_and(|it| it != algorithm.name()) {
            return None;
        }
        let bytes = |name: &str, most: usize| -> Option<Vec<u8>> {
            let encoded = text(name).filter(|it| it.len() <= most.div_ceil(3) * 4)?;
            URL_SAFE_NO_PAD.decode(encoded).ok()
        };
        let key = match algorithm {
            Algorithm::Es256 => {
                // The uncompressed point (SEC 1 §2.3.3).
                let (x, y) = (bytes("x", 32)?, bytes("y", 32)?);
                if x.len() != 32 || y.len() != 32 {
                    return None;
                }
                let point = [&[4], &*x, &*y].concat();
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?
            }
            Algorithm::EdDsa => ParsedPublicKey::new(&ED25519, bytes("x", 32)?).ok()?,
            Algorithm::Rs256 => {
                let components = RsaPublicKeyComponents {
                    n: bytes("n", LONGEST_MODULUS)?,
                    e: bytes("e", LONGEST_EXPONENT)?,
                };
                let key = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
                key.ok()?
            }
        };
        Some((kid.to_owned(), Self { algorithm, key }))
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.key.as_ref() == other.key.as_ref()
    }
}

/// An answer that is no key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAKeySet;

/// The keys of the issuer, by their names.
#[derive(Clone, Default)]
pub(crate) struct KeySet {
    keys: HashMap<String, Arc<PublicKey>>,
    /// Changes whenever a key is no longer in the set, or is another one. So a signature that was verified before counts only
    /// while this is the same.
    generation: u64,
    /// When the issuer said so. `None` if it has not yet.
    as_of: Option<Moment>,
}

/// By how much the age of two answers may be wrong, in milliseconds: `Age` has whole seconds.
const ROUNDING: i64 = 2000;

impl KeySet {
    /// Parses a key set (RFC 7517 §5). Unusable keys are ignored. So are keys that share a name, because it does not say which one
    /// is meant.
    ///
    /// A set without a usable key is a key set as well, also an empty one, which RFC 7517 permits. It says that every known key is
    /// retired: the issuer signs with another algorithm, or with a shared secret. If it were an error, those keys would stay trusted
    /// for as long as the issuer answers like this. A wrong set costs answers with the status 503 until the next one is fetched.
    pub(crate) fn parse(body: &[u8], accepted: &[Algorithm]) -> Result<Self, NotAKeySet> {
        if body.len() > LARGEST_SET {
            return Err(NotAKeySet);
        }
        let set: Value = serde_json::from_slice(body).map_err(|_| NotAKeySet)?;
        let list = set.get("keys").and_then(Value::as_array);
        let list = list
            .filter(|list| list.len() <= MOST_KEYS)
            .ok_or(NotAKeySet)?;
        let mut names: HashMap<&str, usize> = HashMap::new();
        for kid in list.iter().filter_map(|jwk| jwk.get("kid")?.as_str()) {
            *names.entry(kid).or_default() += 1;
        }
        let usable = list.iter().filter_map(PublicKey::of);
        let keys: HashMap<_, _> = usable
            .filter(|(kid, key)| {
                accepted.contains(&key.algorithm) && names.get(&**kid).is_some_and(|it| *it == 1)
            })
            .map(|(kid, key)| (kid, Arc::new(key)))
            .collect();
        Ok(Self {
            keys,
            generation: 0,
            as_of: None,
        })
    }

    /// This set, as the successor of `earlier`.
    pub(crate) fn after(mut self, earlier: &Self) -> Self {
        let keeps_all = earlier.keys.iter().all(|(kid, known)| {
            let same = self.keys.get(kid);
            same.is_some_and(|key| key.is_same_as(known))
        });
        self.generation = earlier.generation + u64::from(!keeps_all);
        self
    }

    /// This set, as the issuer served it at that moment.
    pub(crate) fn served_at(mut self, moment: Moment) -> Self {
        self.as_of = Some(moment);
        self
    }

    /// How old the set is; `None` if there is none yet.
    pub(crate) fn age(&self, now: Reading) -> Option<Duration> {
        self.as_of.map(|moment| moment.age(now))
    }

    /// Whether another set is newer by both clocks. Two caches may hold answers of different ages.
    pub(crate) fn is_older_than(&self, other: &Self) -> bool {
        let (Some(own), Some(other)) = (self.as_of, other.as_of) else {
            return false;
        };
        let is_before = |own: i64, other: i64| own.saturating_add(ROUNDING) < other;
        is_before(own.monotonic, other.monotonic) && is_before(own.wall, other.wall)
    }

    pub(crate) fn get(&self, kid: &str) -> Option<&Arc<PublicKey>> {
        self.keys.get(kid)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ES256: &[Algorithm] = &[Algorithm::Es256];
    const ALL: &[Algorithm] = &[Algorithm::Es256, Algorithm::Rs256, Algorithm::EdDsa];

    /// The public key of RFC 7515 A.3.
    fn ec(kid: &str) -> Value {
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        })
    }

    /// The public key of RFC 8037 A.2.
    fn okp(kid: &str) -> Value {
        json!({
            "kty": "OKP", "crv": "Ed25519", "kid": kid,
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        })
    }

    fn set(keys: &[Value]) -> Vec<u8> {
        json!({ "keys": keys }).to_string().into_bytes()
    }

    fn with(mut key: Value, member: &str, value: Value) -> Value {
        key[member] = value;
        key
    }

    #[test]
    fn keys_of_accepted_algorithms_are_found_by_name() {
        let body = set(&[ec("a"), okp("b")]);
        let all = KeySet::parse(&body, ALL).ok().unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all.get("b").unwrap().algorithm(), Algorithm::EdDsa);
        let one = KeySet::parse(&body, ES256).ok().unwrap();
        assert!(one.get("a").is_some() && one.get("b").is_none());
    }

    #[test]
    fn unusable_keys_are_ignored() {
        let secret = json!({ "kty": "oct", "k": "AAAA", "kid": "s", "alg": "HS256" });
        let odd = [
            secret,
            with(ec("s"), "alg", json!("HS256")),
            with(ec("s"), "alg", json!(7)),
            with(ec("s"), "use", json!("enc")),
            with(ec("s"), "crv", json!("P-384")),
            with(ec("s"), "x", json!("AAAA")),
            with(
                ec("s"),
                "y",
                json!("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
            ),
            with(ec("s"), "x", json!("A".repeat(100_000))),
            with(ec("s"), "x", json!(null)),
            with(ec("s"), "kid", json!("")),
            with(ec("s"), "kid", json!(["s"])),
            with(okp("s"), "x", json!("AAAA")),
            json!({ "kty": "RSA", "kid": "s", "n": "AQAB", "e": "AQAB", "alg": "PS256" }),
            json!({ "kty": "RSA", "kid": "s", "n": "", "e": "" }),
            json!({ "kty": "RSA", "kid": "s", "n": "A".repeat(10_000), "e": "AQAB" }),
            json!("a text"),
            json!(null),
            json!([]),
        ];
        for key in odd {
            let parsed = KeySet::parse(&set(&[key.clone(), ec("good")]), ALL);
            let parsed = parsed.ok().unwrap();
            assert!(parsed.get("s").is_none(), "{key}");
            assert!(parsed.get("good").is_some(), "{key}");
        }
    }

    #[test]
    fn an_answer_in_another_format_is_no_key_set() {
        let many: Vec<_> = (0..=MOST_KEYS).map(|it| ec(&it.to_string())).collect();
        let deep = "[".repeat(200_000);
        for body in [
            b"".as_slice(),
            b"{",
            b"null",
            b"[]",
            br#"{"keys":{}}"#,
            br#"{"keys":null}"#,
            br#"["keys"]"#,
            b"<html>",
            b"\xff\xfe",
            deep.as_bytes(),
            &set(&many),
            &vec![b' '; LARGEST_SET + 1],
        ] {
            assert!(KeySet::parse(body, ALL).is_err());
        }
    }

    #[test]
    fn a_set_without_a_usable_key_replaces_the_keys_before() {
        let known = KeySet::parse(&set(&[ec("a")]), ES256).ok().unwrap();
        for body in [
            set(&[]),
            set(&[okp("a")]),
            set(&[ec("a"), ec("a")]),
            set(&[json!({ "kty": "oct", "k": "AAAA", "kid": "a", "alg": "HS256" })]),
        ] {
            let next = KeySet::parse(&body, ES256).ok().unwrap().after(&known);
            assert_eq!(next.len(), 0);
            assert_ne!(next.generation(), known.generation());
        }
    }

    #[test]
    fn keys_that_share_a_name_are_ignored() {
        let body = set(&[ec("a"), okp("a"), ec("b")]);
        let parsed = KeySet::parse(&body, ALL).ok().unwrap();
        assert!(parsed.get("a").is_none() && parsed.get("b").is_some());
    }

    #[test]
    fn the_generation_changes_if_and_only_if_a_known_key_is_gone_or_another() {
        let parse = |keys: &[Value]| KeySet::parse(&set(keys), ALL).ok().unwrap();
        let first = parse(&[ec("a")]);
        let more = parse(&[ec("a"), okp("b")]).after(&first);
        assert_eq!(more.generation(), first.generation());
        let fewer = parse(&[ec("a")]).after(&more);
        assert_ne!(fewer.generation(), more.generation());
        let other = parse(&[okp("a")]).after(&fewer);
        assert_ne!(other.generation(), fewer.generation());
    }
}
