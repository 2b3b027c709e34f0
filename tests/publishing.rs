//! The log on NATS JetStream: every event once and in order, through failures of NATS, the service and the database.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use crate::support;

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::StorageType;
use serde_json::json;
use support::events::{Auditor, lag, trouble_with};
use support::http::Http;
use support::load::Load;
use support::mail::mail_to;
use support::nats::Message;
use support::proxy::Proxy;
use support::{
    Contract, Nats, Person, Program, Settings, Store, api_auth, eventually, on_both_stores, own,
    users,
};

on_both_stores!(
    every_acknowledged_change_is_on_the_stream_once_and_in_the_order_of_the_log,
    no_message_has_personal_data_or_secrets,
    while_nats_is_away_the_service_serves_and_events_wait,
    a_hanging_nats_server_delays_no_request,
    publishing_resumes_after_a_restart_of_nats,
    a_wiped_stream_is_filled_again_from_the_first_event,
    a_stream_with_another_configuration_is_refused_and_the_difference_is_named,
    a_stream_with_a_hole_is_refused_and_nothing_is_added_to_it,
    a_database_behind_its_stream_publishes_nothing_and_says_what_to_do,
    a_service_with_another_database_is_refused,
    a_killed_publisher_resumes_at_the_end_of_the_stream,
    user_and_password_of_nats_are_used_and_never_logged,
);

async fn every_acknowledged_change_is_on_the_stream_once_and_in_the_order_of_the_log(store: Store) {
    let nats = Nats::start().await;
    let service = publishing(store, &nats).start().await;
    let auditor = Auditor::of(&service).await;
    let ann = Person::called("ann");
    everything_happens_to(&ann, &service).await;
    let messages = eventually("the refused login is recorded, too", async || {
        let messages = auditor.finds_the_log_on(&nats, &service).await;
        let kinds = kinds(&messages);
        kinds
            .contains("dev.authlog.refused-logins.login-refused.v1")
            .then_some(messages)
    })
    .await;
    let every_kind = [
        "dev.authlog.user.registered.v1",
        "dev.authlog.user.password-reset-requested.v1",
        "dev.authlog.user.password-reset.v1",
        "dev.authlog.user.role-changed.v1",
        "dev.authlog.session.logged-in.v1",
        "dev.authlog.session.token-refreshed.v1",
        "dev.authlog.session.refresh-token-reused.v1",
        "dev.authlog.session.logged-out.v1",
        "dev.authlog.refused-logins.login-refused.v1",
    ];
    assert_eq!(kinds(&messages), BTreeSet::from(every_kind));
    for message in &messages {
        assert_eq!(message.header("ce-specversion"), "1.0");
        assert_eq!(message.header("content-type"), "application/json");
        assert_eq!(message.header("Nats-Msg-Id"), message.header("ce-id"));
        assert_eq!(message.header("ce-source"), "authlog");
        let (aggregate, sequence) = message.header("ce-id").rsplit_once('/').expect("an id");
        assert_eq!(message.header("ce-sequence"), format!("{sequence:0>20}"));
        let (kind, _) = aggregate.split_once('/').expect("an aggregate");
        let user = message.header("ce-subject");
        let name = message.header("ce-type");
        let name = name.strip_prefix(&format!("dev.authlog.{kind}."));
        let name = name.and_then(|name| name.strip_suffix(".v1"));
        let name = name.expect("the type names the aggregate");
        assert_eq!(message.subject, format!("auth.v1.{kind}.{user}.{name}"));
    }
}

async fn no_message_has_personal_data_or_secrets(store: Store) {
    let nats = Nats::start().await;
    let service = publishing(store, &nats).start().await;
    let canary = Person {
        username: "canary-username".to_owned(),
        email: "canary-mail@example.com".to_owned(),
        name: "Canary Person".to_owned(),
        password: "canary-password-1".to_owned(),
    };
    let auditor = Auditor::of(&service).await;
    let mut secrets = everything_happens_to(&canary, &service).await;
    secrets.extend([
        "canary".to_owned(),
        "127.0.0.1".to_owned(),
        "$argon2".to_owned(),
    ]);
    let messages = auditor.finds_the_log_on(&nats, &service).await;
    assert!(
        messages.len() > 10,
        "too few messages for a meaningful test"
    );
    for message in &messages {
        let text = message.text();
        for secret in &secrets {
            let found = text.to_lowercase().contains(&secret.to_lowercase());
            assert!(!found, "{secret} is in {text}");
        }
    }
}

