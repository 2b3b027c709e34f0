//! Forged tokens, and tokens in the wrong place: each contract refuses them in its own words.
//!
//! The attacker knows everything that is public: the key set, the format of tokens, and valid tokens of their own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use support::contract::{Tokens, is_refused, refreshes_nothing, verifies};
use support::http::Http;
use support::mail::Mailbox as _;
use support::{
    Contract, Endpoint, Person, Program, Settings, Store, api_auth, eventually, on_both_stores,
    own, token, users,
};

on_both_stores!(
    no_forged_token_is_accepted,
    no_url_in_a_token_is_ever_fetched,
    a_token_of_one_kind_is_not_accepted_as_another,
    a_request_with_two_tokens_is_not_authenticated,
    a_token_of_a_clock_that_was_ahead_is_refused,
);

async fn no_forged_token_is_accepted(store: Store) {
    for algorithm in ["EdDSA", "ES256", "RS256"] {
        let service = Settings::on(store)
            .with_cheap_hashing()
            .with("AUTHLOG_JWT_ALGORITHM", algorithm)
            .start()
            .await;
        let http = service.http();
        let ann = Person::called("ann");
        Contract::ApiAuth.registers(&http, &ann).await;
        let good = Contract::ApiAuth.signs_in(&http, &ann).await;
        let keys = http.send(own::KEY_SET).await.json();
        // All kinds of tokens are signed by the same key.
        let others = (algorithm == "EdDSA").then_some(good.refresh());
        for token in std::iter::once(&*good.access).chain(others) {
            for (attack, forged) in forgeries(token, &keys) {
                eprintln!("{algorithm}: {attack}");
                is_refused_everywhere(&http, &forged).await;
            }
        }
        verifies(&http, &good.access).await;
        let answer = http.send(api_auth::REFRESH).bearer(good.refresh()).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
}

/// A node with a fast clock may have signed it, or another service with the shared secret.
async fn a_token_of_a_clock_that_was_ahead_is_refused(store: Store) {
    const DAY: i64 = 24 * 60 * 60;
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let service = Settings::on(store)
        .with_cheap_hashing()
        .with("AUTHLOG_JWT_ALGORITHM", "HS256")
        .with("AUTHLOG_JWT_SECRET", SECRET)
        .start()
        .await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let good = Contract::ApiAuth.signs_in(&http, &ann).await;
    let signed = |token: &str, later: [i64; 2]| {
        let header: jsonwebtoken::Header = serde_json::from_value(token::header(token)).unwrap();
        let mut claims = token::claims(token);
        for (name, seconds) in ["iat", "exp"].into_iter().zip(later) {
            claims[name] = json!(claims[name].as_i64().unwrap() + seconds);
        }
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    };
    verifies(&http, &signed(&good.access, [0, 0])).await;
    for later in [[120, 120], [0, DAY], [10 * DAY, 10 * DAY]] {
        eprintln!("{later:?}");
        authenticates_nothing(&http, &signed(&good.access, later)).await;
    }
    for later in [[120, 120], [0, 8 * DAY]] {
        eprintln!("{later:?}");
        refreshes_nothing(&http, &signed(good.refresh(), later)).await;
    }
    let answer = http.send(api_auth::REFRESH).bearer(good.refresh()).await;
    assert_eq!(answer.status, 200, "{answer}");
}

/// A key inside the token is not used, and a URL of a key is not fetched (RFC 8725 §3.10).
async fn no_url_in_a_token_is_ever_fetched(store: Store) {
    // The attacker's key has the same algorithm.
    let settings = Settings::on(store).with("AUTHLOG_JWT_ALGORITHM", "EdDSA");
    let service = settings.start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let good = Contract::ApiAuth.signs_in(&http, &ann).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let (mallory, jwk) = mallory();
    let kid = token::header(&good.access)["kid"].clone();
    for kid in [json!("mallory"), jwk["kid"].clone(), json!(url), kid] {
        for brought in [
            json!({"jwk": jwk}),
            json!({"jku": url}),
            json!({"x5u": url}),
            json!({"x5c": ["MIIB"]}),
            json!({"jku": url, "crit": ["jku"]}),
        ] {
            let mut header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": kid});
            let members = header.as_object_mut().unwrap();
            members.extend(brought.as_object().unwrap().clone());
            let payload = token::claims(&good.access);
            let forged = signed(&header.to_string(), &payload, &mallory, Algorithm::EdDSA);
            is_refused_everywhere(&http, &forged).await;
        }
    }
    let called = listener.accept();
    assert!(called.is_err(), "the service connected: {called:?}");
}

async fn a_token_of_one_kind_is_not_accepted_as_another(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let mut access = Vec::new();
    let mut refresh = Vec::new();
    for contract in Contract::ALL {
        let tokens = contract.signs_in(&http, &ann).await;
        access.push(tokens.access);
        refresh.extend(tokens.refresh);
    }
    let request = http.send(users::REQUEST_RESET);
    request.json(&json!({"username": "ann"})).await;
    let mail = eventually("the mail arrives", async || service.mails().pop()).await;
    let reset = mail.token();
    for access in &access {
        refreshes_nothing(&http, access).await;
        resets_nothing(&http, access).await;
    }
    for refresh in &refresh {
        authenticates_nothing(&http, refresh).await;
        resets_nothing(&http, refresh).await;
    }
    authenticates_nothing(&http, &reset).await;
    refreshes_nothing(&http, &reset).await;
    // Not even if the header claims the other kind.
    for (token, kind) in [(&access[0], "rt+jwt"), (&refresh[0], "at+jwt")] {
        let mut header = token::header(token);
        header["typ"] = json!(kind);
        let (_, rest) = token.split_once('.').unwrap();
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        is_refused_everywhere(&http, &format!("{header}.{rest}")).await;
    }
    for access in &access {
        verifies(&http, access).await;
    }
}

/// A proxy may check one of them and the service the other.
async fn a_request_with_two_tokens_is_not_authenticated(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let Tokens { access, .. } = Contract::ApiAuth.signs_in(&http, &ann).await;
    for (first, second) in [(&*access, "x"), ("x", &*access), (&*access, &*access)] {
        let twice = |endpoint: Endpoint| {
            let request = http.send(endpoint).authorization(first);
            request.authorization(second)
        };
        let answer = twice(users::VERIFY).await;
        Contract::Users.refuses(&answer, 400);
        let answer = twice(api_auth::LOGOUT).await;
        Contract::ApiAuth.refuses(&answer, 401);
        let answer = twice(own::HISTORY).await;
        assert_eq!(answer.status, 401, "{answer}");
    }
    verifies(&http, &access).await;
}

/// Every forgery that can be made from a valid token and the key set.
fn forgeries(good: &str, keys: &Value) -> Vec<(String, String)> {
    let good = Valid {
        text: good,
        header: token::header(good),
        claims: token::claims(good),
        kid: keys["keys"][0]["kid"].as_str().unwrap().to_owned(),
    };
    [
        unsigned(&good),
        signed_with_the_public_key(&good, keys),
        signed_by_the_attacker(&good),
        with_another_signature(&good),
        with_other_claims(&good),
        with_critical_members(&good),
        with_malformed_headers(&good),
        in_other_serializations(&good),
    ]
    .into_iter()
    .flat_map(|made| made.0)
    .collect()
}

/// A valid token, from which the forgeries are made.
struct Valid<'a> {
    text: &'a str,
    header: Value,
    claims: Value,
    kid: String,
}

