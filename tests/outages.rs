//! PostgreSQL stops under a running service and returns.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::json;
use support::contract::verifies;
use support::http::Request;
use support::load::{Load, Outcome, are_whole};
use support::{
    Contract, Person, Postgres, Program, Settings, Store, api_auth, eventually, own, token, users,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_every_contract_answers_in_its_own_words() {
    let server = Postgres::of_its_own();
    let mut service = Settings::on_server(&server).start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let of_c = Contract::Users.signs_in(&http, &ann).await;
    let opaque = Contract::Api.signs_in(&http, &ann).await.access;

    stopped(&server);
    let new = Person::called("bob");
    for contract in Contract::ALL {
        let registration = contract.registration_of(&new);
        let request = http.send(contract.registration()).json(&registration);
        is_unavailable(contract, request).await;
        let login = contract.login_of(&ann.email, &ann.password);
        is_unavailable(contract, http.send(contract.login()).json(&login)).await;
    }
    is_unavailable(
        Contract::ApiAuth,
        http.send(api_auth::LOGOUT).bearer(&tokens.access),
    )
    .await;
    is_unavailable(
        Contract::ApiAuth,
        http.send(api_auth::REFRESH).bearer(tokens.refresh()),
    )
    .await;
    let by_cookie = http
        .send(api_auth::REFRESH_TOKEN)
        .cookie("refreshToken", tokens.refresh());
    is_unavailable(Contract::ApiAuth, by_cookie).await;
    is_unavailable(
        Contract::Users,
        http.send(users::REFRESH).bearer(of_c.refresh()),
    )
    .await;
    is_unavailable(Contract::Users, http.send(users::VERIFY).bearer(&opaque)).await;
    let request = http.send(users::REQUEST_RESET);
    is_unavailable(Contract::Users, request.json(&json!({"username": "ann"}))).await;
    for request in [
        http.send(own::INTROSPECT).bearer(&opaque),
        http.send(own::REVOKE),
    ] {
        let answer = request.form(&[("token", &opaque)]).attempt().await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, 503, "{answer}");
        assert!(answer.retry_after() >= 1, "{answer}");
    }
    // Requests that need no database are answered as usual.
    let answer = http.send(users::VERIFY).bearer("nonsense").await;
    assert_eq!(answer.status, 400, "{answer}");
    let answer = http.send(api_auth::LOGIN).json(&json!({})).await;
    assert_eq!(answer.status, 400, "{answer}");

    started(&server);
    is_ready(&service).await;
    assert!(service.is_running());
    Contract::ApiAuth.registers(&http, &new).await;
    verifies(&http, &opaque).await;
    let answer = http.send(api_auth::REFRESH).bearer(tokens.refresh()).await;
    assert_eq!(answer.status, 200, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_its_database_is_alive_and_not_ready() {
    let server = Postgres::of_its_own();
    let service = Settings::on_server(&server).start().await;
    is_ready(&service).await;
    stopped(&server);
    eventually("the service is not ready", async || {
        let answer = service.send(own::READYZ).attempt().await.unwrap();
        (answer.status == 503).then_some(())
    })
    .await;
    let answer = service.send(own::HEALTHZ).await;
    assert_eq!(answer.status, 200, "{answer}");
    let answer = service.send(own::KEY_SET).await;
    assert_eq!(answer.status, 200, "{answer}");
    started(&server);
    is_ready(&service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_trusted_only_briefly_while_its_revocation_cannot_be_checked() {
    let server = Postgres::of_its_own();
    let service = Settings::on_server(&server).start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::V1Auth.registers(&http, &ann).await;
    let tokens = Contract::V1Auth.signs_in(&http, &ann).await;
    stopped(&server);
    let refused = eventually("the token is not trusted any more", async || {
        let request = http.send(users::VERIFY).bearer(&tokens.access);
        let answer = request.attempt().await.unwrap();
        (answer.status != 200).then_some(answer)
    })
    .await;
    Contract::Users.refuses(&refused, 503);
    refused.retry_after();
    started(&server);
    is_ready(&service).await;
    eventually("the token is trusted again", async || {
        let request = http.send(users::VERIFY).bearer(&tokens.access);
        let answer = request.attempt().await.unwrap();
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_revocation_feed_is_stale_the_database_is_queried() {
    let service = Settings::on(Store::Postgres)
        .with_cheap_hashing()
        .start()
        .await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::V1Auth.registers(&http, &ann).await;
    let ended = Contract::V1Auth.signs_in(&http, &ann).await.access;
    let other = Contract::V1Auth.signs_in(&http, &ann).await.access;
    let url = service.settings.get("AUTHLOG_DATABASE_URL").unwrap();
    // The row changes without an event, so a node that relies on the revocation feed does not notice.
    let session = token::claims(&ended)["sid"].clone();
    let session = session.as_str().unwrap();
    service.settings.execute(&format!(
        "UPDATE sessions SET ended_at = now() WHERE session_id = '{session}'"
    ));
    verifies(&http, &ended).await;
    // The connection of the revocation feed is stopped for a while.
    let reader = "SELECT pid FROM pg_stat_activity \
                  WHERE datname = current_database() AND query LIKE 'SELECT here.*, news.*%'";
    let frozen = Postgres::freeze_backend(Postgres::ask(url, reader)[0].parse().unwrap());
    eventually("the node queries the database", async || {
        let answer = http.send(users::VERIFY).bearer(&ended).await;
        (answer.status == 400).then_some(())
    })
    .await;
    verifies(&http, &other).await;
    drop(frozen);
    eventually("the node trusts the revocation feed again", async || {
        let answer = http.send(users::VERIFY).bearer(&ended).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_changes_survive_the_loss_of_the_database_under_load() {
    let server = Postgres::of_its_own();
    let service = Settings::on_server(&server)
        .with_cheap_hashing()
        .start()
        .await;
    let load = Load::on(&service.http(), "load");
    load.has_done(50).await;
    // Twice: stopped by an operator, and by a power failure.
    stopped(&server);
    started(&server);
    load.has_done(load.done() + 50).await;
    crashed(&server);
    started(&server);
    load.has_done(load.done() + 50).await;
    let mut visitors = load.end().await;
    assert!(
        visitors
            .iter()
            .all(|visitor| visitor.registration != Outcome::Unknown),
        "every request was answered"
    );
    for visitor in &mut visitors {
        // If the database was lost during the answer, it is unknown whether the declined request was executed.
        if visitor.registration == Outcome::Declined {
            visitor.registration = Outcome::Unknown;
        }
        if visitor.logout == Outcome::Declined {
            visitor.logout = Outcome::Unknown;
        }
    }
    are_whole(&visitors, &service.http()).await;
}

/// Asserts that the contract answers 503 in its own words.
async fn is_unavailable(contract: Contract, request: Request) {
    let answer = request.attempt().await.unwrap();
    contract.refuses(&answer, 503);
    assert!(answer.retry_after() >= 1, "{answer}");
}

/// Waits until the service is ready.
async fn is_ready(service: &Program) {
    eventually("the service is ready", async || {
        let answer = service.send(own::READYZ).attempt().await.unwrap();
        (answer.status == 200).then_some(())
    })
    .await;
}

fn stopped(server: &Postgres) {
    tokio::task::block_in_place(|| server.stop());
}

fn crashed(server: &Postgres) {
    tokio::task::block_in_place(|| server.crash());
}

fn started(server: &Postgres) {
    tokio::task::block_in_place(|| server.start());
}