async fn while_nats_is_away_the_service_serves_and_events_wait(store: Store) {
    let mut nats = Nats::that_is_away();
    let service = publishing(store, &nats).start().await;
    let auditor = Auditor::of(&service).await;
    trouble_with(&service, "refused").await;
    let behind = events_behind(&service).await;
    Contract::V1Auth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    falls_behind(&service, behind + 2).await;
    let metrics = service.send(own::METRICS).await.body;
    assert!(
        gauge(&metrics, "authlog_lag_events{stage=\"publisher\"}") >= 2.0,
        "{metrics}"
    );
    assert!(
        gauge(&metrics, "authlog_lag_seconds{stage=\"publisher\"}") > 0.0,
        "{metrics}"
    );

    nats.restart().await;
    auditor.finds_the_log_on(&nats, &service).await;
    is_up_to_date(&service).await;
    let metrics = service.send(own::METRICS).await.body;
    for name in ["authlog_lag_events", "authlog_lag_seconds"] {
        for stage in ["publisher", "sequencer"] {
            let gauge = gauge(&metrics, &format!("{name}{{stage=\"{stage}\"}}"));
            assert!(
                gauge.abs() < f64::EPSILON,
                "{name} of the {stage} in {metrics}"
            );
        }
    }

    nats.stop();
    trouble_with(&service, "").await;
    Contract::V1Auth
        .registers(&service.http(), &Person::called("bob"))
        .await;
    falls_behind(&service, 2).await;
    nats.restart().await;
    auditor.finds_the_log_on(&nats, &service).await;
    is_up_to_date(&service).await;
}

async fn a_hanging_nats_server_delays_no_request(store: Store) {
    let nats = Nats::start().await;
    let service = publishing(store, &nats).start().await;
    let auditor = Auditor::of(&service).await;
    auditor.finds_the_log_on(&nats, &service).await;
    nats.freeze();
    for number in 0..20 {
        let person = Person::called(&format!("person-{number}"));
        Contract::V1Auth.registers(&service.http(), &person).await;
    }
    trouble_with(&service, "timed out").await;
    nats.thaw();
    auditor.finds_the_log_on(&nats, &service).await;
}

async fn publishing_resumes_after_a_restart_of_nats(store: Store) {
    let mut nats = Nats::start().await;
    let service = publishing(store, &nats).with_cheap_hashing().start().await;
    let auditor = Auditor::of(&service).await;
    let load = Load::on(&service.http(), "load");
    for round in 0..4 {
        load.has_done(load.done() + 20).await;
        if round % 2 == 0 {
            nats.kill9();
        } else {
            nats.stop();
        }
        load.has_done(load.done() + 20).await;
        nats.restart().await;
    }
    let visitors = load.end().await;
    let messages = auditor.finds_the_log_on(&nats, &service).await;
    let registered = messages
        .iter()
        .filter(|message| message.subject.ends_with(".registered"))
        .count();
    // The auditor's account counts, too.
    assert_eq!(registered, visitors.len() + 1);
}

async fn a_wiped_stream_is_filled_again_from_the_first_event(store: Store) {
    let mut nats = Nats::start().await;
    let service = publishing(store, &nats).start().await;
    let auditor = Auditor::of(&service).await;
    let before = auditor.finds_the_log_on(&nats, &service).await;
    assert!(before.len() > 1);
    // There are no new events to publish.
    nats.delete_stream().await;
    let after = auditor.finds_the_log_on(&nats, &service).await;
    assert_eq!(after.len(), before.len());
    nats.stop();
    nats.wipe();
    nats.restart().await;
    auditor.finds_the_log_on(&nats, &service).await;
}

async fn a_stream_with_another_configuration_is_refused_and_the_difference_is_named(store: Store) {
    let nats = Nats::start().await;
    nats.make_stream(|config| {
        config.max_age = Duration::from_secs(3600);
        config.storage = StorageType::Memory;
        config.max_messages = 10;
    })
    .await;
    let service = publishing(store, &nats).start().await;
    let auditor = Auditor::of(&service).await;
    let trouble = trouble_with(&service, "not configured").await;
    for what in ["3600s", "memory", "beyond a number", "nats stream edit"] {
        assert!(trouble.contains(what), "{what} is not in {trouble}");
    }
    service.has_logged(&trouble).await;
    assert_eq!(nats.stored().await, 0);
    nats.delete_stream().await;
    auditor.finds_the_log_on(&nats, &service).await;
}

