//! The life of a session: rotation, the grace for retries, theft and the end.

use crate::support;

use std::time::Duration;

use serde_json::Value;
use support::contract::{is_refused, refreshes_nothing, verifies};
use support::http::Http;
use support::{
    Contract, Person, Program, Store, api_auth, eventually, on_both_stores, token, users,
};

on_both_stores!(
    a_chain_of_refreshes_keeps_the_session,
    a_client_that_retries_gets_a_successor_that_works,
    a_refresh_token_reused_after_the_grace_ends_the_session,
    a_refresh_token_two_generations_old_ends_the_session_at_once,
    a_stolen_session_leaves_the_others_alone,
    a_single_use_token_is_refused_where_its_successor_cannot_be_returned,
    a_session_of_users_keeps_its_refresh_token_when_refreshed_through_api_auth,
    a_logout_that_was_recorded_by_a_clock_far_behind_counts_after_a_restart,
);

async fn a_chain_of_refreshes_keeps_the_session(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let first = signed_in_refresh_token(&http).await;
    let mut token = first.clone();
    for _ in 0..5 {
        let next = refresh(&http, &token).await;
        assert_ne!(next.refresh, token);
        verifies(&http, &next.access).await;
        let [before, after] = [&first, &next.refresh].map(|token| token::claims(token));
        assert_eq!(before["sid"], after["sid"]);
        token = next.refresh;
    }
}

async fn a_logout_that_was_recorded_by_a_clock_far_behind_counts_after_a_restart(store: Store) {
    let mut service = Program::on(store).await;
    let http = service.http();
    let (ann, bob) = (Person::called("ann"), Person::called("bob"));
    let mut ended = Vec::new();
    for person in [&ann, &bob] {
        Contract::ApiAuth.registers(&http, person).await;
        ended.push(Contract::ApiAuth.signs_in(&http, person).await.access);
    }
    let live = Contract::ApiAuth.signs_in(&http, &ann).await.access;
    let answer = http.send(api_auth::LOGOUT).bearer(&ended[0]).await;
    assert_eq!(answer.status, 200, "{answer}");
    let arguments = ["user", "role", &bob.username, "auditor"];
    assert!(service.settings.run(&arguments, "").status.success());
    service.terminate().await;
    let two_days_before = if service.settings.is_sqlite() {
        "recorded_at - 2 * 86400000000"
    } else {
        "recorded_at - interval '2 days'"
    };
    let types = "event_type IN ('LoggedOut', 'RoleChanged')";
    let set_back = format!("UPDATE events SET recorded_at = {two_days_before} WHERE {types}");
    service.settings.tamper(&set_back);
    service.restart().await;
    let http = service.http();
    // At first the node queries the store; later it uses its deny list, which is up to date.
    for _ in 0..20 {
        for token in &ended {
            is_refused(&http, token).await;
        }
        verifies(&http, &live).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn a_client_that_retries_gets_a_successor_that_works(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let old = signed_in_refresh_token(&http).await;
    // The first answer is lost, or two tabs refresh at once.
    let first = refresh(&http, &old).await;
    let second = refresh(&http, &old).await;
    verifies(&http, &first.access).await;
    verifies(&http, &second.access).await;
    let third = refresh(&http, &second.refresh).await;
    verifies(&http, &third.access).await;
}

async fn a_refresh_token_reused_after_the_grace_ends_the_session(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let stolen = signed_in_refresh_token(&http).await;
    let owner = refresh(&http, &stolen).await;
    // The grace lasts ten seconds from when the answer was due. A retry does not extend it.
    tokio::time::sleep(Duration::from_secs(18)).await;
    eventually("the grace ends", async || {
        let answer = http.send(api_auth::REFRESH).bearer(&stolen).await;
        (answer.status == 401).then_some(())
    })
    .await;
    refreshes_nothing(&http, &stolen).await;
    refreshes_nothing(&http, &owner.refresh).await;
    is_refused(&http, &owner.access).await;
}

async fn a_refresh_token_two_generations_old_ends_the_session_at_once(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let stolen = signed_in_refresh_token(&http).await;
    let second = refresh(&http, &stolen).await;
    let third = refresh(&http, &second.refresh).await;
    refreshes_nothing(&http, &stolen).await;
    refreshes_nothing(&http, &third.refresh).await;
    is_refused(&http, &third.access).await;
}

async fn a_stolen_session_leaves_the_others_alone(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let stolen = signed_in_refresh_token(&http).await;
    let other = Contract::ApiAuth
        .signs_in(&http, &Person::called("ann"))
        .await;
    let second = refresh(&http, &stolen).await;
    refresh(&http, &second.refresh).await;
    refreshes_nothing(&http, &stolen).await;
    verifies(&http, &other.access).await;
    refresh(&http, other.refresh()).await;
}

async fn a_single_use_token_is_refused_where_its_successor_cannot_be_returned(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let token = signed_in_refresh_token(&http).await;
    // The answer of `/users` has no member for a successor.
    let is_refused_by_c = async |token: &str| {
        let answer = http.send(users::REFRESH).authorization(token).await;
        assert_eq!(answer.status, 400, "{answer}");
        let says = "please provided a valid refresh_token!";
        assert_eq!(answer.json()["message"], says);
    };
    is_refused_by_c(&token).await;
    let next = refresh(&http, &token).await;
    // Not even as a retry within the grace.
    is_refused_by_c(&token).await;
    is_refused_by_c(&next.refresh).await;
    refresh(&http, &next.refresh).await;
    // A copy that is two generations old ends the session there, as it does at `/api/auth`.
    is_refused_by_c(&token).await;
    is_refused(&http, &next.access).await;
}

async fn a_session_of_users_keeps_its_refresh_token_when_refreshed_through_api_auth(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::Users.registers(&http, &ann).await;
    let tokens = Contract::Users.signs_in(&http, &ann).await;
    for _ in 0..3 {
        let refreshed = refresh(&http, tokens.refresh()).await;
        verifies(&http, &refreshed.access).await;
    }
    let answer = http
        .send(users::REFRESH)
        .authorization(tokens.refresh())
        .await;
    assert_eq!(answer.status, 200, "{answer}");
}

/// The answer of `/api/auth` to a refresh.
struct Refreshed {
    access: String,
    refresh: String,
}

/// Registers Ann, signs her in through `/api/auth` and returns the refresh token.
async fn signed_in_refresh_token(http: &Http) -> String {
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(http, &ann).await;
    tokens.refresh().to_owned()
}

/// Refreshes through `/api/auth` and asserts that it worked.
async fn refresh(http: &Http, token: &str) -> Refreshed {
    let answer = http.send(api_auth::REFRESH).bearer(token).await;
    assert_eq!(answer.status, 200, "{answer}");
    let body = answer.json();
    let text = |pointer| {
        let value = body.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    Refreshed {
        access: text("/data/access_token/token"),
        refresh: text("/data/refresh_token/token"),
    }
}
