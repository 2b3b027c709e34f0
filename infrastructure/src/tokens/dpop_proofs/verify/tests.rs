//! Tests of proofs, by the holders of keys and by forgers.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::tokens::{JwtAlgorithm, SigningKey};

const URL: &str = "https://auth.example/login/oauth2/token";
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
/// The digest of [`TOKEN`], from RFC 9449 section 7.1.
const ATH: &str = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";

const SIGNING: [JwtAlgorithm; 3] = [
    JwtAlgorithm::Rs256,
    JwtAlgorithm::Es256,
    JwtAlgorithm::EdDsa,
];

fn now() -> Timestamp {
    Timestamp::from_unix_millis(1_700_000_000_000)
}

fn request(access_token: Option<&str>) -> ProvedRequest<'_> {
    ProvedRequest {
        method: "POST",
        url: URL,
        access_token,
    }
}

fn key(algorithm: JwtAlgorithm) -> SigningKey {
    match algorithm {
        JwtAlgorithm::Rs256 => SigningKey::generate_for_id_tokens().unwrap(),
        other => SigningKey::generate(other).unwrap(),
    }
}

fn header(key: &SigningKey) -> Value {
    let jwk = key.public_jwk().unwrap();
    json!({ "typ": "dpop+jwt", "alg": key.algorithm().as_str(), "jwk": jwk })
}

