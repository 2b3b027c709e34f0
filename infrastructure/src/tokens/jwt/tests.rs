//! Tests of tokens, by their issuer, their bearers and forgers.

mod id_tokens;
mod oauth;

use authlog_domain::{AuthenticationLevel, AuthenticationMethods, ContractName, SessionId, UserId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Validation;
use proptest::prelude::*;
use uuid::Uuid;

use super::format::MAX_LENGTH;
use super::*;
use crate::tokens::JwtAlgorithm;
use crate::tokens::signing_key::Signer;
use crate::tokens::{KeyRecord, KeySet};

const ISSUER: &str = "https://auth.example";
const AUDIENCE: &str = "authlog";

fn now() -> Timestamp {
    Timestamp::from_unix_millis(1_700_000_000_600)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Tokens, and the key that signs them.
struct Ours {
    tokens: JwtTokens,
    current: SigningKey,
}

impl std::ops::Deref for Ours {
    type Target = JwtTokens;

    fn deref(&self) -> &JwtTokens {
        &self.tokens
    }
}

fn same(key: &SigningKey) -> SigningKey {
    SigningKey::from_stored(key.algorithm(), &key.to_stored()).unwrap()
}

/// A key that has signed for an hour, and its predecessor.
fn keys(current: &SigningKey, former: &[SigningKey]) -> Keys {
    let begin = now().minus(seconds(3600));
    if current.algorithm() == JwtAlgorithm::Hs256 {
        return Keys::fixed(KeySet::new(Some(Arc::new(same(current))), &[]));
    }
    let mut records = vec![KeyRecord::new(current, begin)];
    for key in former {
        let mut record = KeyRecord::new(key, begin.minus(seconds(3600)));
        record.signs_until = Some(begin);
        records.push(record);
    }
    Keys::fixed(KeySet::new(None, &records))
}

fn tokens_with(current: SigningKey) -> Ours {
    Ours {
        tokens: JwtTokens::new(ISSUER, AUDIENCE, keys(&current, &[])),
        current,
    }
}

fn tokens(algorithm: JwtAlgorithm) -> Ours {
    tokens_with(SigningKey::generate(algorithm).unwrap())
}

fn claims(kind: TokenKind) -> TokenClaims {
    TokenClaims {
        kind,
        token: Uuid::from_u128(3),
        user: UserId::new(Uuid::from_u128(1)),
        session: SessionId::new(Uuid::from_u128(2)),
        client: (kind == TokenKind::Access).then_some(ContractName::Users),
        epoch: 4,
        issued_at: now(),
        expires_at: now().plus(seconds(300)),
        authentication: (kind == TokenKind::Access).then(|| Authentication {
            amr: AuthenticationMethods::PASSWORD_AND_CODE,
            acr: AuthenticationLevel::Aal2,
            auth_time: Timestamp::from_unix_millis(1_699_999_000_000),
            factor: None,
        }),
        extra: Map::new(),
        oauth: None,
    }
}

fn access() -> TokenClaims {
    claims(TokenKind::Access)
}

fn part(token: &str, index: usize) -> Value {
    let encoded = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap()
}

/// A token with a valid signature of `key` for this header and payload.
fn forge(key: &SigningKey, header: &Value, payload: &Value) -> String {
    forge_with(key.access(), header, payload)
}

fn forge_with(signer: &Signer, header: &Value, payload: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(header), encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(message.as_bytes()).unwrap());
    format!("{message}.{signature}")
}

/// Verification of the signature only.
fn signature_alone(algorithm: JwtAlgorithm) -> Validation {
    let mut validation = Validation::new(algorithm.registered());
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

#[test]
fn a_signed_token_is_verified_with_every_algorithm() {
    for algorithm in JwtAlgorithm::ALL {
        let tokens = tokens(algorithm);
        for kind in [TokenKind::Access, TokenKind::Refresh { generation: 7 }] {
            let token = tokens.sign(&claims(kind)).unwrap();
            let verified = tokens.verify(&token, now()).unwrap();
            assert_eq!(
                verified,
                VerifiedToken {
                    kind,
                    token: claims(kind).token,
                    user: claims(kind).user,
                    session: claims(kind).session,
                    epoch: 4,
                    issued_at: Timestamp::from_unix_millis(1_700_000_000_000),
                    expires_at: Timestamp::from_unix_millis(1_700_000_300_000),
                    authentication: claims(kind).authentication,
                },
                "{algorithm}"
            );
        }
    }
}

#[test]
fn a_token_shows_the_registered_claims_and_those_of_its_contract() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    let mut signed = claims(TokenKind::Refresh { generation: 7 });
    signed
        .extra
        .insert("email".to_owned(), json!("jo@example.com"));
    let token = tokens.sign(&signed).unwrap();
    assert_eq!(
        part(&token, 0),
        json!({ "alg": "HS256", "typ": "rt+jwt", "kid": tokens.current.kid() })
    );
    assert_eq!(
        part(&token, 1),
        json!({
            "iss": ISSUER, "aud": AUDIENCE,
            "sub": "00000000-0000-0000-0000-000000000001",
            "sid": "00000000-0000-0000-0000-000000000002",
            "jti": "00000000-0000-0000-0000-000000000003",
            "iat": 1_700_000_000, "exp": 1_700_000_300,
            "epoch": 4, "generation": 7,
            "email": "jo@example.com",
        })
    );
}

#[test]
fn an_access_token_names_its_contract_as_the_client_and_one_without_it_is_good() {
    for algorithm in JwtAlgorithm::ALL {
        let tokens = tokens(algorithm);
        let token = tokens.sign(&access()).unwrap();
        assert_eq!(part(&token, 0)["typ"], "at+jwt");
        let mut payload = part(&token, 1);
        assert_eq!(payload["client_id"], "users");
        // RFC 9068 §2.2.
        for name in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
            assert!(!payload[name].is_null(), "{name}");
        }
        // Issued before there was such a claim.
        payload.as_object_mut().unwrap().remove("client_id");
        let former = forge(&tokens.current, &part(&token, 0), &payload);
        assert_eq!(tokens.verify(&former, now()), tokens.verify(&token, now()));
        assert!(tokens.verify(&former, now()).is_some());
    }
}

