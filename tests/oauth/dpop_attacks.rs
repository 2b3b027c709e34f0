//! Proofs of possession that prove nothing: replayed, for another request, or signed by another key.

use serde_json::json;

use super::provider::Provider;
use crate::support::dpop::{DpopKey, Proof, digest_of};
use crate::support::oauth::{Granted, Registration, is_grant_error};
use crate::support::{Answer, Settings, Store, on_both_stores, own};

on_both_stores!(
    a_proof_that_fits_nothing_gets_no_token,
    a_replayed_proof_is_refused,
    a_proof_at_a_resource_is_for_its_token_and_its_request,
    an_unbound_token_is_no_dpop_token_and_a_bound_one_no_bearer_token,
    an_unbound_session_of_a_public_client_is_not_bound_later,
);

/// A service with a machine that authenticates itself, and the URL of the token endpoint.
async fn machine(store: Store) -> (Provider, crate::support::oauth::App, String) {
    let op = Provider::on(store).await;
    let machine = Registration::machine("billing").at(&op.service);
    let url = op.metadata().await["token_endpoint"]
        .as_str()
        .unwrap()
        .to_owned();
    (op, machine, url)
}

const GRANT: [(&str, &str); 1] = [("grant_type", "client_credentials")];

async fn a_proof_that_fits_nothing_gets_no_token(store: Store) {
    let (op, machine, url) = machine(store).await;
    let (key, other) = (DpopKey::new(), DpopKey::new());
    let good = || key.parts("POST", &url);
    let now = good().claims["iat"].as_i64().unwrap();
    let userinfo = url.replace("/token", "/userinfo");
    let mut private = key.jwk();
    private["d"] = json!("AA");
    let secret = json!({ "kty": "oct", "k": "AA" });
    let altered: Vec<Proof> = vec![
        good().with("htm", &json!("GET")),
        good().with("htu", &json!(userinfo)),
        good().with("htu", &json!(url.replace("http://", "https://"))),
        good().with("htu", &json!("/oauth2/token")),
        good().with("iat", &json!(now - 3600)),
        good().with("iat", &json!(now + 3600)),
        good().with("iat", &json!("now")),
        good().with("jti", &json!("")),
        good().with("jti", &json!("x".repeat(300))),
        good().without("jti"),
        good().without("htm"),
        good().without("htu"),
        good().without("iat"),
        good().with_header("typ", &json!("JWT")),
        good().with_header("alg", &json!("none")),
        good().with_header("alg", &json!("HS256")),
        good().with_header("alg", &json!("EdDSA")),
        good().with_header("jwk", &private),
        good().with_header("jwk", &other.jwk()),
        good().with_header("jwk", &secret),
        good().with_header("jwk", &json!({})),
        good().with_header("jwk", &json!("x")),
        good().with_header("crit", &json!(["b64"])),
    ];
    let events = op.service.settings.count("events");
    let mut proofs: Vec<String> = altered.iter().map(|proof| key.sign(proof)).collect();
    let signed = key.sign(&good());
    let (message, _) = signed.rsplit_once('.').unwrap();
    proofs.extend([
        format!("{message}."),
        message.to_owned(),
        "nonsense".to_owned(),
        "..".to_owned(),
        " ".to_owned(),
        "x".repeat(5_000),
        format!("{signed},{signed}"),
    ]);
    for proof in proofs {
        let answer = machine.token_request(&GRANT).header("dpop", &proof).await;
        is_grant_error(&answer, 400, "invalid_dpop_proof");
    }
    let twice = machine.token_request(&GRANT).header("dpop", &signed);
    let answer = twice.header("dpop", key.sign(&good())).await;
    is_grant_error(&answer, 400, "invalid_dpop_proof");
    let bytes = machine.token_request(&GRANT).header("dpop", b"\xe4\xff");
    is_grant_error(&bytes.await, 400, "invalid_dpop_proof");
    // A client that is not authenticated hears nothing of the proof.
    let answer = op
        .service
        .send(own::TOKEN)
        .form(&GRANT)
        .header("dpop", "x")
        .await;
    is_grant_error(&answer, 400, "invalid_client");
    assert_eq!(op.service.settings.count("events"), events);
    // None of the refusals used the id.
    Granted::bound(&machine.token_request(&GRANT).header("dpop", &signed).await);
}

async fn a_replayed_proof_is_refused(store: Store) {
    let (mut op, machine, url) = machine(store).await;
    let key = DpopKey::new();
    let proof = key.proof("POST", &url);
    let send = || machine.token_request(&GRANT).header("dpop", &proof);
    Granted::bound(&send().await);
    for _ in 0..2 {
        is_grant_error(&send().await, 400, "invalid_dpop_proof");
    }
    // Many at once: one gets tokens.
    let proof = key.proof("POST", &url);
    let sent = (0..20).map(|_| {
        tokio::spawn(
            machine
                .token_request(&GRANT)
                .header("dpop", &proof)
                .into_future(),
        )
    });
    let mut granted = 0;
    for answer in sent.collect::<Vec<_>>() {
        let answer = answer.await.unwrap();
        granted += usize::from(answer.status == 200);
        assert!([200, 400].contains(&answer.status), "{answer}");
    }
    assert_eq!(granted, 1);
    // At userinfo as well.
    let begun = op.app.begins("openid");
    let callback = op.is_called_back(&begun).await;
    let exchange = op.app.exchange(&begun, callback.code());
    let granted = Granted::bound(&exchange.header("dpop", key.proof("POST", &url)).await);
    let at = url.replace("/token", "/userinfo");
    let proof = key.proof_with("GET", &at, &granted.access);
    let ask = || {
        let request = op.service.send(own::USERINFO);
        let request = request.authorization(&format!("DPoP {}", granted.access));
        request.header("dpop", &proof)
    };
    assert_eq!(ask().await.status, 200);
    is_refused_as(&ask().await, "invalid_dpop_proof");
}