fn claims() -> Value {
    json!({ "jti": "one", "htm": "POST", "htu": URL, "iat": 1_700_000_000 })
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn sign_text(key: &SigningKey, header: &str, claims: &str) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let message = format!("{header}.{claims}");
    let signature = key.access().sign(message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn sign(key: &SigningKey, header: &Value, claims: &Value) -> String {
    sign_text(key, &header.to_string(), &claims.to_string())
}

fn verified(proof: &str) -> Result<VerifiedProof, ProofRefusal> {
    verify(proof, request(None), now())
}

#[test]
fn a_proof_of_every_algorithm_names_its_key() {
    for algorithm in SIGNING {
        let key = key(algorithm);
        let proof = verified(&sign(&key, &header(&key), &claims())).unwrap();
        let jwk = key.public_jwk().unwrap().as_object().unwrap();
        let own = ProofKey::of(
            jwk,
            crate::tokens::client_jwt::algorithm(algorithm.as_str()).unwrap(),
        );
        assert_eq!(proof.key, own.unwrap().thumbprint, "{algorithm}");
        assert_eq!(proof.id, "one");
        // A minute, and the difference of the clocks.
        let end = Timestamp::from_unix_millis(1_700_000_120_000);
        assert_eq!(proof.expires_at, end);
    }
}

#[test]
fn a_proof_is_for_its_request() {
    let key = key(JwtAlgorithm::Es256);
    let outcome = |name: &str, value: Value| {
        let claims = with(claims(), name, value);
        verified(&sign(&key, &header(&key), &claims)).err()
    };
    for htu in [
        "https://auth.example/login/oauth2/token?a=b#c",
        "HTTPS://AUTH.example:443/login/oauth2/token",
        "https://auth.example/login/./x/../oauth2/token",
    ] {
        assert_eq!(outcome("htu", json!(htu)), None, "{htu}");
    }
    for htu in [
        "",
        "/login/oauth2/token",
        "http://auth.example/login/oauth2/token",
        "https://auth.example:8443/login/oauth2/token",
        "https://auth.example/oauth2/token",
        "https://auth.example/login/oauth2/token/",
        "https://auth.example/login/oauth2/userinfo",
        "https://eve@auth.example/login/oauth2/token",
        "https://auth.example.evil.example/login/oauth2/token",
    ] {
        assert_eq!(outcome("htu", json!(htu)), Some(ProofRefusal::Url), "{htu}");
    }
    for htm in ["post", "GET", "", "POST "] {
        assert_eq!(outcome("htm", json!(htm)), Some(ProofRefusal::Method));
    }
    for (name, value) in [
        ("jti", json!("")),
        ("jti", json!("x".repeat(257))),
        ("jti", json!(1)),
        ("htm", json!(["POST"])),
        ("htu", json!(null)),
        ("iat", json!("1700000000")),
        ("ath", json!(1)),
    ] {
        assert_eq!(
            outcome(name, value),
            Some(ProofRefusal::Malformed),
            "{name}"
        );
    }
    for name in ["jti", "htm", "htu", "iat"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        let refused = verified(&sign(&key, &header(&key), &claims)).err();
        assert_eq!(refused, Some(ProofRefusal::Malformed), "{name}");
    }
}

#[test]
fn a_proof_is_accepted_for_two_minutes() {
    let key = key(JwtAlgorithm::EdDsa);
    let second = |seconds: f64| json!(1_700_000_000.0 + seconds);
    for (name, value, is_good) in [
        ("iat", second(-119.9), true),
        ("iat", second(-120.0), false),
        // With a clock that is ahead by a minute.
        ("iat", second(60.0), true),
        ("iat", second(60.1), false),
        ("iat", json!(1e300), false),
        ("iat", json!(-1), false),
        ("nbf", second(60.0), true),
        ("nbf", second(61.0), false),
        ("exp", second(0.1), true),
        ("exp", second(0.0), false),
        ("exp", json!(-1e300), false),
    ] {
        let shown = format!("{name}: {value}");
        let claims = with(claims(), name, value);
        let refused = verified(&sign(&key, &header(&key), &claims)).err();
        assert_eq!(refused, (!is_good).then_some(ProofRefusal::Time), "{shown}");
    }
}

#[test]
fn a_proof_with_an_access_token_is_for_that_token() {
    let key = key(JwtAlgorithm::EdDsa);
    let outcome = |ath: Option<&str>, token: Option<&str>| {
        let mut claims = claims();
        if let Some(ath) = ath {
            claims["ath"] = json!(ath);
        }
        let proof = sign(&key, &header(&key), &claims);
        verify(&proof, request(token), now()).err()
    };
    assert_eq!(outcome(Some(ATH), Some(TOKEN)), None);
    // Without a token, it is not needed.
    assert_eq!(outcome(Some(ATH), None), None);
    let wrong = Some(ProofRefusal::AccessToken);
    assert_eq!(outcome(None, Some(TOKEN)), wrong);
    assert_eq!(outcome(Some(ATH), Some("other")), wrong);
    assert_eq!(outcome(Some(""), Some(TOKEN)), wrong);
}

#[test]
fn only_the_key_in_the_header_signs() {
    for algorithm in SIGNING {
        let (own, mallory) = (key(algorithm), key(algorithm));
        let forged = sign(&mallory, &header(&own), &claims());
        assert_eq!(
            verified(&forged),
            Err(ProofRefusal::Signature),
            "{algorithm}"
        );
        for other in SIGNING.into_iter().filter(|other| *other != algorithm) {
            let confused = with(header(&own), "alg", json!(other.as_str()));
            let proof = sign(&own, &confused, &claims());
            assert_eq!(
                verified(&proof),
                Err(ProofRefusal::Key),
                "{algorithm} {other}"
            );
        }
    }
}

#[test]
fn a_header_that_is_no_header_of_a_proof_is_refused() {
    let key = key(JwtAlgorithm::Es256);
    let outcome = |name: &str, value: Value| {
        let header = with(header(&key), name, value);
        verified(&sign(&key, &header, &claims())).err()
    };
    for typ in ["JWT", "at+jwt", "DPOP+JWT", "application/dpop+jwt", ""] {
        assert_eq!(
            outcome("typ", json!(typ)),
            Some(ProofRefusal::Type),
            "{typ}"
        );
    }
    for alg in ["none", "HS256", "RS384", "PS256", "ES384", "es256", ""] {
        assert_eq!(
            outcome("alg", json!(alg)),
            Some(ProofRefusal::Algorithm),
            "{alg}"
        );
    }
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("jwk", json!("x")),
        ("jwk", json!([])),
        ("jwk", json!(null)),
        ("typ", json!(null)),
        ("alg", json!(7)),
    ] {
        assert_eq!(
            outcome(name, value),
            Some(ProofRefusal::Malformed),
            "{name}"
        );
    }
    assert_eq!(outcome("jwk", json!({})), Some(ProofRefusal::Key));
    let mut private = key.public_jwk().unwrap().clone();
    private["d"] = json!("AA");
    assert_eq!(outcome("jwk", private), Some(ProofRefusal::Key));
}

#[test]
fn a_malformed_proof_is_refused_despite_a_valid_signature() {
    let key = key(JwtAlgorithm::EdDsa);
    let (header, claims) = (header(&key).to_string(), claims().to_string());
    let twice = claims.replacen('{', r#"{"jti":"two","#, 1);
    let padding = format!("{header}{}", " ".repeat(MAX_LENGTH));
    for (header, claims) in [
        (&*header, &*twice),
        ("null", &claims),
        ("[]", &claims),
        (
            &header,
            r#"["one","POST","https://auth.example/",1700000000]"#,
        ),
        (&header, "1"),
        (&header, ""),
        (&padding, &claims),
    ] {
        let proof = sign_text(&key, header, claims);
        assert_eq!(verified(&proof), Err(ProofRefusal::Malformed), "{claims}");
    }
    let good = sign_text(&key, &header, &claims);
    for text in [&format!("{good}."), &format!(".{good}"), "", ".", "..", "a"] {
        assert!(verified(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_is_no_proof(
        text in any::<String>(),
        shaped in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,90}",
    ) {
        prop_assert!(verified(&text).is_err());
        prop_assert!(verified(&shaped).is_err());
    }

    #[test]
    fn a_proof_with_one_changed_character_is_refused(
        at in any::<prop::sample::Index>(),
        with in "[A-Za-z0-9_=+/. -]",
    ) {
        let key = key(JwtAlgorithm::EdDsa);
        let proof = sign(&key, &header(&key), &claims());
        let at = at.index(proof.len());
        let mut mutated = proof.clone();
        mutated.replace_range(at..=at, &with);
        prop_assume!(mutated != proof);
        prop_assert!(verified(&mutated).is_err());
    }
}