#[test]
fn an_access_token_says_how_the_person_was_authenticated_and_one_without_it_is_good() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    let token = tokens.sign(&access()).unwrap();
    let mut payload = part(&token, 1);
    assert_eq!(payload["amr"], json!(["pwd", "otp", "mfa"]));
    assert_eq!(payload["acr"], "urn:authlog:aal2");
    assert_eq!(payload["auth_time"], 1_699_999_000);
    // Issued before there were such claims.
    for name in ["amr", "acr", "auth_time"] {
        payload.as_object_mut().unwrap().remove(name);
    }
    let former = forge(&tokens.current, &part(&token, 0), &payload);
    let verified = tokens.verify(&former, now()).unwrap();
    assert_eq!(verified.authentication, None);
}

#[test]
fn a_contract_cannot_override_the_registered_claims() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    let mut signed = access();
    for name in [
        "iss",
        "sub",
        "aud",
        "iat",
        "exp",
        "nbf",
        "jti",
        "sid",
        "epoch",
        "generation",
        "client_id",
        "amr",
        "acr",
        "auth_time",
    ] {
        signed.extra.insert(name.to_owned(), json!("mallory"));
    }
    let token = tokens.sign(&signed).unwrap();
    assert!(!part(&token, 1).to_string().contains("mallory"));
    assert!(tokens.verify(&token, now()).is_some());
}

#[test]
fn a_token_is_valid_until_the_second_in_which_it_expires() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    let token = tokens.sign(&access()).unwrap();
    let last = Timestamp::from_unix_millis(1_700_000_299_999);
    assert!(tokens.verify(&token, last).is_some());
    let end = Timestamp::from_unix_millis(1_700_000_300_000);
    assert!(tokens.verify(&token, end).is_none());
    assert!(tokens.verify(&token, access().expires_at).is_none());
}