impl Valid<'_> {
    /// Encoded header, encoded claims, signature.
    fn parts(&self) -> [&str; 3] {
        let parts: Vec<_> = self.text.split('.').collect();
        parts.try_into().unwrap()
    }

    fn signature(&self) -> &str {
        self.parts()[2]
    }

    /// The same claims with another header and another signature.
    fn with_header(&self, header: &Value, signature: &str) -> String {
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        format!("{header}.{}.{signature}", self.parts()[1])
    }
}

/// Forged tokens, each with a description.
struct Forgeries(Vec<(String, String)>);

impl Forgeries {
    const fn new() -> Self {
        Self(Vec::new())
    }

    fn add(&mut self, what: &str, token: String) {
        self.0.push((what.to_owned(), token));
    }
}

/// Tokens without a signature (RFC 8725 §2.1).
fn unsigned(good: &Valid) -> Forgeries {
    let mut made = Forgeries::new();
    for alg in [
        json!("none"),
        json!("None"),
        json!("NONE"),
        json!("nOnE"),
        json!("none "),
        json!(""),
        json!(null),
        json!(0),
        json!(["none"]),
    ] {
        let header = json!({"typ": good.header["typ"], "alg": alg, "kid": good.kid});
        made.add(&format!("alg {alg}"), good.with_header(&header, ""));
        made.add(
            &format!("alg {alg}, signed"),
            good.with_header(&header, good.signature()),
        );
    }
    let without = json!({"typ": good.header["typ"], "kid": good.kid});
    made.add("no alg", good.with_header(&without, good.signature()));
    made.add("no signature", good.with_header(&good.header, ""));
    made
}