async fn a_stream_with_a_hole_is_refused_and_nothing_is_added_to_it(store: Store) {
    let nats = Nats::start().await;
    // A stream that the program created would not allow deleting a message.
    let stream = nats.make_stream(|_| {}).await;
    let service = publishing(store, &nats).start().await;
    let auditor = Auditor::of(&service).await;
    let whole = auditor.finds_the_log_on(&nats, &service).await.len() as u64;
    stream.delete_message(2).await.expect("a hole");
    let trouble = trouble_with(&service, "has lost messages").await;
    assert!(trouble.contains("delete it"), "{trouble}");
    Contract::V1Auth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    falls_behind(&service, 2).await;
    assert_eq!(nats.stored().await, whole - 1);
    nats.delete_stream().await;
    auditor.finds_the_log_on(&nats, &service).await;

    nats.delete_stream().await;
    let stream = nats.recreate_stream().await;
    eventually("the stream is filled", async || {
        (nats.stored().await > whole).then_some(())
    })
    .await;
    stream.purge().await.expect("a purge");
    trouble_with(&service, "has lost messages").await;
}

async fn a_database_behind_its_stream_publishes_nothing_and_says_what_to_do(store: Store) {
    let nats = Nats::start().await;
    let settings = publishing(store, &nats);
    let mut service = settings.start().await;
    let auditor = Auditor::of(&service).await;
    auditor.finds_the_log_on(&nats, &service).await;
    service.terminate().await;
    let backup = service.settings.backup();
    service.restart().await;
    everything_happens_to(&Person::called("ann"), &service).await;
    let ended_at = auditor.finds_the_log_on(&nats, &service).await.len() as u64;
    service.terminate().await;

    let service = backup.start().await;
    let trouble = trouble_with(&service, "is behind the stream").await;
    for what in [
        "restored from a backup",
        "delete the stream",
        &ended_at.to_string(),
    ] {
        assert!(trouble.contains(what), "{what} is not in {trouble}");
    }
    // When its log has grown beyond the end of the stream, its own events are not taken for those of the stream.
    for number in 0..ended_at {
        let person = Person::called(&format!("person-{number}"));
        Contract::V1Auth.registers(&service.http(), &person).await;
    }
    let trouble = trouble_with(&service, "disagree").await;
    assert!(trouble.contains("delete the stream"), "{trouble}");
    assert_eq!(nats.stored().await, ended_at);
    nats.delete_stream().await;
    auditor.finds_the_log_on(&nats, &service).await;
}

async fn a_service_with_another_database_is_refused(store: Store) {
    let nats = Nats::start().await;
    let first = publishing(store, &nats).start().await;
    let auditor = Auditor::of(&first).await;
    auditor.finds_the_log_on(&nats, &first).await;
    let second = publishing(store, &nats).start().await;
    // An empty log looks like a lost one.
    trouble_with(&second, "is it another one").await;
    for number in 0..3 {
        let person = Person::called(&format!("person-{number}"));
        Contract::V1Auth.registers(&second.http(), &person).await;
    }
    let trouble = trouble_with(&second, "disagree").await;
    assert!(trouble.contains("another database"), "{trouble}");
    Contract::V1Auth
        .registers(&first.http(), &Person::called("ann"))
        .await;
    auditor.finds_the_log_on(&nats, &first).await;
}

async fn a_killed_publisher_resumes_at_the_end_of_the_stream(store: Store) {
    let nats = Nats::start().await;
    let settings = publishing(store, &nats).with_cheap_hashing();
    let mut service = settings.start().await;
    let auditor = Auditor::of(&service).await;
    for round in 0..4 {
        let load = Load::on(&service.http(), &format!("round-{round}"));
        load.has_done(40).await;
        service.kill9();
        load.end().await;
        service.restart().await;
    }
    auditor.finds_the_log_on(&nats, &service).await;
}

