//! The module of the plan "Config OP" of the `OpenID` conformance suite, and who may read the documents.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::provider::Provider;
use crate::support::oauth::Registration;
use crate::support::{Settings, Store, on_both_stores, own};

on_both_stores!(
    oidcc_discovery_endpoint_verification,
    pages_of_every_site_may_read_what_is_public_and_no_cookie_is_used,
);

const ISSUER: &str = "https://auth.example.com/login";

async fn oidcc_discovery_endpoint_verification(store: Store) {
    let settings = Settings::on(store).with("AUTHLOG_PUBLIC_URL", ISSUER);
    let op = Provider::with(settings, &Registration::confidential("app")).await;
    let answer = op.service.send(own::PROVIDER_METADATA).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    let metadata = answer.json();
    assert_eq!(metadata["issuer"], ISSUER);
    for endpoint in [
        "authorization_endpoint",
        "token_endpoint",
        "userinfo_endpoint",
        "jwks_uri",
        "introspection_endpoint",
        "revocation_endpoint",
    ] {
        let url = metadata[endpoint].as_str().unwrap();
        assert!(url.starts_with("https://auth.example.com/login/"), "{url}");
    }
    for (member, value) in [
        ("response_types_supported", "code"),
        ("subject_types_supported", "public"),
        ("id_token_signing_alg_values_supported", "RS256"),
        ("scopes_supported", "openid"),
        ("code_challenge_methods_supported", "S256"),
        (
            "token_endpoint_auth_methods_supported",
            "client_secret_basic",
        ),
        ("grant_types_supported", "authorization_code"),
    ] {
        let values = metadata[member].as_array().unwrap();
        assert!(values.contains(&json!(value)), "{member}: {metadata}");
    }
    assert_eq!(metadata["claims_parameter_supported"], true);
    assert_eq!(metadata["request_parameter_supported"], false);
    assert_eq!(metadata["request_uri_parameter_supported"], false);
    let set = op.service.send(own::KEY_SET).await.json();
    let keys = set["keys"].as_array().unwrap();
    let ids: BTreeSet<_> = keys.iter().map(|key| key["kid"].as_str()).collect();
    assert_eq!(ids.len(), keys.len(), "{set}");
    for key in keys {
        assert_eq!(key["use"], "sig", "{key}");
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert_eq!(key.get(private), None, "{private}");
        }
    }
    // RFC 8414 has the same document.
    let of_server = op.service.send(own::METADATA).await.json();
    assert_eq!(of_server, metadata);
}

async fn pages_of_every_site_may_read_what_is_public_and_no_cookie_is_used(store: Store) {
    let settings = Settings::on(store).with("AUTHLOG_CORS_ORIGINS", "https://own.example");
    let op = Provider::with(settings, &Registration::public("spa")).await;
    let service = &op.service;
    for endpoint in [
        own::PROVIDER_METADATA,
        own::METADATA,
        own::KEY_SET,
        own::USERINFO,
        own::TOKEN,
    ] {
        let answer = service
            .send(endpoint)
            .header("origin", "https://app.example")
            .await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("*"),
            "{answer}"
        );
        let credentials = answer.header("access-control-allow-credentials");
        assert_eq!(credentials, None, "{answer}");
        let preflight = crate::support::Endpoint::at("OPTIONS", endpoint.path);
        let answer = service
            .send(preflight)
            .header("origin", "https://app.example")
            .header("access-control-request-method", endpoint.method)
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            )
            .await;
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let headers = answer.header("access-control-allow-headers");
        assert_eq!(headers, Some("authorization,content-type"));
        // A site that the operator allows is answered as before.
        let answer = service
            .send(endpoint)
            .header("origin", "https://own.example")
            .await;
        let origin = answer.header("access-control-allow-origin");
        assert_eq!(origin, Some("https://own.example"), "{answer}");
    }
    for endpoint in [own::AUTHORIZE, own::PROFILE, own::SESSIONS] {
        let answer = service
            .send(endpoint)
            .header("origin", "https://app.example")
            .await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            None,
            "{answer}"
        );
    }
    let _: Value = op.metadata().await;
}