#[test]
fn a_cached_token_matches_only_itself_and_expires() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    let token = tokens.sign(&access()).unwrap();
    let first = tokens.verify(&token, now()).unwrap();
    assert_eq!(tokens.verify(&token, now()), Some(first));
    assert_eq!(tokens.verify(&token, now().plus(seconds(301))), None);
    assert_eq!(tokens.verify(&token, now().minus(seconds(120))), None);
    // The signature of one token on the content of another.
    let other = tokens
        .sign(&claims(TokenKind::Refresh { generation: 7 }))
        .unwrap();
    let (words, _) = token.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    assert_eq!(tokens.verify(&format!("{words}.{signature}"), now()), None);
    assert_eq!(tokens.verify(&token, now()), Some(first));
}

#[test]
fn a_token_from_the_future_is_refused_beyond_the_clock_tolerance() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    let token = tokens.sign(&access()).unwrap();
    assert!(tokens.verify(&token, now().minus(seconds(60))).is_some());
    assert!(tokens.verify(&token, now().minus(seconds(62))).is_none());
}

#[test]
fn a_token_of_another_issuer_or_for_another_audience_is_refused() {
    let key = SigningKey::generate(JwtAlgorithm::EdDsa).unwrap();
    let token = tokens_with(same(&key)).sign(&access()).unwrap();
    for (issuer, audience, good) in [
        (ISSUER, AUDIENCE, true),
        ("https://other.example", AUDIENCE, false),
        (ISSUER, "other", false),
    ] {
        let verifier = JwtTokens::new(issuer, audience, keys(&key, &[]));
        assert_eq!(verifier.verify(&token, now()).is_some(), good);
    }
}

#[test]
fn a_token_signed_by_another_key_is_refused_even_if_it_names_ours() {
    for algorithm in JwtAlgorithm::ALL {
        let tokens = tokens(algorithm);
        let mallory = SigningKey::generate(algorithm).unwrap();
        let token = tokens.sign(&access()).unwrap();
        for kid in [
            json!(tokens.current.kid()),
            json!(mallory.kid()),
            json!(null),
        ] {
            let mut header = part(&token, 0);
            header["kid"] = kid;
            let forged = forge(&mallory, &header, &part(&token, 1));
            assert!(tokens.verify(&forged, now()).is_none(), "{algorithm}");
        }
    }
}

#[test]
fn the_algorithm_is_the_keys_and_not_the_headers() {
    let tokens = tokens(JwtAlgorithm::Rs256);
    let token = tokens.sign(&access()).unwrap();
    let (mut header, payload) = (part(&token, 0), part(&token, 1));
    // The classic attack: the public key as an HMAC secret.
    let public = tokens.key_set(now()).to_string();
    let shared = SigningKey::from_secret(public.as_bytes()).unwrap();
    header["alg"] = json!("HS256");
    assert!(
        tokens
            .verify(&forge(&shared, &header, &payload), now())
            .is_none()
    );
    for name in ["none", "None", "RS384", "PS256", "EdDSA"] {
        header["alg"] = json!(name);
        let forged = forge(&tokens.current, &header, &payload);
        assert!(tokens.verify(&forged, now()).is_none(), "{name}");
        let unsigned = format!("{}.", forged.rsplit_once('.').unwrap().0);
        assert!(tokens.verify(&unsigned, now()).is_none(), "{name}");
    }
}

