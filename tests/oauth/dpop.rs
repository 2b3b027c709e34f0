//! Tokens that are bound to a key of the client (DPoP, RFC 9449).

use serde_json::{Value, json};

use super::provider::Provider;
use crate::support::dpop::DpopKey;
use crate::support::oauth::{Begun, Granted, Registration, is_grant_error};
use crate::support::{Answer, Endpoint, Settings, Store, on_both_stores, own, staff, token};

on_both_stores!(
    a_public_application_binds_its_tokens_to_its_key,
    a_confidential_application_may_change_its_key,
    a_machine_binds_its_token,
    a_bound_token_says_so_when_it_is_introspected,
    a_client_that_has_to_bind_its_tokens_gets_no_others,
    a_code_is_bound_to_a_key_by_the_request_or_by_a_pushed_proof,
    a_session_stays_bound_after_a_restart_and_a_rebuild,
    the_binding_is_part_of_the_history,
    pages_of_other_sites_may_send_proofs,
);

/// The application and its key, which it has proved with the code.
async fn binds(op: &mut Provider, key: &DpopKey, begun: &Begun) -> Granted {
    let callback = op.is_called_back(begun).await;
    let proof = key.proof("POST", &endpoint(op, "token_endpoint").await);
    let request = op.app.exchange(begun, callback.code());
    Granted::bound(&request.header("dpop", proof).await)
}

/// The URL of an endpoint in the discovery document.
async fn endpoint(op: &Provider, name: &str) -> String {
    op.metadata().await[name].as_str().unwrap().to_owned()
}

/// What the userinfo endpoint answers to a bound token.
async fn asks(op: &Provider, key: &DpopKey, access: &str) -> Answer {
    let proof = key.proof_with("GET", &endpoint(op, "userinfo_endpoint").await, access);
    let request = op.service.send(own::USERINFO);
    let request = request.authorization(&format!("DPoP {access}"));
    request.header("dpop", proof).await
}

async fn a_public_application_binds_its_tokens_to_its_key(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    for key in [DpopKey::new(), DpopKey::of_ed25519()] {
        let begun = op.app.begins("openid email");
        let granted = binds(&mut op, &key, &begun).await;
        let claims = token::claims(&granted.access);
        assert_eq!(claims["cnf"], json!({ "jkt": key.thumbprint() }));
        let info = asks(&op, &key, &granted.access).await;
        assert_eq!(info.json()["email"], "ann@example.com", "{info}");
        // A POST is another method.
        let url = endpoint(&op, "userinfo_endpoint").await;
        let request = op.service.send(own::USERINFO_BY_POST);
        let request = request.authorization(&format!("dpop {}", granted.access));
        let proof = key.proof_with("POST", &url, &granted.access);
        assert_eq!(request.header("dpop", proof).await.status, 200);
        // As a bearer token it is useless, in the header and in a form.
        let answer = op.service.send(own::USERINFO).bearer(&granted.access).await;
        is_challenged(&answer, "Bearer error=\"invalid_token\"");
        let form = [("access_token", &*granted.access)];
        let answer = op.service.send(own::USERINFO_BY_POST).form(&form).await;
        is_challenged(&answer, "Bearer error=\"invalid_token\"");
        // Refreshing needs the key, and keeps it.
        let refresh = granted.refresh();
        is_grant_error(&op.app.refreshes(refresh).await, 400, "invalid_grant");
        let url = endpoint(&op, "token_endpoint").await;
        let stolen = op.app.refresh(refresh);
        let proof = DpopKey::new().proof("POST", &url);
        is_grant_error(&stolen.header("dpop", proof).await, 400, "invalid_grant");
        let again = op.app.refresh(refresh);
        let again = again.header("dpop", key.proof("POST", &url)).await;
        let again = Granted::bound(&again);
        let claims = token::claims(&again.access);
        assert_eq!(claims["cnf"]["jkt"], key.thumbprint());
        assert_eq!(asks(&op, &key, &again.access).await.status, 200);
    }
}

/// Asserts that the request is challenged for both schemes.
#[track_caller]
fn is_challenged(answer: &Answer, challenge: &str) {
    assert_eq!(answer.status, 401, "{answer}");
    let challenges: Vec<_> = answer
        .headers
        .get_all("www-authenticate")
        .iter()
        .map(|it| it.to_str().unwrap())
        .collect();
    assert_eq!(challenges, [challenge, "DPoP algs=\"ES256 EdDSA RS256\""]);
}