/// Tokens with the public key as the secret of an HMAC (RFC 8725 §2.1).
fn signed_with_the_public_key(good: &Valid, keys: &Value) -> Forgeries {
    let mut made = Forgeries::new();
    for (what, secret) in public_secrets(keys) {
        let key = EncodingKey::from_secret(&secret);
        for kid in [json!(good.kid), json!("x")] {
            for (name, hmac) in [
                ("HS256", Algorithm::HS256),
                ("HS384", Algorithm::HS384),
                ("HS512", Algorithm::HS512),
            ] {
                let header =
                    json!({"typ": good.header["typ"], "alg": name, "kid": kid}).to_string();
                let forged = signed(&header, &good.claims, &key, hmac);
                made.add(&format!("{name} with {what}"), forged);
            }
        }
    }
    made
}

/// Tokens with a signature of the attacker's own key, under several key ids.
fn signed_by_the_attacker(good: &Valid) -> Forgeries {
    let mut made = Forgeries::new();
    let kid = good.kid.as_str();
    let (mallory, _) = mallory();
    let nul = "\u{0}".to_owned() + kid;
    let long = "x".repeat(5000);
    for kid in [
        json!(kid),
        json!(kid.to_uppercase()),
        json!(format!("{kid}=")),
        json!(format!(" {kid}")),
        json!(nul),
        json!("../../../../../../dev/null"),
        json!("/dev/null"),
        json!("file:///dev/null"),
        json!("' UNION SELECT '"),
        json!("'; DROP TABLE signing_keys; --"),
        json!("$(id)"),
        json!(""),
        json!(long),
        json!(0),
        json!(null),
        json!([kid]),
        json!({"$ne": ""}),
        json!("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
    ] {
        let header = json!({"typ": good.header["typ"], "alg": "EdDSA", "kid": kid}).to_string();
        let forged = signed(&header, &good.claims, &mallory, Algorithm::EdDSA);
        made.add(&format!("kid {kid:.40}"), forged);
        // The content of an empty file.
        let empty = EncodingKey::from_secret(b"");
        let header = json!({"typ": "at+jwt", "alg": "HS256", "kid": kid}).to_string();
        let forged = signed(&header, &good.claims, &empty, Algorithm::HS256);
        made.add(&format!("HMAC without a key, kid {kid:.40}"), forged);
    }
    made
}

/// Signatures that faulty verifiers accepted: only zeros (CVE-2022-21449), too short, too long.
fn with_another_signature(good: &Valid) -> Forgeries {
    let mut made = Forgeries::new();
    let text = good.text;
    for length in [1, 32, 64, 70, 256] {
        let zeros = URL_SAFE_NO_PAD.encode(vec![0_u8; length]);
        made.add(
            &format!("{length} zeros"),
            good.with_header(&good.header, &zeros),
        );
    }
    made.add("a signature cut short", text[..text.len() - 4].to_owned());
    made.add("a signature drawn out", format!("{text}AAAA"));
    made.add("a bit of the signature", token::forged(text));
    made
}

/// Other claims under the old signature.
fn with_other_claims(good: &Valid) -> Forgeries {
    let mut made = Forgeries::new();
    for (name, value) in [
        ("role", json!("admin")),
        ("exp", json!(9_999_999_999_i64)),
        ("exp", json!("never")),
        ("sub", json!("00000000-0000-0000-0000-000000000000")),
        ("iss", json!("mallory")),
        ("epoch", json!(-1)),
        ("nbf", json!(9_999_999_999_i64)),
    ] {
        let altered = token::altered(good.text, |claims| claims[name] = value);
        made.add(&format!("another {name}"), altered);
    }
    made
}

/// Members of the header that a verifier has to understand (RFC 7515 §4.1.11).
fn with_critical_members(good: &Valid) -> Forgeries {
    let mut made = Forgeries::new();
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("cty", json!("JWT")),
    ] {
        let mut header = good.header.clone();
        header[name] = value;
        made.add(name, good.with_header(&header, good.signature()));
    }
    made
}