#[test]
fn a_refresh_token_is_signed_with_a_secret_of_this_service_alone() {
    for algorithm in [
        JwtAlgorithm::EdDsa,
        JwtAlgorithm::Es256,
        JwtAlgorithm::Rs256,
    ] {
        let tokens = tokens(algorithm);
        let signed = claims(TokenKind::Refresh { generation: 7 });
        let token = tokens.sign(&signed).unwrap();
        let (mut header, payload) = (part(&token, 0), part(&token, 1));
        assert_eq!(header["alg"], "HS256", "{algorithm}");
        // Neither key signs the other kind of token, even if the header says so.
        let (access, refresh) = (tokens.current.access(), tokens.current.refresh());
        for (typ, good) in [("rt+jwt", refresh), ("at+jwt", access)] {
            header["typ"] = json!(typ);
            for signer in [access, refresh] {
                for alg in JwtAlgorithm::ALL {
                    header["alg"] = json!(alg.as_str());
                    let is_good = std::ptr::eq(signer, good) && alg == good.algorithm();
                    let taken = tokens.verify(&forge_with(signer, &header, &payload), now());
                    assert_eq!(taken.is_some(), is_good, "{algorithm}: {header}");
                }
            }
        }
        // The secret is derived from the key, so another key has another secret.
        let other = SigningKey::generate(algorithm).unwrap();
        header["typ"] = json!("rt+jwt");
        header["alg"] = json!("HS256");
        let forged = forge_with(other.refresh(), &header, &payload);
        assert!(tokens.verify(&forged, now()).is_none(), "{algorithm}");
    }
}

#[test]
fn a_header_with_other_members_is_refused_despite_a_valid_signature() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    let token = tokens.sign(&access()).unwrap();
    let (header, payload) = (part(&token, 0), part(&token, 1));
    assert!(
        tokens
            .verify(&forge(&tokens.current, &header, &payload), now())
            .is_some()
    );
    for (name, value) in [
        ("jku", json!("https://mallory.example/jwks.json")),
        ("x5u", json!("https://mallory.example/cert.pem")),
        ("jwk", tokens.key_set(now())["keys"][0].clone()),
        ("crit", json!(["b64"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("x5c", json!(["MIIB"])),
        ("cty", json!("JWT")),
        ("extra", json!(1)),
    ] {
        let mut header = header.clone();
        header[name] = value;
        let forged = forge(&tokens.current, &header, &payload);
        assert!(tokens.verify(&forged, now()).is_none(), "{name}");
    }
}

#[test]
fn a_token_without_its_purpose_is_refused() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    let token = tokens.sign(&access()).unwrap();
    for kind in [json!("JWT"), json!("AT+JWT"), json!("rt+jwt"), json!(null)] {
        let mut header = part(&token, 0);
        header["typ"] = kind.clone();
        let forged = forge(&tokens.current, &header, &part(&token, 1));
        assert!(tokens.verify(&forged, now()).is_none(), "{kind}");
    }
}

#[test]
fn a_token_that_lacks_a_claim_is_refused() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    let token = tokens
        .sign(&claims(TokenKind::Refresh { generation: 0 }))
        .unwrap();
    for name in [
        "iss",
        "sub",
        "aud",
        "iat",
        "exp",
        "sid",
        "jti",
        "epoch",
        "generation",
    ] {
        let mut payload = part(&token, 1);
        payload.as_object_mut().unwrap().remove(name);
        let forged = forge(&tokens.current, &part(&token, 0), &payload);
        assert!(tokens.verify(&forged, now()).is_none(), "{name}");
    }
}

#[test]
fn a_token_that_is_not_valid_yet_is_refused() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    let token = tokens.sign(&access()).unwrap();
    let mut payload = part(&token, 1);
    payload["nbf"] = json!(now().unix_seconds() + 61);
    let forged = forge(&tokens.current, &part(&token, 0), &payload);
    assert!(tokens.verify(&forged, now()).is_none());
    assert!(tokens.verify(&forged, now().plus(seconds(1))).is_some());
}

