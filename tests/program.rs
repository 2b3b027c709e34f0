//! The program as an operator uses it: commands, settings, start and shutdown.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use crate::support;

use std::process::Output;

use serde_json::json;
use support::contract::{eventually_refuses, refreshes_nothing, verifies};
use support::http::Http;
use support::load::{Load, Outcome, are_whole};
use support::mail::mail_to;
use support::wire::Wire;
use support::{
    Contract, Person, Program, Settings, Store, api_auth, eventually, on_both_stores, own, token,
    users,
};

on_both_stores!(
    the_program_serves_without_a_command,
    an_empty_store_is_migrated_at_start_or_before,
    an_accepted_request_is_finished_before_the_shutdown,
    a_balancer_sees_that_a_node_is_about_to_stop,
    every_metric_has_a_description_and_a_type,
    an_operator_creates_accounts_and_assigns_roles,
    a_refused_creation_of_an_account_names_the_reason,
    a_newly_assigned_role_is_in_the_next_token,
    read_models_are_rebuilt_under_load,
    an_invalid_setting_is_named,
);

async fn the_program_serves_without_a_command(store: Store) {
    let service = Settings::on(store).start_as(&[]).await;
    let answer = service.send(own::READYZ).await;
    assert_eq!(answer.status, 200, "{answer}");
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
}

async fn an_empty_store_is_migrated_at_start_or_before(store: Store) {
    let settings = Settings::on(store);
    for _ in 0..2 {
        let migrated = settings.run(&["migrate"], "");
        assert!(migrated.status.success(), "{migrated:?}");
    }
    let mut service = settings.start().await;
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    service.terminate().await;
    let migrated = service.settings.run(&["migrate"], "");
    assert!(migrated.status.success(), "{migrated:?}");
    service.restart().await;
    Contract::ApiAuth
        .signs_in(&service.http(), &Person::called("ann"))
        .await;
}