/// Asserts that userinfo refuses the request with this error in the challenge of DPoP.
#[track_caller]
fn is_refused_as(answer: &Answer, error: &str) {
    assert_eq!(answer.status, 401, "{answer}");
    assert_eq!(answer.json()["error"], error, "{answer}");
    let mut challenges = answer.headers.get_all("www-authenticate").iter();
    let challenge = format!("DPoP algs=\"ES256 EdDSA RS256\", error=\"{error}\"");
    assert!(challenges.any(|it| it == &challenge), "{answer}");
}

async fn a_proof_at_a_resource_is_for_its_token_and_its_request(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let metadata = op.metadata().await;
    let [url, at] =
        ["token_endpoint", "userinfo_endpoint"].map(|it| metadata[it].as_str().unwrap());
    let (key, mallory) = (DpopKey::new(), DpopKey::new());
    let mut bound = Vec::new();
    for _ in 0..2 {
        let begun = op.app.begins("openid");
        let callback = op.is_called_back(&begun).await;
        let exchange = op.app.exchange(&begun, callback.code());
        let answer = exchange.header("dpop", key.proof("POST", url)).await;
        bound.push(Granted::bound(&answer).access);
    }
    let (access, other) = (&bound[0], &bound[1]);
    let good = || key.parts("GET", at).with_token(access);
    let ask = async |proof: &str| {
        let request = op.service.send(own::USERINFO);
        let request = request.authorization(&format!("DPoP {access}"));
        request.header("dpop", proof).await
    };
    for altered in [
        good().without("ath"),
        good().with_token(other),
        good().with("ath", &json!("")),
        good().with("ath", &json!(format!("{}=", digest_of(access)))),
        good().with("htm", &json!("POST")),
        good().with("htu", &json!(url)),
        good().with("iat", &json!(0)),
        good().with_header("typ", &json!("at+jwt")),
        good().with_header("jwk", &mallory.jwk()),
    ] {
        is_refused_as(&ask(&key.sign(&altered)).await, "invalid_dpop_proof");
    }
    // The proof of a thief with a key of their own is valid, and the token is not theirs.
    let stolen = mallory.proof_with("GET", at, access);
    is_refused_as(&ask(&stolen).await, "invalid_token");
    let request = op.service.send(own::USERINFO);
    let without = request.authorization(&format!("DPoP {access}")).await;
    is_refused_as(&without, "invalid_dpop_proof");
    let request = op.service.send(own::USERINFO);
    let nonsense = request.authorization("DPoP nonsense");
    let proof = key.proof_with("GET", at, "nonsense");
    is_refused_as(&nonsense.header("dpop", proof).await, "invalid_token");
    assert_eq!(ask(&key.sign(&good())).await.status, 200);
}

async fn an_unbound_token_is_no_dpop_token_and_a_bound_one_no_bearer_token(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let at = op.metadata().await["userinfo_endpoint"]
        .as_str()
        .unwrap()
        .to_owned();
    let key = DpopKey::new();
    let (_, unbound) = op.signs_in("openid").await;
    // A thief of a bearer token cannot make it theirs.
    let request = op.service.send(own::USERINFO);
    let request = request.authorization(&format!("DPoP {}", unbound.access));
    let proof = key.proof_with("GET", &at, &unbound.access);
    is_refused_as(&request.header("dpop", proof).await, "invalid_token");
    // Some libraries send a proof always. It says nothing about a bearer token.
    let request = op.service.send(own::USERINFO).bearer(&unbound.access);
    assert_eq!(request.header("dpop", "nonsense").await.status, 200);
    let twice = op.service.send(own::USERINFO).bearer(&unbound.access);
    let twice = twice.authorization(&format!("DPoP {}", unbound.access));
    assert_eq!(twice.await.status, 400);
}

async fn an_unbound_session_of_a_public_client_is_not_bound_later(store: Store) {
    let mut op = Provider::with(Settings::on(store), &Registration::public("app")).await;
    let url = op.metadata().await["token_endpoint"]
        .as_str()
        .unwrap()
        .to_owned();
    let (_, granted) = op.signs_in("openid").await;
    let key = DpopKey::new();
    let refresh = op.app.refresh(granted.refresh());
    let answer = refresh.header("dpop", key.proof("POST", &url)).await;
    is_grant_error(&answer, 400, "invalid_grant");
    // Nothing of that used the refresh token.
    Granted::of(&op.app.refreshes(granted.refresh()).await);
}