async fn a_confidential_application_may_change_its_key(store: Store) {
    let mut op = Provider::with(Settings::on(store), &Registration::confidential("app")).await;
    let (first, second) = (DpopKey::new(), DpopKey::new());
    let begun = op.app.begins("openid");
    let granted = binds(&mut op, &first, &begun).await;
    let url = endpoint(&op, "token_endpoint").await;
    // Its secret protects the refresh token (RFC 9449 section 5), so another key is as good.
    let request = op.app.refresh(granted.refresh());
    let answer = request.header("dpop", second.proof("POST", &url)).await;
    let granted = Granted::bound(&answer);
    let claims = token::claims(&granted.access);
    assert_eq!(claims["cnf"]["jkt"], second.thumbprint());
    assert_eq!(asks(&op, &first, &granted.access).await.status, 401);
    assert_eq!(asks(&op, &second, &granted.access).await.status, 200);
    // And so is none.
    let granted = Granted::of(&op.app.refreshes(granted.refresh()).await);
    assert_eq!(token::claims(&granted.access).get("cnf"), None);
}

async fn a_machine_binds_its_token(store: Store) {
    let op = Provider::on(store).await;
    let machine = Registration::machine("billing").at(&op.service);
    let (key, url) = (DpopKey::new(), endpoint(&op, "token_endpoint").await);
    let grant = [("grant_type", "client_credentials")];
    let proof = key.proof("POST", &url);
    let request = machine.token_request(&grant).header("dpop", &proof);
    let granted = Granted::bound(&request.clone().await);
    let claims = token::claims(&granted.access);
    assert_eq!(claims["cnf"], json!({ "jkt": key.thumbprint() }));
    is_grant_error(&request.await, 400, "invalid_dpop_proof");
    let form = [("token", &*granted.access)];
    let answer = machine.authenticated(own::INTROSPECT, &form).await.json();
    assert_eq!(answer["token_type"], "DPoP");
    assert_eq!(answer["cnf"]["jkt"], key.thumbprint());
}

async fn a_bound_token_says_so_when_it_is_introspected(store: Store) {
    let registration = Registration::public("app").with("--audience", "https://api.example");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let server = Registration::resource_server("server", "https://api.example").at(&op.service);
    let key = DpopKey::new();
    let begun = op
        .app
        .begins("openid")
        .with("resource", "https://api.example");
    let granted = binds(&mut op, &key, &begun).await;
    let ask = async |token: &str| {
        let answer = server.authenticated(own::INTROSPECT, &[("token", token)]);
        answer.await.json()
    };
    let answer = ask(&granted.access).await;
    assert_eq!(answer["active"], true, "{answer}");
    assert_eq!(answer["token_type"], "DPoP");
    assert_eq!(answer["cnf"], json!({ "jkt": key.thumbprint() }));
    let begun = op
        .app
        .begins("openid")
        .with("resource", "https://api.example");
    let unbound = op.completes(&begun).await;
    let answer = ask(&unbound.access).await;
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer.get("cnf"), None);
}

async fn a_client_that_has_to_bind_its_tokens_gets_no_others(store: Store) {
    let registration = Registration::public("app").with("--dpop-bound", "true");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let begun = op.app.begins("openid");
    let callback = op.is_called_back(&begun).await;
    let answer = op.app.exchange(&begun, callback.code()).await;
    is_grant_error(&answer, 400, "invalid_dpop_proof");
    // The code was not used.
    let (key, url) = (DpopKey::new(), endpoint(&op, "token_endpoint").await);
    let request = op.app.exchange(&begun, callback.code());
    let granted = Granted::bound(&request.header("dpop", key.proof("POST", &url)).await);
    let answer = op.app.refreshes(granted.refresh()).await;
    is_grant_error(&answer, 400, "invalid_dpop_proof");
    let machine = Registration::machine("billing").with("--dpop-bound", "true");
    let machine = machine.at(&op.service);
    let grant = [("grant_type", "client_credentials")];
    let answer = machine.token_request(&grant).await;
    is_grant_error(&answer, 400, "invalid_dpop_proof");
}