async fn an_accepted_request_is_finished_before_the_shutdown(store: Store) {
    let mut service = Program::on(store).await;
    let body = Contract::ApiAuth
        .registration_of(&Person::called("ann"))
        .to_string();
    let mut wire = Wire::to(&service.address()).await;
    // The service asks for the body when it begins to process the request.
    let head = format!(
        "POST /api/auth/register HTTP/1.1\r\nHost: authlog\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        body.len()
    );
    wire.write(head.as_bytes()).await;
    wire.receives_continue().await;

    service.ask_to_end();
    let address = service.address();
    eventually("new connections are refused", async || {
        tokio::net::TcpStream::connect(&address)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    assert!(service.is_running(), "the program ended before the request");
    wire.write(body.as_bytes()).await;
    let answer = wire.read_answer().await;
    assert_eq!(answer.status, 201, "{answer}");
    assert!(service.end().await.success());

    service.restart().await;
    Contract::ApiAuth
        .signs_in(&service.http(), &Person::called("ann"))
        .await;
}

async fn a_balancer_sees_that_a_node_is_about_to_stop(store: Store) {
    let settings = Settings::on(store).with("AUTHLOG_SHUTDOWN_DELAY", "5m");
    let mut service = settings.start().await;
    assert_eq!(service.send(own::READYZ).await.status, 200);
    service.ask_to_end();
    eventually("the node is not ready", async || {
        // New connections are still accepted.
        let http = Http::to(&format!("http://{}", service.address()));
        let answer = http.send(own::READYZ).attempt().await.ok()?;
        (answer.status == 503).then(|| assert!(answer.body.contains("about to stop"), "{answer}"))
    })
    .await;
    assert_eq!(service.send(own::HEALTHZ).await.status, 200);
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    // A second signal ends the delay and the program.
    assert!(!service.terminate().await.success());
    let settings = Settings::on(store).with("AUTHLOG_SHUTDOWN_DELAY", "1s");
    assert!(settings.start().await.terminate().await.success());
}

async fn every_metric_has_a_description_and_a_type(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let metrics = service.send(own::METRICS).await.body;
    let named = |kind: &str| {
        let lines = metrics.lines().filter_map(|line| line.strip_prefix(kind));
        let names = lines.filter_map(|line| line.split_whitespace().next());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let helped = named("# HELP ");
    assert_eq!(helped, named("# TYPE "), "{metrics}");
    assert!(
        helped.contains("authlog_password_hashes_total"),
        "{metrics}"
    );
}

async fn an_operator_creates_accounts_and_assigns_roles(store: Store) {
    let settings = Settings::on(store);
    let boss = Person::called("boss");
    let made = make_account(&settings, &boss, "admin");
    assert!(made.status.success(), "{made:?}");
    let listed = settings.run(&["user", "list"], "");
    let row = row_of(&listed, &boss);
    assert!(
        row.contains("boss@example.com") && row.contains("admin"),
        "{row}"
    );

    let service = settings.start().await;
    for contract in Contract::ALL {
        contract.signs_in(&service.http(), &boss).await;
    }
    let access = Contract::ApiAuth
        .signs_in(&service.http(), &boss)
        .await
        .access;
    assert_eq!(token::claims(&access)["role"], "admin");

    // This also works while the service runs.
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    let given = service
        .settings
        .run(&["user", "role", "ann", "auditor"], "");
    assert!(given.status.success(), "{given:?}");
    let listed = service.settings.run(&["user", "list"], "");
    assert!(row_of(&listed, &Person::called("ann")).contains("auditor"));
    let output = String::from_utf8_lossy(&listed.stdout);
    assert!(!output.contains("argon2"), "{output}");
}

async fn a_refused_creation_of_an_account_names_the_reason(store: Store) {
    let settings = Settings::on(store);
    let boss = Person::called("boss");
    assert!(make_account(&settings, &boss, "admin").status.success());
    for (person, role, word) in [
        (boss, "admin", "taken"),
        (
            Person::called("other").with_password("short"),
            "admin",
            "password",
        ),
        (
            Person {
                email: "nonsense".to_owned(),
                ..Person::called("other")
            },
            "admin",
            "email",
        ),
        (Person::called("other"), "emperor", "role"),
    ] {
        let refused = make_account(&settings, &person, role);
        assert!(!refused.status.success(), "{refused:?}");
        says_without_panicking(&refused, word);
    }
    let refused = settings.run(&["user", "role", "unknown", "admin"], "");
    assert!(!refused.status.success(), "{refused:?}");
    says_without_panicking(&refused, "unknown");
    let listed = settings.run(&["user", "list"], "");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(!listed.contains("other"), "{listed}");
}

async fn a_newly_assigned_role_is_in_the_next_token(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    assert_eq!(token::claims(&tokens.access)["role"], "user");
    let given = service
        .settings
        .run(&["user", "role", "ann@example.com", "service"], "");
    assert!(given.status.success(), "{given:?}");
    // Tokens with the old role are refused as soon as the service has learned of the command.
    eventually_refuses(&service.http(), &tokens.access).await;
    refreshes_nothing(&service.http(), tokens.refresh()).await;
    let tokens = Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    assert_eq!(token::claims(&tokens.access)["role"], "service");
}

async fn read_models_are_rebuilt_under_load(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let number = Contract::V1Auth.sign_in(&http, &ann).await.json()["data"]["user"]["id"].clone();
    let ended = Contract::Api.signs_in(&http, &ann).await;
    let answer = service.send(api_auth::LOGOUT).bearer(&ended.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    let opaque = Contract::Api.signs_in(&http, &ann).await;
    let request = service.send(users::REQUEST_RESET);
    request.json(&json!({"username": "ann"})).await;
    let reset = mail_to(&service, &ann.email).await.token();

    let load = Load::on(&http, "load");
    load.has_done(50).await;
    let settings = service.settings.clone();
    let rebuilt = tokio::task::spawn_blocking(move || settings.run(&["rebuild"], ""));
    let rebuilt = rebuilt.await.unwrap();
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    load.has_done(load.done() + 50).await;
    let visitors = load.end().await;
    for visitor in &visitors {
        assert_eq!(visitor.registration, Outcome::Acknowledged, "{visitor:?}");
        assert!(visitor.tokens.is_some(), "{visitor:?}");
    }
    are_whole(&visitors, &http).await;

    verifies(&http, &tokens.access).await;
    verifies(&http, &opaque.access).await;
    support::contract::is_refused(&http, &ended.access).await;
    let again = Contract::V1Auth.sign_in(&http, &ann).await.json()["data"]["user"]["id"].clone();
    assert_eq!(again, number);
    let answer = service
        .send(api_auth::REFRESH)
        .bearer(tokens.refresh())
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    let answer = service
        .send(users::VERIFY_RESET)
        .authorization(&reset)
        .await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn an_invalid_setting_is_named(store: Store) {
    let settings = Settings::on(store);
    for (name, value) in [
        ("AUTHLOG_LISTEN", "nonsense"),
        ("AUTHLOG_LISTEN", "127.0.0.1:99999"),
        ("AUTHLOG_DATABASE_URL", "mysql://localhost/authlog"),
        ("AUTHLOG_DATABASE_URL", "nonsense"),
        ("AUTHLOG_SMTP_URL", "nonsense"),
        ("AUTHLOG_SMTP_URL", "http://example.com"),
        ("AUTHLOG_PUBLIC_URL", "nonsense"),
        ("AUTHLOG_PUBLIC_URL", "ftp://example.com"),
        ("AUTHLOG_RATE_LIMIT", "perhaps"),
        ("AUTHLOG_JWT_ALGORITHM", "none"),
        ("AUTHLOG_PASSWORD_MIN_LENGTH", "seven"),
        ("AUTHLOG_PASSWORD_MIN_LENGTH", "-1"),
        ("AUTHLOG_PASSWORD_MIN_SCORE", "5"),
        ("AUTHLOG_ARGON2_MEMORY_KIB", "0"),
        ("AUTHLOG_ARGON2_ITERATIONS", "0"),
        ("AUTHLOG_MASTER_KEY", "not-a-key-but-still-a-secret"),
    ] {
        let refused = settings.clone().with(name, value).run(&["serve"], "");
        assert!(!refused.status.success(), "{name}={value}: {refused:?}");
        says_without_panicking(&refused, name);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!said.contains("still-a-secret"), "{said}");
    }
    let symmetric = settings.clone().with("AUTHLOG_JWT_ALGORITHM", "HS256");
    for secret in ["", "too-short-but-a-secret"] {
        let settings = symmetric.clone().with("AUTHLOG_JWT_SECRET", secret);
        let refused = settings.run(&["serve"], "");
        assert!(!refused.status.success(), "{refused:?}");
        says_without_panicking(&refused, "AUTHLOG_JWT_SECRET");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!said.contains("a-secret"), "{said}");
    }
    // Another process has the port.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let refused = settings
        .with("AUTHLOG_LISTEN", &address)
        .run(&["serve"], "");
    assert!(!refused.status.success(), "{refused:?}");
    says_without_panicking(&refused, &address);
}

/// Runs `authlog user create` with the password on standard input.
fn make_account(settings: &Settings, person: &Person, role: &str) -> Output {
    let Person {
        username,
        email,
        name,
        password,
    } = person;
    let arguments = [
        "user",
        "create",
        "--username",
        username,
        "--email",
        email,
        "--name",
        name,
        "--role",
        role,
    ];
    settings.run(&arguments, &format!("{password}\n"))
}

/// The line of this person in a list of accounts.
#[track_caller]
fn row_of(listed: &Output, person: &Person) -> String {
    assert!(listed.status.success(), "{listed:?}");
    let output = String::from_utf8_lossy(&listed.stdout);
    let mut rows = output.lines().filter(|row| row.contains(&person.email));
    let row = rows.next();
    row.unwrap_or_else(|| panic!("{} is not in {output}", person.email))
        .to_owned()
}

/// Asserts that the program printed `word` and did not panic.
#[track_caller]
fn says_without_panicking(output: &Output, word: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(word), "`{word}` is not in {said}");
    assert!(!said.contains("panicked"), "{said}");
}