async fn user_and_password_of_nats_are_used_and_never_logged(store: Store) {
    let nats = Nats::guarded_by("authlog", "canary:p@ss").await;
    let url = |password: &str| format!("nats://authlog:{password}@{}", nats.address());
    let service = Settings::on(store)
        .with("AUTHLOG_NATS_URL", &url("canary%3Ap%40ss"))
        .with("AUTHLOG_LOG", "debug,async_nats=trace")
        .start()
        .await;
    Contract::V1Auth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    is_up_to_date(&service).await;
    let wrong = Settings::on(store)
        .with("AUTHLOG_NATS_URL", &url("canary-wrong"))
        .with("AUTHLOG_LOG", "debug,async_nats=trace")
        .start()
        .await;
    let trouble = trouble_with(&wrong, "authorization violation").await;
    for text in [trouble, service.output(), wrong.output()] {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_copy_of_any_event_is_not_stored_again() {
    let nats = Nats::start().await;
    // Very short, so that the result does not depend on the window for duplicates.
    nats.make_stream(|config| config.duplicate_window = Duration::from_millis(100))
        .await;
    let service = publishing(Store::Sqlite, &nats).start().await;
    let auditor = Auditor::of(&service).await;
    let messages = auditor.finds_the_log_on(&nats, &service).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let jetstream = nats.jetstream().await;
    for message in &messages {
        let mut headers = HeaderMap::new();
        for (name, value) in &message.headers {
            headers.insert(name.as_str(), value.as_str());
        }
        let late = PublishMessage::build()
            .headers(headers)
            .payload(message.data.clone().into());
        let sent = jetstream.send_publish(message.subject.clone(), late).await;
        let answer = sent.expect("NATS").await;
        answer.expect_err(&format!("{message:?} was stored again"));
    }
    auditor.finds_the_log_on(&nats, &service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_hangs_is_replaced_and_does_no_harm_when_it_wakes() {
    let nats = Nats::start().await;
    let settings = publishing(Store::Postgres, &nats).with_cheap_hashing();
    let [first, second] = settings.of_nodes();
    let first = first.start().await;
    let auditor = Auditor::of(&first).await;
    auditor.finds_the_log_on(&nats, &first).await;
    let second = second.start().await;
    let load = Load::on(&second.http(), "load");
    load.has_done(20).await;
    first.freeze();
    eventually("the other node publishes", async || {
        let lag = lag(&second).await?;
        (!lag["publisher"].is_null()).then_some(())
    })
    .await;
    load.has_done(load.done() + 20).await;
    first.thaw();
    load.has_done(load.done() + 20).await;
    load.end().await;
    auditor.finds_the_log_on(&nats, &second).await;
    eventually(
        "the node that was frozen knows that it is replaced",
        async || {
            let lag = lag(&first).await?;
            lag["publisher"].is_null().then_some(())
        },
    )
    .await;
    let metrics = first.send(own::METRICS).await.body;
    assert!(gauge(&metrics, "authlog_publisher_active").abs() < f64::EPSILON);
    assert!(gauge(&metrics, "authlog_lag_events{stage=\"publisher\"}").abs() < f64::EPSILON);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_cannot_reach_nats_hands_over_to_another_node() {
    let nats = Nats::start().await;
    let address: std::net::SocketAddr = nats.address().parse().unwrap();
    let proxy = Proxy::to(address.port()).await;
    let settings = publishing(Store::Postgres, &nats).with_cheap_hashing();
    let [first, second] = settings.of_nodes();
    let url = format!("nats://127.0.0.1:{}", proxy.port());
    let first = first.with("AUTHLOG_NATS_URL", &url).start().await;
    let auditor = Auditor::of(&first).await;
    auditor.finds_the_log_on(&nats, &first).await;
    let second = second.start().await;
    proxy.leads_to(None);
    Contract::ApiAuth
        .registers(&first.http(), &Person::called("ann"))
        .await;
    auditor.finds_the_log_on(&nats, &second).await;
    eventually("the other node publishes", async || {
        let lag = lag(&second).await?;
        (!lag["publisher"].is_null()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_concurrent_publishers_make_neither_duplicates_nor_gaps() {
    let nats = Nats::start().await;
    // Without deduplication by message id, only the expected sequence keeps the publishers apart.
    nats.make_stream(|config| config.duplicate_window = Duration::from_millis(100))
        .await;
    let settings = publishing(Store::Sqlite, &nats).with_cheap_hashing();
    // Two nodes on one SQLite file have no election, so each considers itself the leader.
    let first = settings.clone().start().await;
    let auditor = Auditor::of(&first).await;
    let second = settings.start().await;
    let loads = [(&first, "first"), (&second, "second")]
        .map(|(service, name)| Load::on(&service.http(), name));
    for load in &loads {
        load.has_done(100).await;
    }
    for load in loads {
        load.end().await;
    }
    auditor.finds_the_log_on(&nats, &first).await;
}

/// Settings of a service that publishes to this server.
fn publishing(store: Store, nats: &Nats) -> Settings {
    Settings::on(store).with("AUTHLOG_NATS_URL", &nats.url())
}

/// Produces events of most kinds, and returns the secrets of `person`.
async fn everything_happens_to(person: &Person, service: &Program) -> Vec<String> {
    let http = service.http();
    Contract::ApiAuth.registers(&http, person).await;
    let named = Person {
        username: format!("{}-2", person.username),
        email: format!("2-{}", person.email),
        ..person.clone()
    };
    Contract::Api.registers(&http, &named).await;
    let body = Contract::ApiAuth.login_of(&person.email, &person.password);
    let answer = http
        .send(api_auth::LOGIN)
        .json(&body)
        .header("user-agent", "canary-user-agent")
        .await;
    let first = Contract::ApiAuth.tokens_in(&answer.json());
    let mut newest = first.clone();
    let mut secrets = vec![first.access.clone(), first.refresh().to_owned()];
    for _ in 0..2 {
        let answer = http.send(api_auth::REFRESH).bearer(newest.refresh()).await;
        newest = Contract::ApiAuth.tokens_in(&answer.json());
        secrets.extend([newest.access.clone(), newest.refresh().to_owned()]);
    }
    let answer = http.send(api_auth::REFRESH).bearer(first.refresh()).await;
    assert_eq!(answer.status, 401, "{answer}");
    let opaque = Contract::Api.signs_in(&http, person).await.access;
    let answer = http.send(api_auth::LOGOUT).bearer(&opaque).await;
    assert_eq!(answer.status, 200, "{answer}");
    let wrong = person.with_password("canary-wrong-password");
    let answer = Contract::ApiAuth.sign_in(&http, &wrong).await;
    Contract::ApiAuth.says_wrong_credentials(&answer);
    let role = ["user", "role", &person.email, "auditor"];
    let changed = tokio::task::block_in_place(|| service.settings.run(&role, ""));
    assert!(changed.status.success(), "{changed:?}");
    let reset = reset(person, service, &http).await;
    secrets.extend([opaque, reset]);
    secrets.extend(
        [
            &person.username,
            &person.email,
            &person.name,
            &person.password,
        ]
        .map(Clone::clone),
    );
    secrets
}

/// Resets the password to its present value, and returns the token of the mail.
async fn reset(person: &Person, service: &Program, http: &Http) -> String {
    let request = http.send(users::REQUEST_RESET);
    let answer = request.json(&json!({"username": person.email})).await;
    assert_eq!(answer.status, 200, "{answer}");
    let token = mail_to(service, &person.email).await.token();
    let request = http.send(users::UPDATE_PASSWORD).authorization(&token);
    let answer = request.json(&json!({"password": person.password})).await;
    assert_eq!(answer.status, 200, "{answer}");
    token
}

fn kinds(messages: &[Message]) -> BTreeSet<&str> {
    let kinds = messages.iter().map(|message| message.header("ce-type"));
    kinds.collect()
}

/// The number of unpublished events that a service reports.
async fn events_behind(service: &Program) -> u64 {
    let lag = lag(service).await.expect("the service is ready");
    lag["publisher"]["events"].as_u64().expect("a number")
}

async fn falls_behind(service: &Program, at_least: u64) {
    eventually(&format!("{at_least} events wait"), async || {
        let seconds = lag(service).await?["publisher"]["seconds"].as_f64()?;
        let waits = events_behind(service).await >= at_least && seconds > 0.0;
        waits.then_some(())
    })
    .await;
}

/// Waits until a service reports no unpublished events and no obstacle.
async fn is_up_to_date(service: &Program) {
    let nothing_waits = json!({"events": 0, "seconds": 0.0, "trouble": null});
    let in_order = json!({"events": 0, "seconds": 0.0, "held_up_by": null});
    eventually("everything is published", async || {
        let lag = lag(service).await?;
        (lag["sequencer"] == in_order && lag["publisher"] == nothing_waits).then_some(())
    })
    .await;
}

/// The value of a gauge in Prometheus' text format.
#[track_caller]
fn gauge(metrics: &str, name: &str) -> f64 {
    let mut values = metrics.lines().filter_map(|line| line.strip_prefix(name));
    let value = values.next().and_then(|value| value.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {metrics}"))
}
