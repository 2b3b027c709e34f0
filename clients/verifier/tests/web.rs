//! The tower layer and the axum extractor.
#![cfg(all(feature = "axum", feature = "tower"))]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

#[expect(dead_code, reason = "each binary of tests uses a part of it")]
mod support;

use std::time::Duration;

use authlog_verifier::{
    AuthenticateLayer, Authenticated, Claims, Refused, RequireAcr, RequireRole, RequireScope,
    Verifier,
};
use axum::body::Body;
use axum::extract::State;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use axum::{Extension, Router};
use serde_json::json;
use support::{LIMIT, ready};
use tower::ServiceExt as _;

async fn asked(router: &Router, path: &str, token: Option<&str>) -> (StatusCode, String, String) {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let challenge = response.headers().get(WWW_AUTHENTICATE);
    let challenge = challenge.map_or_else(String::new, |it| it.to_str().unwrap().to_owned());
    let body = axum::body::to_bytes(response.into_body(), 10_000).await;
    let body = String::from_utf8(body.unwrap().to_vec()).unwrap();
    (status, challenge, body)
}

async fn subject(Extension(claims): Extension<Claims>) -> String {
    claims.subject().to_owned()
}

#[tokio::test]
async fn a_layer_lets_only_accepted_tokens_pass_and_asks_for_what_is_missing() {
    let (issuer, key, verifier) = ready().await;
    let step_up = RequireAcr::two_factors().within(Duration::from_secs(600));
    let scopes = AuthenticateLayer::new(verifier.clone()).require(RequireScope::new("orders.read"));
    let router = Router::new()
        .route("/orders", get(subject))
        .layer(scopes)
        .merge(
            Router::new().route("/payments", get(subject)).layer(
                AuthenticateLayer::new(verifier.clone())
                    .require(RequireRole::any_of(["admin"]))
                    .require(step_up),
            ),
        );
    let mut claims = issuer.claims(1, 0);
    let plain = key.sign(&claims);
    claims["scope"] = json!("orders.read");
    claims["role"] = json!("admin");
    let scoped = key.sign(&claims);
    claims["acr"] = json!("urn:authlog:aal2");
    let strong = key.sign(&claims);
    let (status, challenge, _) = asked(&router, "/orders", None).await;
    assert_eq!((status.as_u16(), &*challenge), (401, "Bearer"));
    let (status, challenge, body) = asked(&router, "/orders", Some("nonsense")).await;
    assert_eq!(status, 401);
    assert!(
        challenge.contains(r#"error="invalid_token""#),
        "{challenge}"
    );
    assert!(body.contains("malformed"), "{body}");
    let (status, challenge, _) = asked(&router, "/orders", Some(&plain)).await;
    assert_eq!(status, 403);
    assert!(
        challenge.contains(r#"error="insufficient_scope""#),
        "{challenge}"
    );
    assert!(challenge.contains(r#"scope="orders.read""#), "{challenge}");
    let (status, _, body) = asked(&router, "/orders", Some(&scoped)).await;
    assert_eq!(
        (status.as_u16(), body),
        (200, support::account(1).to_string())
    );
    let (status, ..) = asked(&router, "/payments", Some(&plain)).await;
    assert_eq!(status, 403);
    let (status, challenge, _) = asked(&router, "/payments", Some(&scoped)).await;
    assert_eq!(status, 401);
    let expected = r#"error="insufficient_user_authentication""#;
    assert!(challenge.contains(expected), "{challenge}");
    let expected = r#"acr_values="urn:authlog:aal2", max_age="600""#;
    assert!(challenge.contains(expected), "{challenge}");
    let (status, ..) = asked(&router, "/payments", Some(&strong)).await;
    assert_eq!(status, 200);
    let index = issuer.log_out(1);
    verifier.wait_for(index, LIMIT).await.unwrap();
    let (status, challenge, body) = asked(&router, "/orders", Some(&scoped)).await;
    assert_eq!(status, 401);
    assert!(challenge.contains("has ended"), "{challenge}");
    assert!(body.contains("has ended"), "{body}");
}

#[tokio::test]
async fn an_extractor_gives_the_claims_to_a_handler() {
    async fn orders(
        State(verifier): State<Verifier>,
        token: Authenticated,
    ) -> Result<String, Refused> {
        token.require(&verifier, &RequireScope::new("orders.read"))?;
        Ok(token.claims().subject().to_owned())
    }
    let (issuer, key, verifier) = ready().await;
    let router = Router::new()
        .route("/orders", get(orders))
        .with_state(verifier);
    let mut claims = issuer.claims(1, 0);
    let plain = key.sign(&claims);
    claims["scope"] = json!("orders.read");
    let scoped = key.sign(&claims);
    let (status, challenge, _) = asked(&router, "/orders", None).await;
    assert_eq!((status.as_u16(), &*challenge), (401, "Bearer"));
    assert_eq!(asked(&router, "/orders", Some(&plain)).await.0, 403);
    let (status, _, body) = asked(&router, "/orders", Some(&scoped)).await;
    assert_eq!(
        (status.as_u16(), body),
        (200, support::account(1).to_string())
    );
}