async fn a_code_is_bound_to_a_key_by_the_request_or_by_a_pushed_proof(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let (key, other) = (DpopKey::new(), DpopKey::new());
    let url = endpoint(&op, "token_endpoint").await;
    let par = endpoint(&op, "pushed_authorization_request_endpoint").await;
    for pushed in [None, Some(false), Some(true)] {
        let plain = op.app.begins("openid");
        let named = plain.clone().with("dpop_jkt", &key.thumbprint());
        let (begun, sent) = match pushed {
            None => (named.clone(), named),
            Some(false) => (named.clone(), op.app.pushes(&named).await),
            Some(true) => {
                let request = op.app.push(&plain).header("dpop", key.proof("POST", &par));
                (plain.clone(), plain.pushed(&request.await))
            }
        };
        let callback = op.is_called_back(&sent).await;
        let exchange = || op.app.exchange(&begun, callback.code());
        is_grant_error(&exchange().await, 400, "invalid_grant");
        let stolen = exchange().header("dpop", other.proof("POST", &url));
        is_grant_error(&stolen.await, 400, "invalid_grant");
        let own = exchange().header("dpop", key.proof("POST", &url));
        Granted::bound(&own.await);
    }
    // Both at once have to be one key.
    let named = op.app.begins("openid").with("dpop_jkt", &key.thumbprint());
    let both = op.app.push(&named).header("dpop", key.proof("POST", &par));
    assert_eq!(both.await.status, 201);
    let both = op
        .app
        .push(&named)
        .header("dpop", other.proof("POST", &par));
    is_grant_error(&both.await, 400, "invalid_request");
    let wrong = op.app.push(&named).header("dpop", key.proof("POST", &url));
    is_grant_error(&wrong.await, 400, "invalid_dpop_proof");
}

async fn a_session_stays_bound_after_a_restart_and_a_rebuild(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let key = DpopKey::new();
    let begun = op.app.begins("openid");
    let granted = binds(&mut op, &key, &begun).await;
    op.service.kill9();
    for command in ["rebuild", "doctor"] {
        let output = op.service.settings.run(&[command], "");
        assert!(output.status.success(), "{output:?}");
    }
    op.service.restart().await;
    op.app = op.app.of(&op.http());
    let refresh = granted.refresh();
    is_grant_error(&op.app.refreshes(refresh).await, 400, "invalid_grant");
    let url = endpoint(&op, "token_endpoint").await;
    let answer = op
        .app
        .refresh(refresh)
        .header("dpop", key.proof("POST", &url));
    let granted = Granted::bound(&answer.await);
    // What an attacker writes to the store unbinds nothing.
    op.service
        .settings
        .execute("UPDATE sessions SET dpop_jkt = NULL WHERE dpop_jkt IS NOT NULL");
    let answer = op.app.refreshes(granted.refresh()).await;
    is_grant_error(&answer, 400, "invalid_grant");
}

async fn the_binding_is_part_of_the_history(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let auditor = staff::signed_in(&op.service, "ida", "auditor").await.access;
    let key = DpopKey::new();
    let begun = op.app.begins("openid");
    let granted = binds(&mut op, &key, &begun).await;
    let claims = token::claims(&granted.access);
    let path = format!("/audit/users/{}", claims["sub"].as_str().unwrap());
    let state = op.service.send(Endpoint::at("GET", path.leak()));
    let state = state.bearer(&auditor).await.json();
    let sessions = state["live_sessions"].as_array().unwrap();
    let session = sessions.iter().find(|it| it["id"] == claims["sid"]);
    assert_eq!(session.unwrap()["dpop_jkt"], key.thumbprint());
    // In the published event, too.
    op.service.log_is_complete().await;
    let feed = op.service.send(own::FEED).bearer(&auditor).await.body;
    let events = feed
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut bound = events.filter(|event| event["data"]["dpop_jkt"] == key.thumbprint());
    assert_eq!(bound.next().unwrap()["data"]["client_id"], "app");
}

/// A single-page application keeps its key in the browser.
async fn pages_of_other_sites_may_send_proofs(store: Store) {
    let op = Provider::with_public_app(store).await;
    for path in ["/oauth2/token", "/oauth2/userinfo", "/oauth2/par"] {
        let request = op.service.send(Endpoint::at("OPTIONS", path));
        let answer = request
            .header("origin", "https://spa.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,dpop")
            .await;
        assert_eq!(answer.status, 200, "{answer}");
        let allowed = answer.header("access-control-allow-headers").unwrap();
        assert!(allowed.contains("dpop"), "{answer}");
    }
    let request = op.service.send(own::USERINFO);
    let answer = request.header("origin", "https://spa.example").await;
    let exposed = answer.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("www-authenticate"), "{answer}");
}
