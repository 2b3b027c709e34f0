//! Tests of assertions, by their clients and by forgers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::tokens::{JwtAlgorithm, SigningKey};

const TOKEN_ENDPOINT: &str = "https://auth.example/oauth2/token";
const ISSUER: &str = "https://auth.example";
fn audiences() -> [String; 2] {
    [TOKEN_ENDPOINT, ISSUER].map(str::to_owned)
}
const SIGNING: [JwtAlgorithm; 3] = [
    JwtAlgorithm::Rs256,
    JwtAlgorithm::Es256,
    JwtAlgorithm::EdDsa,
];

fn now() -> Timestamp {
    Timestamp::from_unix_millis(1_700_000_000_000)
}

fn client() -> ClientId {
    ClientId::parse("web-app").unwrap()
}

/// A key of a client, and the set that it registered.
struct Registered {
    key: SigningKey,
    jwk: Value,
}

impl Registered {
    fn new(algorithm: JwtAlgorithm) -> Self {
        let key = match algorithm {
            JwtAlgorithm::Rs256 => SigningKey::generate_for_id_tokens().unwrap(),
            other => SigningKey::generate(other).unwrap(),
        };
        let jwk = key.public_jwk().unwrap().clone();
        Self { key, jwk }
    }

    fn set(&self) -> ClientJwks {
        set(&[&self.jwk])
    }