/// Duplicate members, and headers that are no JSON object.
fn with_malformed_headers(good: &Valid) -> Forgeries {
    let mut made = Forgeries::new();
    let [_, payload, signature] = good.parts();
    let kid = good.kid.as_str();
    for text in [
        format!(
            r#"{{"alg":"none","typ":"at+jwt","alg":"{}","kid":"{kid}"}}"#,
            good.header["alg"]
        ),
        format!(r#"["at+jwt",{},"{kid}"]"#, good.header["alg"]),
        "{}".to_owned(),
        "[]".to_owned(),
        "{".repeat(150),
        "[".repeat(150),
        String::new(),
    ] {
        let header = URL_SAFE_NO_PAD.encode(&text);
        let forged = format!("{header}.{payload}.{signature}");
        made.add(&format!("a header of {text:.20}"), forged);
    }
    made
}

/// Wrong numbers of parts, and other serializations.
fn in_other_serializations(good: &Valid) -> Forgeries {
    let mut made = Forgeries::new();
    let [header, payload, signature] = good.parts();
    let text = good.text;
    for (what, token) in [
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{text}.{signature}")),
        ("five parts", format!("{text}.{signature}.{signature}")),
        ("dots", "..".to_owned()),
        ("a dot before", format!(".{text}")),
        ("a dot after", format!("{text}.")),
        ("padding", format!("{text}=")),
        ("another alphabet", STANDARD.encode(text)),
        ("a part twice", format!("{header}.{header}.{signature}")),
        (
            "a JWS in JSON",
            json!({"payload": payload, "signature": signature}).to_string(),
        ),
        ("eight thousand dots", ".".repeat(8000)),
        (
            "a long payload",
            format!("{header}.{}.{signature}", "A".repeat(9000)),
        ),
        (
            "a long header",
            format!("{}.{payload}.{signature}", "A".repeat(9000)),
        ),
    ] {
        made.add(what, token);
    }
    made
}

/// Every representation of the public key that a faulty verifier may use as a secret.
fn public_secrets(keys: &Value) -> Vec<(&'static str, Vec<u8>)> {
    let jwk = &keys["keys"][0];
    let coordinate = ["n", "x"].iter().find_map(|name| jwk[name].as_str());
    let text = coordinate.unwrap();
    let raw = URL_SAFE_NO_PAD.decode(text).unwrap();
    // RFC 8410 §4: an Ed25519 key as SubjectPublicKeyInfo.
    let prefix = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    let der = [&prefix[..], &raw].concat();
    let base64 = STANDARD.encode(&der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n");
    vec![
        ("the key set", keys.to_string().into_bytes()),
        ("the JWK", jwk.to_string().into_bytes()),
        ("the text of its bytes", text.as_bytes().to_vec()),
        ("its bytes", raw),
        ("its DER", der),
        ("its PEM", pem.clone().into_bytes()),
        ("its PEM less a line's end", pem.trim().as_bytes().to_vec()),
        ("its name", jwk["kid"].as_str().unwrap().as_bytes().to_vec()),
        ("nothing", vec![]),
    ]
}

/// The attacker's own key: RFC 8037, appendix A, wrapped in PKCS#8 (RFC 8410 §7).
fn mallory() -> (EncodingKey, Value) {
    let prefix = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    let private = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    let pkcs8 = [&prefix[..], &URL_SAFE_NO_PAD.decode(private).unwrap()].concat();
    let jwk = json!({
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    });
    (EncodingKey::from_ed_der(&pkcs8), jwk)
}

/// A token with a valid signature of `key`.
fn signed(header: &str, payload: &Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    let [header, payload] =
        [header.to_owned(), payload.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
    let message = format!("{header}.{payload}");
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// Asserts that `token` is refused wherever a token is accepted.
async fn is_refused_everywhere(http: &Http, token: &str) {
    authenticates_nothing(http, token).await;
    refreshes_nothing(http, token).await;
    resets_nothing(http, token).await;
}

async fn authenticates_nothing(http: &Http, token: &str) {
    is_refused(http, token).await;
    let answer = http.send(api_auth::LOGOUT).bearer(token).await;
    Contract::ApiAuth.refuses(&answer, 401);
    for endpoint in [own::HISTORY, own::FEED, own::LOG_CHECKPOINT] {
        let answer = http.send(endpoint).bearer(token).await;
        assert_eq!(answer.status, 401, "{answer}");
        assert!(answer.header("www-authenticate").is_some(), "{answer}");
    }
}

async fn resets_nothing(http: &Http, token: &str) {
    let answer = http.send(users::VERIFY_RESET).authorization(token).await;
    Contract::Users.refuses(&answer, 400);
    let answer = http
        .send(users::UPDATE_PASSWORD)
        .authorization(token)
        .json(&json!({"password": "another-secret"}))
        .await;
    Contract::Users.refuses(&answer, 400);
}
