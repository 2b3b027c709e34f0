//! Tests of ID tokens, and that nothing else is taken for one or the other way round.

use std::sync::OnceLock;

use authlog_domain::ClientId;

use super::*;
use crate::tokens::KeyPurpose;

/// A key of ID tokens, which takes long to generate.
fn id_key() -> SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    same(KEY.get_or_init(|| SigningKey::generate_for_id_tokens().unwrap()))
}

fn id_record() -> KeyRecord {
    KeyRecord::new(&id_key(), now().minus(seconds(3600)))
}

/// Tokens with an access key of this algorithm, and these keys of ID tokens.
fn tokens_and(algorithm: JwtAlgorithm, id_tokens: &[KeyRecord]) -> Ours {
    let current = SigningKey::generate(algorithm).unwrap();
    let keys = keys(&current, &[]).now();
    let keys = Keys::fixed(keys.with(KeyPurpose::IdToken, id_tokens));
    Ours {
        tokens: JwtTokens::new(ISSUER, AUDIENCE, keys),
        current,
    }
}

fn id_claims() -> Map<String, Value> {
    let claims = json!({ "sub": "1", "aud": "web-app", "exp": 1_700_003_600, "nonce": "n" });
    claims.as_object().unwrap().clone()
}

fn signed(tokens: &JwtTokens, algorithm: IdTokenAlg) -> String {
    tokens
        .sign_id_token(&id_claims(), algorithm, now())
        .unwrap()
}

#[test]
fn an_id_token_is_verified_with_the_published_key_that_it_names() {
    let tokens = tokens_and(JwtAlgorithm::Es256, &[id_record()]);
    for (wanted, algorithm) in [
        (IdTokenAlg::Rs256, JwtAlgorithm::Rs256),
        (IdTokenAlg::AccessKey, JwtAlgorithm::Es256),
    ] {
        let token = signed(&tokens, wanted);
        let set = tokens.key_set(now());
        let jwk = set["keys"].as_array().unwrap().iter();
        let jwk = jwk.clone().find(|it| it["kid"] == part(&token, 0)["kid"]);
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(jwk.unwrap().clone()).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let validation = signature_alone(algorithm);
        let read = jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap();
        assert_eq!(part(&token, 0)["typ"], "JWT");
        assert_eq!(
            read.claims,
            json!({
                "iss": ISSUER, "sub": "1", "aud": "web-app", "nonce": "n",
                "iat": 1_700_000_000, "exp": 1_700_003_600,
            })
        );
    }
    assert_eq!(tokens.id_token_algorithms(now()), ["RS256", "ES256"]);
    // Keys of access tokens come first, for clients that read only the first key.
    assert_eq!(tokens.key_set(now())["keys"][0]["alg"], "ES256");
}

#[test]
fn no_id_token_is_signed_with_a_secret_that_clients_share() {
    let tokens = tokens_and(JwtAlgorithm::Hs256, &[id_record()]);
    for wanted in IdTokenAlg::ALL {
        assert_eq!(part(&signed(&tokens, wanted), 0)["alg"], "RS256");
    }
    assert_eq!(tokens.id_token_algorithms(now()), ["RS256"]);
    let header = json!({ "typ": "JWT", "alg": "HS256", "kid": tokens.current.kid() });
    let payload = json!({ "iss": ISSUER, "sub": "1" });
    let forged = forge(&tokens.current, &header, &payload);
    assert!(tokens.verify_id_token_hint(&forged).is_none());
}

#[test]
fn an_id_token_is_no_token_that_grants_access() {
    for algorithm in JwtAlgorithm::ALL {
        let tokens = tokens_and(algorithm, &[id_record()]);
        let access = tokens.sign(&access()).unwrap();
        let mut all = part(&access, 1).as_object().unwrap().clone();
        all.insert("client_id".to_owned(), json!("web-app"));
        for aud in [json!(AUDIENCE), json!([AUDIENCE])] {
            all.insert("aud".to_owned(), aud);
            for wanted in IdTokenAlg::ALL {
                let token = tokens.sign_id_token(&all, wanted, now()).unwrap();
                assert!(tokens.verify(&token, now()).is_none(), "{algorithm}");
                assert!(tokens.verify_oauth(&token, now()).is_none(), "{algorithm}");
                assert!(tokens.verify_id_token_hint(&token).is_some());
            }
        }
        // The key of ID tokens signs no access token.
        let header = json!({ "typ": "at+jwt", "alg": "RS256", "kid": id_key().kid() });
        let forged = forge(&id_key(), &header, &part(&access, 1));
        assert!(tokens.verify(&forged, now()).is_none(), "{algorithm}");
        assert!(tokens.verify_oauth(&forged, now()).is_none(), "{algorithm}");
        assert!(tokens.verify_id_token_hint(&access).is_none());
    }
}