#[test]
fn tokens_of_the_former_key_are_valid_while_it_is_known() {
    let former = SigningKey::generate(JwtAlgorithm::Rs256).unwrap();
    let token = tokens_with(same(&former)).sign(&access()).unwrap();
    let current = SigningKey::generate(JwtAlgorithm::EdDsa).unwrap();
    let changed = JwtTokens::new(ISSUER, AUDIENCE, keys(&current, &[former]));
    assert!(changed.verify(&token, now()).is_some());
    assert_eq!(changed.key_set(now())["keys"].as_array().unwrap().len(), 2);
    let forgotten = tokens(JwtAlgorithm::EdDsa);
    assert!(forgotten.verify(&token, now()).is_none());
}

#[test]
fn a_published_key_signs_nothing_before_its_time_and_everything_after() {
    let [current, next] =
        [JwtAlgorithm::EdDsa, JwtAlgorithm::Es256].map(|it| SigningKey::generate(it).unwrap());
    let handover = now().plus(seconds(600));
    let mut record = KeyRecord::new(&current, now().minus(seconds(3600)));
    record.signs_until = Some(handover);
    let records = [record, KeyRecord::new(&next, handover)];
    let keys = Keys::fixed(KeySet::new(None, &records));
    let tokens = JwtTokens::new(ISSUER, AUDIENCE, keys);
    let signed_at = |at: Timestamp| {
        let mut claims = access();
        claims.kind = TokenKind::Refresh { generation: 0 };
        claims.issued_at = at;
        claims.expires_at = at.plus(LONGEST_TOKEN);
        tokens.sign(&claims).unwrap()
    };
    let [before, after] = [handover.minus(seconds(1)), handover].map(signed_at);
    assert_eq!(part(&before, 0)["kid"], current.kid());
    assert_eq!(part(&after, 0)["kid"], next.kid());
    let named = |at| tokens.key_set(at)["keys"].as_array().unwrap().len();
    assert_eq!(named(now()), 2);
    // The last token of the former key is valid until it expires. Then the key is removed.
    let last = handover.minus(seconds(2)).plus(LONGEST_TOKEN);
    assert!(tokens.verify(&before, last).is_some());
    let end = handover.plus(LONGEST_TOKEN).plus(CLOCK_DIFFERENCE);
    assert_eq!(named(end.minus(seconds(1))), 2);
    assert_eq!(named(end), 1);
}

#[test]
fn no_token_is_signed_that_outlives_the_deny_list_or_its_key() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    for (kind, longest) in [
        (TokenKind::Access, LONGEST_ACCESS_TOKEN),
        (TokenKind::Refresh { generation: 0 }, LONGEST_TOKEN),
    ] {
        let mut claims = access();
        claims.kind = kind;
        claims.expires_at = claims.issued_at.plus(longest);
        assert!(tokens.sign(&claims).is_ok());
        claims.expires_at = claims.expires_at.plus(seconds(1));
        assert!(tokens.sign(&claims).is_err());
    }
}

#[test]
fn a_token_with_a_longer_lifetime_than_any_contract_allows_is_refused() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    for (kind, signer, longest) in [
        (
            TokenKind::Access,
            tokens.current.access(),
            LONGEST_ACCESS_TOKEN,
        ),
        (
            TokenKind::Refresh { generation: 0 },
            tokens.current.refresh(),
            LONGEST_TOKEN,
        ),
    ] {
        let mut claims = access();
        claims.kind = kind;
        let token = tokens.sign(&claims).unwrap();
        let header = token.split('.').next().unwrap();
        let until = |end: Timestamp| {
            let mut payload = part(&token, 1);
            payload["exp"] = json!(end.unix_seconds());
            let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload.to_string()));
            let signature = signer.sign(message.as_bytes()).unwrap();
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        };
        let last = now().plus(longest).plus(CLOCK_DIFFERENCE);
        assert!(tokens.verify(&until(last), now()).is_some());
        let longer = until(last.plus(seconds(2)));
        assert!(tokens.verify(&longer, now()).is_none());
        // By the clock of the node that issued it.
        let ahead = now().plus(seconds(10));
        assert!(tokens.verify(&longer, ahead).is_some());
        // A token that was verified then is refused once the clock is right again.
        assert!(tokens.verify(&longer, now()).is_none());
    }
}

