//! Tests of the tokens of OAuth, and that they are never taken for those of contracts.

use authlog_application::ports::OAuthClaims;
use authlog_domain::{ClientId, ClientSecretId, KeyThumbprint, Scopes};

use super::*;

const API: &str = "https://api.example";

fn client() -> ClientId {
    ClientId::parse("web-app").unwrap()
}

fn key() -> KeyThumbprint {
    KeyThumbprint::parse("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I").unwrap()
}

fn oauth() -> OAuthClaims {
    OAuthClaims {
        client: client(),
        scopes: Scopes::parse("read openid").unwrap(),
        audience: vec![API.to_owned(), ISSUER.to_owned()],
        parent: Some(SessionId::new(Uuid::from_u128(9))),
        key: Some(key()),
    }
}

fn of_session(kind: TokenKind) -> TokenClaims {
    TokenClaims {
        client: None,
        oauth: Some(oauth()),
        ..claims(kind)
    }
}

fn of_client() -> ClientTokenClaims {
    ClientTokenClaims {
        token: Uuid::from_u128(3),
        client: client(),
        secret: Some(ClientSecretId::new(Uuid::from_u128(5))),
        scopes: Scopes::parse("read").unwrap(),
        audience: vec![API.to_owned()],
        key: Some(key()),
        issued_at: Timestamp::from_unix_millis(1_700_000_000_000),
        expires_at: Timestamp::from_unix_millis(1_700_000_300_000),
    }
}

const REFRESH: TokenKind = TokenKind::Refresh { generation: 7 };

#[test]
fn a_token_of_oauth_is_verified_with_every_algorithm() {
    for algorithm in JwtAlgorithm::ALL {
        let tokens = tokens(algorithm);
        for kind in [TokenKind::Access, REFRESH] {
            let token = tokens.sign(&of_session(kind)).unwrap();
            let mut expected = oauth();
            if kind == REFRESH {
                expected.audience = vec![ISSUER.to_owned()];
            }
            let of_contract = tokens.sign(&claims(kind)).unwrap();
            let verified = VerifiedOAuthToken::Session {
                token: tokens.verify(&of_contract, now()).unwrap(),
                oauth: Arc::new(expected),
            };
            // The second time, it is cached.
            for _ in 0..2 {
                let found = tokens.verify_oauth(&token, now());
                assert_eq!(found.as_ref(), Some(&verified), "{algorithm}");
            }
            assert!(verified.is_for(ISSUER) && !verified.is_for(AUDIENCE));
        }
        let token = tokens.sign_client_token(&of_client()).unwrap();
        let expected = VerifiedOAuthToken::Client(Arc::new(of_client()));
        for _ in 0..2 {
            let found = tokens.verify_oauth(&token, now());
            assert_eq!(found.as_ref(), Some(&expected), "{algorithm}");
        }
    }
}

#[test]
fn no_contract_accepts_a_token_of_oauth_and_oauth_accepts_none_of_a_contract() {
    for algorithm in JwtAlgorithm::ALL {
        let tokens = tokens(algorithm);
        // Even if its audience were that of the contracts.
        let mut odd = of_session(TokenKind::Access);
        odd.oauth.as_mut().unwrap().audience = vec![AUDIENCE.to_owned()];
        let of_oauth = [
            tokens.sign(&of_session(TokenKind::Access)).unwrap(),
            tokens.sign(&of_session(REFRESH)).unwrap(),
            tokens.sign(&odd).unwrap(),
            tokens.sign_client_token(&of_client()).unwrap(),
        ];
        let of_contracts = [TokenKind::Access, REFRESH].map(|it| tokens.sign(&claims(it)).unwrap());
        // The second time, they are cached.
        for _ in 0..2 {
            for token in &of_oauth {
                assert!(tokens.verify(token, now()).is_none(), "{algorithm}");
                assert!(tokens.verify_oauth(token, now()).is_some(), "{algorithm}");
            }
            for token in &of_contracts {
                assert!(tokens.verify_oauth(token, now()).is_none(), "{algorithm}");
                assert!(tokens.verify(token, now()).is_some(), "{algorithm}");
            }
        }
    }
}

#[test]
fn an_access_token_of_oauth_has_the_claims_of_rfc_9068() {
    let tokens = tokens(JwtAlgorithm::Es256);
    let token = tokens.sign(&of_session(TokenKind::Access)).unwrap();
    assert_eq!(
        part(&token, 0),
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": tokens.current.kid() })
    );
    assert_eq!(
        part(&token, 1),
        json!({
            "iss": ISSUER, "aud": [API, ISSUER], "client_id": "web-app", "scope": "openid read",
            "sub": "00000000-0000-0000-0000-000000000001",
            "sid": "00000000-0000-0000-0000-000000000002",
            "jti": "00000000-0000-0000-0000-000000000003",
            "psid": "00000000-0000-0000-0000-000000000009",
            "iat": 1_700_000_000, "exp": 1_700_000_300, "epoch": 4,
            "amr": ["pwd", "otp", "mfa"], "acr": "urn:authlog:aal2", "auth_time": 1_699_999_000,
            "cnf": { "jkt": key() },
        })
    );
    let mut plain = of_client();
    (plain.secret, plain.scopes) = (None, Scopes::default());
    plain.key = None;
    let token = tokens.sign_client_token(&plain).unwrap();
    assert_eq!(
        part(&token, 1),
        json!({
            "iss": ISSUER, "aud": [API], "client_id": "web-app", "sub": "web-app",
            "jti": "00000000-0000-0000-0000-000000000003", "iat": 1_700_000_000, "exp": 1_700_000_300,
        })
    );
    let expected = VerifiedOAuthToken::Client(Arc::new(plain));
    assert_eq!(tokens.verify_oauth(&token, now()), Some(expected));
}