#[test]
fn a_logout_token_is_signed_like_an_id_token_and_is_taken_for_no_other_token() {
    let claims = LogoutClaims {
        token: Uuid::from_u128(1),
        client: ClientId::from_stored("web-app"),
        user: UserId::new(Uuid::from_u128(2)),
        session: SessionId::new(Uuid::from_u128(3)),
    };
    for algorithm in JwtAlgorithm::ALL {
        let tokens = tokens_and(algorithm, &[id_record()]);
        for wanted in IdTokenAlg::ALL {
            let token = tokens.sign_logout_token(&claims, wanted, now()).unwrap();
            let header = part(&token, 0);
            assert_eq!(header["typ"], "logout+jwt");
            assert_eq!(header["kid"], part(&signed(&tokens, wanted), 0)["kid"]);
            assert_eq!(
                part(&token, 1),
                json!({
                    "iss": ISSUER, "aud": "web-app", "iat": 1_700_000_000, "exp": 1_700_000_120,
                    "jti": "00000000-0000-0000-0000-000000000001",
                    "sub": "00000000-0000-0000-0000-000000000002",
                    "sid": "00000000-0000-0000-0000-000000000003",
                    "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
                })
            );
            assert!(tokens.verify(&token, now()).is_none(), "{algorithm}");
            assert!(tokens.verify_oauth(&token, now()).is_none(), "{algorithm}");
            assert!(tokens.verify_id_token_hint(&token).is_none(), "{algorithm}");
        }
    }
    let without_key = tokens_and(JwtAlgorithm::Hs256, &[]);
    let refused = without_key.sign_logout_token(&claims, IdTokenAlg::Rs256, now());
    assert!(matches!(refused, Err(IdTokenError::NoKey)));
}

#[test]
fn an_id_token_is_a_hint_at_any_age_while_its_key_is_known() {
    let mut record = id_record();
    let tokens = tokens_and(JwtAlgorithm::Es256, &[record.clone()]);
    let token = signed(&tokens, IdTokenAlg::Rs256);
    let read = tokens.verify_id_token_hint(&token).unwrap();
    assert_eq!(read["sub"], "1");
    // The last token of the key has expired long ago, but no rotation has deleted the private half yet.
    record.signs_until = Some(Timestamp::from_unix_millis(1_600_000_000_000));
    let expired = tokens_and(JwtAlgorithm::Es256, &[record.clone()]);
    assert!(expired.verify_id_token_hint(&token).is_some());
    let published = expired.key_set(now());
    assert_eq!(published["keys"].as_array().unwrap().len(), 1);
    let retired = tokens_and(JwtAlgorithm::Es256, &[record.retired(now())]);
    assert!(retired.verify_id_token_hint(&token).is_none());
    let issuer = JwtTokens::new("https://other.example", AUDIENCE, tokens.keys.clone());
    assert!(issuer.verify_id_token_hint(&token).is_none());
    let other = signed(&issuer, IdTokenAlg::Rs256);
    assert!(tokens.verify_id_token_hint(&other).is_none());
}

#[test]
fn a_changed_hint_is_refused() {
    let tokens = tokens_and(JwtAlgorithm::Es256, &[id_record()]);
    let token = signed(&tokens, IdTokenAlg::Rs256);
    let (header, payload) = (part(&token, 0), part(&token, 1));
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("ES256")),
        ("typ", json!("at+jwt")),
        ("typ", json!("logout+jwt")),
        ("kid", json!(tokens.current.kid())),
        ("jwk", json!({})),
    ] {
        let mut header = header.clone();
        header[name] = value;
        let forged = forge(&id_key(), &header, &payload);
        assert!(tokens.verify_id_token_hint(&forged).is_none(), "{header}");
    }
    let (words, signature) = token.rsplit_once('.').unwrap();
    let mut other = id_claims();
    other.insert("sub".to_owned(), json!("2"));
    let other = tokens.sign_id_token(&other, IdTokenAlg::Rs256, now());
    let (other, _) = other.as_ref().unwrap().rsplit_once('.').unwrap();
    for text in [
        &format!("{other}.{signature}"),
        &format!("{words}."),
        words,
        &format!("{token}."),
        &format!("{token}a"),
        "",
        "..",
    ] {
        assert!(tokens.verify_id_token_hint(text).is_none(), "{text}");
    }
}

#[test]
fn no_id_token_is_signed_without_a_key_or_an_end() {
    let none = tokens_and(JwtAlgorithm::Es256, &[]);
    let missing = none.sign_id_token(&id_claims(), IdTokenAlg::Rs256, now());
    assert!(matches!(missing, Err(IdTokenError::NoKey)));
    // The access key is there at once.
    assert!(
        none.sign_id_token(&id_claims(), IdTokenAlg::AccessKey, now())
            .is_ok()
    );
    let tokens = tokens_and(JwtAlgorithm::Es256, &[id_record()]);
    let last = now().plus(LONGEST_TOKEN).unix_seconds();
    for (exp, is_good) in [
        (json!(last), true),
        (json!(last + 2), false),
        (json!(null), false),
        (json!("soon"), false),
        (json!(i64::MAX), false),
    ] {
        let mut claims = id_claims();
        claims.insert("exp".to_owned(), exp.clone());
        let token = tokens.sign_id_token(&claims, IdTokenAlg::Rs256, now());
        assert_eq!(token.is_ok(), is_good, "{exp}");
    }
    let mut claims = id_claims();
    claims.insert("iss".to_owned(), json!("https://mallory.example"));
    let token = tokens
        .sign_id_token(&claims, IdTokenAlg::Rs256, now())
        .unwrap();
    assert_eq!(part(&token, 1)["iss"], ISSUER);
}