#[test]
fn a_header_that_is_malformed_or_too_long_is_refused_despite_a_valid_signature() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    let token = tokens.sign(&access()).unwrap();
    let kid = tokens.current.kid();
    let payload = token.split('.').nth(1).unwrap();
    let signed = |header: &str| {
        let message = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header));
        let signature = tokens.current.access().sign(message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let good = format!(r#"{{"typ":"at+jwt","alg":"EdDSA","kid":"{kid}"}}"#);
    assert!(tokens.verify(&signed(&good), now()).is_some());
    for header in [
        format!(r#"{{"typ":"at+jwt","alg":"none","alg":"EdDSA","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"rt+jwt","typ":"at+jwt","alg":"EdDSA","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"at+jwt","alg":"EdDSA","kid":"x","kid":"{kid}"}}"#),
        format!(r#"["at+jwt","EdDSA","{kid}"]"#),
        format!(r#"{{"typ":["at+jwt"],"alg":"EdDSA","kid":"{kid}"}}"#),
        r#"{"typ":"at+jwt","alg":"EdDSA"}"#.to_owned(),
        r#"{"typ":"at+jwt","alg":"EdDSA","kid":null}"#.to_owned(),
        format!("{}{good}", " ".repeat(200)),
        format!("{good}{}", " ".repeat(200)),
        "null".to_owned(),
        String::new(),
    ] {
        assert!(tokens.verify(&signed(&header), now()).is_none(), "{header}");
    }
}

#[test]
fn the_key_set_has_every_verifying_key_but_no_shared_secret() {
    for (algorithm, members) in [
        (
            JwtAlgorithm::EdDsa,
            vec!["alg", "crv", "kid", "kty", "use", "x"],
        ),
        (
            JwtAlgorithm::Es256,
            vec!["alg", "crv", "kid", "kty", "use", "x", "y"],
        ),
        (
            JwtAlgorithm::Rs256,
            vec!["alg", "e", "kid", "kty", "n", "use"],
        ),
    ] {
        let tokens = tokens(algorithm);
        let set = tokens.key_set(now());
        let jwk = set["keys"][0].as_object().unwrap();
        let mut names: Vec<&str> = jwk.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, members, "{algorithm}");
        // A client can verify tokens with only the key set.
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(set["keys"][0].clone()).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let token = tokens.sign(&access()).unwrap();
        let decoded = jsonwebtoken::decode::<Value>(&token, &key, &signature_alone(algorithm));
        assert!(decoded.is_ok(), "{algorithm}");
    }
    assert_eq!(
        tokens(JwtAlgorithm::Hs256).key_set(now()),
        json!({ "keys": [] })
    );
}

#[test]
fn a_token_that_is_too_long_is_not_parsed() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    let mut signed = access();
    signed
        .extra
        .insert("pad".to_owned(), json!("x".repeat(MAX_LENGTH)));
    let token = tokens.sign(&signed).unwrap();
    assert!(tokens.verify(&token, now()).is_none());
}

proptest! {
    #[test]
    fn arbitrary_text_is_not_a_token(
        text in any::<String>(),
        shaped in "[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,90}",
        header in "\\{\"(alg|typ|kid)\":\"(EdDSA|none|HS256|at\\+jwt)\"\\}",
    ) {
        let tokens = tokens(JwtAlgorithm::EdDsa);
        let encoded = URL_SAFE_NO_PAD.encode(header);
        for text in [text, format!("{encoded}{shaped}"), shaped] {
            prop_assert!(tokens.verify(&text, now()).is_none());
        }
    }

    #[test]
    fn a_token_with_one_changed_character_is_refused(
        algorithm in prop::sample::select(vec![
            JwtAlgorithm::EdDsa, JwtAlgorithm::Es256, JwtAlgorithm::Hs256,
        ]),
        at in any::<prop::sample::Index>(),
        with in "[A-Za-z0-9_=+/. -]",
    ) {
        let tokens = tokens(algorithm);
        let token = tokens.sign(&access()).unwrap();
        let at = at.index(token.len());
        let mut mutated = token.clone();
        mutated.replace_range(at..=at, &with);
        prop_assume!(mutated != token);
        prop_assert!(tokens.verify(&mutated, now()).is_none());
    }

    #[test]
    fn a_truncated_or_extended_token_is_refused(
        at in any::<prop::sample::Index>(),
        tail in "[A-Za-z0-9_=.-]{1,8}",
    ) {
        let tokens = tokens(JwtAlgorithm::EdDsa);
        let token = tokens.sign(&access()).unwrap();
        prop_assert!(tokens.verify(&token[..at.index(token.len())], now()).is_none());
        let longer = token + &tail;
        prop_assert!(tokens.verify(&longer, now()).is_none());
    }

    #[test]
    fn a_token_signed_with_a_foreign_key_is_refused(
        algorithm in prop::sample::select(vec![
            JwtAlgorithm::EdDsa, JwtAlgorithm::Es256, JwtAlgorithm::Hs256,
        ]),
        header in mutations(),
        payload in mutations(),
    ) {
        let tokens = tokens(JwtAlgorithm::EdDsa);
        let mallory = SigningKey::generate(algorithm).unwrap();
        let good = tokens.sign(&access()).unwrap();
        let [header, payload] = [(0, header), (1, payload)].map(|(place, mutations)| {
            let mut part = part(&good, place);
            for (name, value) in mutations {
                part[name] = value;
            }
            part
        });
        prop_assert!(tokens.verify(&forge(&mallory, &header, &payload), now()).is_none());
    }

    #[test]
    fn other_data_signed_with_our_key_is_not_accepted_as_a_token(
        header in mutations(),
        payload in mutations(),
    ) {
        let tokens = tokens(JwtAlgorithm::EdDsa);
        let good = tokens.sign(&access()).unwrap();
        let [mut forged_header, mut forged_payload] = [part(&good, 0), part(&good, 1)];
        for (name, value) in &header {
            forged_header[name] = value.clone();
        }
        for (name, value) in &payload {
            forged_payload[name] = value.clone();
        }
        let forged = forge(&tokens.current, &forged_header, &forged_payload);
        let taken = tokens.verify(&forged, now()).is_some();
        let ours = ["typ", "alg", "kid"].map(|name| forged_header[name] == part(&good, 0)[name]);
        let same_header = ours == [true; 3] && forged_header.as_object().unwrap().len() == 3;
        prop_assert!(!taken || same_header, "{forged_header}");
        for name in ["iss", "aud"] {
            prop_assert!(!taken || forged_payload[name] == part(&good, 1)[name]);
        }
        prop_assert!(!taken || forged_payload["exp"].as_i64() > Some(now().unix_seconds()));
    }
}

/// Members of a header or of claims, with valid and invalid values.
fn mutations() -> impl Strategy<Value = Vec<(String, Value)>> {
    let names = [
        "typ",
        "alg",
        "kid",
        "crit",
        "jwk",
        "jku",
        "iss",
        "aud",
        "sub",
        "sid",
        "jti",
        "iat",
        "exp",
        "nbf",
        "epoch",
        "generation",
        "x",
    ];
    let values = prop_oneof![
        Just(json!(null)),
        Just(json!("none")),
        Just(json!("HS256")),
        Just(json!("EdDSA")),
        Just(json!("at+jwt")),
        Just(json!([AUDIENCE, "other"])),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        any::<String>().prop_map(|text| json!(text)),
        "[a-z{}\",:]{0,20}".prop_map(|text| json!({ "x": text })),
    ];
    let name = prop::sample::select(names.to_vec()).prop_map(str::to_owned);
    proptest::collection::vec((name, values), 0..4)
}