#[test]
fn a_contract_cannot_add_the_claims_of_oauth() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    let mut signed = access();
    for name in ["scope", "psid", "secret_id", "aud", "cnf"] {
        signed.extra.insert(name.to_owned(), json!(["mallory"]));
    }
    let token = tokens.sign(&signed).unwrap();
    assert!(!part(&token, 1).to_string().contains("mallory"));
}

/// Whether a token with these changed claims is taken for one of OAuth. `None` removes a claim.
fn taken(tokens: &Ours, token: &str, changes: &[(&str, Option<Value>)]) -> bool {
    let mut payload = part(token, 1);
    for (name, value) in changes {
        let payload = payload.as_object_mut().unwrap();
        match value {
            Some(value) => payload.insert((*name).to_owned(), value.clone()),
            None => payload.remove(*name),
        };
    }
    let forged = forge(&tokens.current, &part(token, 0), &payload);
    let taken = tokens.verify_oauth(&forged, now()).is_some();
    assert!(tokens.verify(&forged, now()).is_none(), "{changes:?}");
    taken
}

#[test]
fn a_token_of_a_session_is_not_taken_for_one_of_a_client_and_no_claim_may_lack() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    let of_session = tokens.sign(&of_session(TokenKind::Access)).unwrap();
    let of_client = tokens.sign_client_token(&of_client()).unwrap();
    assert!(taken(&tokens, &of_session, &[]) && taken(&tokens, &of_client, &[]));
    for token in [&of_session, &of_client] {
        for name in ["iss", "aud", "sub", "client_id", "jti", "iat", "exp"] {
            assert!(!taken(&tokens, token, &[(name, None)]), "{name}");
        }
        for (name, wrong) in [
            ("iss", json!("https://other.example")),
            ("aud", json!(API)),
            ("aud", json!([1])),
            ("sub", json!("somebody")),
            ("exp", json!(1_699_999_999)),
            ("exp", json!(i64::MAX)),
            ("iat", json!(1_700_000_999)),
            ("nbf", json!(1_700_000_999)),
            ("scope", json!(["read"])),
            // Bound in a way that is not known here.
            ("cnf", json!({ "x5t#S256": "x" })),
            ("cnf", json!({ "jkt": "x" })),
            ("cnf", json!("x")),
        ] {
            assert!(!taken(&tokens, token, &[(name, Some(wrong))]), "{name}");
        }
    }
    for name in ["sid", "epoch"] {
        assert!(!taken(&tokens, &of_session, &[(name, None)]), "{name}");
    }
    // Without both, its subject would have to be its client.
    let changes = [("sid", None), ("epoch", None)];
    assert!(!taken(&tokens, &of_session, &changes));
    for (name, value) in [("sid", json!(Uuid::from_u128(2))), ("epoch", json!(4))] {
        assert!(
            !taken(&tokens, &of_client, &[(name, Some(value))]),
            "{name}"
        );
    }
}

#[test]
fn a_refresh_token_of_oauth_belongs_to_a_session_and_has_a_generation() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    let token = tokens.sign(&of_session(REFRESH)).unwrap();
    assert_eq!(part(&token, 1)["aud"], json!([ISSUER]));
    for lacking in [&["generation"][..], &["sid", "epoch"]] {
        let mut payload = part(&token, 1);
        for name in lacking {
            payload.as_object_mut().unwrap().remove(*name);
        }
        if lacking.len() == 2 {
            payload["sub"] = json!("web-app");
        }
        let forged = forge_with(tokens.current.refresh(), &part(&token, 0), &payload);
        assert!(tokens.verify_oauth(&forged, now()).is_none(), "{lacking:?}");
    }
}

#[test]
fn a_token_of_oauth_expires_and_ends_with_its_key() {
    let tokens = tokens(JwtAlgorithm::EdDsa);
    for token in [
        tokens.sign(&of_session(TokenKind::Access)).unwrap(),
        tokens.sign_client_token(&of_client()).unwrap(),
    ] {
        assert!(tokens.verify_oauth(&token, now()).is_some());
        let later = now().plus(seconds(300));
        assert!(tokens.verify_oauth(&token, later).is_none());
        let other = super::tokens(JwtAlgorithm::EdDsa);
        assert!(other.verify_oauth(&token, now()).is_none());
    }
    let mut long = of_client();
    long.expires_at = long.issued_at.plus(LONGEST_ACCESS_TOKEN).plus(seconds(1));
    assert!(tokens.sign_client_token(&long).is_err());
}