    fn header(&self) -> Value {
        json!({ "alg": self.key.algorithm().as_str(), "kid": self.key.kid(), "typ": "JWT" })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    fn sign_text(&self, header: &str, claims: &str) -> String {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let message = format!("{header}.{claims}");
        let signature = self.key.access().sign(message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn verify(&self, assertion: &str) -> Result<VerifiedAssertion, AssertionRefusal> {
        verify(assertion, &client(), &self.set(), &audiences(), now())
    }
}

fn set(keys: &[&Value]) -> ClientJwks {
    ClientJwks::parse(&json!({ "keys": keys }).to_string()).unwrap()
}

fn claims() -> Value {
    json!({
        "iss": "web-app", "sub": "web-app", "aud": TOKEN_ENDPOINT, "jti": "one",
        "iat": 1_700_000_000, "exp": 1_700_000_060,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[test]
fn an_assertion_of_every_algorithm_is_accepted() {
    for algorithm in SIGNING {
        let registered = Registered::new(algorithm);
        let assertion = registered.sign(&registered.header(), &claims());
        assert_eq!(named_client(&assertion), Some(client()));
        let expected = VerifiedAssertion {
            id: "one".to_owned(),
            expires_at: Timestamp::from_unix_millis(1_700_000_060_000),
        };
        assert_eq!(registered.verify(&assertion), Ok(expected), "{algorithm}");
        // `kid` and `typ` may be left out, and the key may say less than ours does.
        let header = json!({ "alg": algorithm.as_str() });
        let assertion = registered.sign(&header, &claims());
        assert!(registered.verify(&assertion).is_ok(), "{algorithm}");
        let mut plain = registered.jwk.clone();
        for name in ["kid", "alg", "use"] {
            plain.as_object_mut().unwrap().remove(name);
        }
        let other = Registered::new(JwtAlgorithm::EdDsa).jwk;
        let keys = set(&[&other, &plain]);
        let read = verify(&assertion, &client(), &keys, &audiences(), now());
        assert!(read.is_ok(), "{algorithm}");
    }
}

#[test]
fn an_assertion_is_from_its_client_and_for_this_service() {
    let registered = Registered::new(JwtAlgorithm::Es256);
    for (name, value, expected) in [
        ("iss", json!("other"), AssertionRefusal::Client),
        ("sub", json!("other"), AssertionRefusal::Client),
        (
            "aud",
            json!("https://other.example"),
            AssertionRefusal::Audience,
        ),
        ("aud", json!([]), AssertionRefusal::Audience),
        ("aud", json!([["x"]]), AssertionRefusal::Malformed),
        ("jti", json!(""), AssertionRefusal::Malformed),
        ("jti", json!("x".repeat(257)), AssertionRefusal::Malformed),
        ("jti", json!(7), AssertionRefusal::Malformed),
    ] {
        let assertion = registered.sign(&registered.header(), &with(name, value));
        assert_eq!(registered.verify(&assertion), Err(expected), "{name}");
    }
    for audience in [json!(ISSUER), json!(["https://other.example", ISSUER])] {
        let assertion = registered.sign(&registered.header(), &with("aud", audience));
        assert!(registered.verify(&assertion).is_ok());
    }
    for name in ["iss", "sub", "aud", "jti", "exp"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        let assertion = registered.sign(&registered.header(), &claims);
        let refused = registered.verify(&assertion);
        assert_eq!(refused, Err(AssertionRefusal::Malformed), "{name}");
    }
}

#[test]
fn an_assertion_is_valid_for_at_most_five_minutes() {
    let registered = Registered::new(JwtAlgorithm::EdDsa);
    let second = |seconds: f64| json!(1_700_000_000.0 + seconds);
    for (name, value, is_good) in [
        ("exp", second(0.001), true),
        ("exp", second(0.0), false),
        ("exp", second(-1.0), false),
        // With a clock that is ahead by a minute.
        ("exp", second(360.0), true),
        ("exp", second(361.0), false),
        ("exp", json!(1e300), false),
        ("exp", json!(-1e300), false),
        ("iat", second(60.0), true),
        ("iat", second(61.0), false),
        ("nbf", second(60.0), true),
        ("nbf", second(61.0), false),
        ("nbf", json!(i64::MAX), false),
    ] {
        let shown = format!("{name}: {value}");
        let assertion = registered.sign(&registered.header(), &with(name, value));
        let expected = (!is_good).then_some(AssertionRefusal::Time);
        assert_eq!(registered.verify(&assertion).err(), expected, "{shown}");
    }
}

#[test]
fn only_a_registered_key_of_the_right_type_signs() {
    for algorithm in SIGNING {
        let registered = Registered::new(algorithm);
        let mallory = Registered::new(algorithm);
        let forged = mallory.sign(&registered.header(), &claims());
        let refused = registered.verify(&forged);
        assert_eq!(refused, Err(AssertionRefusal::Signature), "{algorithm}");
        // A key in the header is not used.
        let mut header = registered.header();
        header["jwk"] = mallory.jwk.clone();
        let forged = mallory.sign(&header, &claims());
        let refused = registered.verify(&forged);
        assert_eq!(refused, Err(AssertionRefusal::Signature), "{algorithm}");
        let assertion = registered.sign(&registered.header(), &claims());
        for (name, value) in [("use", "enc"), ("alg", "PS256"), ("kid", "other")] {
            let mut jwk = registered.jwk.clone();
            jwk[name] = json!(value);
            let refused = verify(&assertion, &client(), &set(&[&jwk]), &audiences(), now());
            assert_eq!(
                refused,
                Err(AssertionRefusal::Signature),
                "{algorithm} {name}"
            );
        }
        for other in SIGNING.into_iter().filter(|other| *other != algorithm) {
            let mut jwk = registered.jwk.clone();
            jwk.as_object_mut().unwrap().remove("alg");
            let mut header = registered.header();
            header["alg"] = json!(other.as_str());
            let confused = registered.sign(&header, &claims());
            let refused = verify(&confused, &client(), &set(&[&jwk]), &audiences(), now());
            assert_eq!(
                refused,
                Err(AssertionRefusal::Signature),
                "{algorithm} {other}"
            );
        }
    }
}

#[test]
fn no_other_algorithm_and_no_extension_is_accepted() {
    let registered = Registered::new(JwtAlgorithm::Rs256);
    for name in ["none", "HS256", "RS384", "PS256", "ES384", "rs256", ""] {
        let mut header = registered.header();
        header["alg"] = json!(name);
        let assertion = registered.sign(&header, &claims());
        let refused = registered.verify(&assertion);
        assert_eq!(refused, Err(AssertionRefusal::Algorithm), "{name}");
    }
    let mut header = registered.header();
    header["crit"] = json!(["exp"]);
    let assertion = registered.sign(&header, &claims());
    let refused = registered.verify(&assertion);
    assert_eq!(refused, Err(AssertionRefusal::Malformed));
}

#[test]
fn a_malformed_assertion_is_refused_despite_a_valid_signature() {
    let registered = Registered::new(JwtAlgorithm::EdDsa);
    let (header, claims) = (registered.header().to_string(), claims().to_string());
    let twice = claims.replacen('{', r#"{"sub":"other","#, 1);
    let padding = format!("{header}{}", " ".repeat(MAX_LENGTH));
    for (header, claims) in [
        (&*header, &*twice),
        ("null", &claims),
        (r#"["EdDSA",null,null]"#, &claims),
        (r#"{"alg":"EdDSA","alg":"RS256"}"#, &claims),
        (&header, r#"["web-app","web-app","x","one",1700000060]"#),
        (&header, "1"),
        (&header, ""),
        (&padding, &claims),
    ] {
        let assertion = registered.sign_text(header, claims);
        let refused = registered.verify(&assertion);
        assert_eq!(refused, Err(AssertionRefusal::Malformed), "{claims}");
        assert_eq!(named_client(&assertion), None);
    }
    let good = registered.sign_text(&header, &claims);
    for text in [&format!("{good}."), &format!(".{good}"), "", ".", "..", "a"] {
        assert!(registered.verify(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_is_no_assertion(text in any::<String>(), shaped in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,90}") {
        for text in [text, shaped] {
            let keys = set(&[&json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA" })]);
            prop_assert!(verify(&text, &client(), &keys, &audiences(), now()).is_err());
            prop_assert!(named_client(&text).is_none());
        }
    }

    #[test]
    fn an_assertion_with_one_changed_character_is_refused(
        at in any::<prop::sample::Index>(),
        with in "[A-Za-z0-9_=+/. -]",
    ) {
        let registered = Registered::new(JwtAlgorithm::EdDsa);
        let assertion = registered.sign(&registered.header(), &claims());
        let at = at.index(assertion.len());
        let mut mutated = assertion.clone();
        mutated.replace_range(at..=at, &with);
        prop_assume!(mutated != assertion);
        prop_assert!(registered.verify(&mutated).is_err());
    }
}
