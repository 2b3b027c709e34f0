//! Passwords on a list of breached ones, in a local file and at a range service.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::path::PathBuf;
use std::process::Output;

use serde_json::json;
use support::mail::{mail_to, new_mail_to, notice_to};
use support::range_service::{Answers, RangeService};
use support::{Contract, Person, Program, Settings, Store, eventually, on_both_stores, own, users};

on_both_stores!(
    a_new_password_on_the_list_is_refused_wherever_it_is_set,
    a_login_with_a_breached_password_succeeds_and_is_reported_once,
    a_range_service_is_sent_five_digits_of_the_hash,
    a_range_service_that_fails_refuses_no_password_and_is_left_alone,
    a_list_that_disappears_refuses_no_password,
);

/// Passwords and their SHA-1 hashes, by `sha1sum`.
const LISTED: (&str, &str) = (
    "correct-horse-listed",
    "EC187D7E94CFC8280251F295FC64018BE13E6DAD",
);
const ALSO_LISTED: (&str, &str) = (
    "another-listed-password",
    "76A5C4FFFDA0F3A09666D6C805DD08021F54D651",
);
const NOT_LISTED: &str = "unlisted-quince-orbit";

/// Where the list of a service is.
fn list_of(settings: &Settings) -> PathBuf {
    settings.data().with_file_name("breached-passwords")
}

/// Imports a published list with these lines.
fn import(settings: &Settings, lines: &[String]) -> Output {
    let source = settings.data().with_file_name("published.txt");
    std::fs::write(&source, lines.join("\r\n")).unwrap();
    let (source, list) = (source.display().to_string(), list_of(settings));
    let list = list.display().to_string();
    settings.run(&["breached", "import", &source, "--to", &list], "")
}

fn imports(settings: &Settings, hashes: &[&str]) {
    let mut lines: Vec<_> = hashes.iter().map(|hash| format!("{hash}:37")).collect();
    lines.sort();
    let output = import(settings, &lines);
    assert!(output.status.success(), "{output:?}");
}

/// A service with a list of these hashes.
async fn service_with(store: Store, hashes: &[&str]) -> Program {
    let settings = Settings::on(store).with_cheap_hashing();
    imports(&settings, hashes);
    let list = list_of(&settings).display().to_string();
    let settings = settings.with("AUTHLOG_BREACHED_PASSWORDS", &list);
    settings.start().await
}

/// How many lookups had this outcome.
async fn lookups(service: &Program, outcome: &str) -> u64 {
    let metrics = service.send(own::METRICS).await.body;
    let name = format!("authlog_breached_password_lookups_total{{outcome=\"{outcome}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |count| count.parse().unwrap())
}

async fn reports(service: &Program, access: &str) -> usize {
    let request = service
        .send(own::HISTORY)
        .query("type=PasswordFoundBreached");
    let body = request.bearer(access).await.json();
    body["events"].as_array().unwrap().len()
}

async fn a_new_password_on_the_list_is_refused_wherever_it_is_set(store: Store) {
    let service = service_with(store, &[LISTED.1, ALSO_LISTED.1]).await;
    let http = service.http();
    for contract in Contract::ALL {
        let ann = Person::called("ann").with_password(LISTED.0);
        let answer = contract.register(&http, &ann).await;
        contract.refuses_the_client(&answer);
        let says =
            answer.body.contains("list of breached passwords") || answer.body.contains("TO_COMMON");
        assert!(says, "{answer}");
        assert!(!answer.body.contains(LISTED.0), "{answer}");
    }
    let ann = Person::called("ann").with_password(NOT_LISTED);
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    let change = async |new: &str| {
        let body = json!({"current_password": NOT_LISTED, "new_password": new});
        let request = http.send(own::CHANGE_PASSWORD).bearer(&access);
        request.json(&body).await
    };
    let answer = change(ALSO_LISTED.0).await;
    assert_eq!(answer.status, 400, "{answer}");
    assert!(
        answer.body.contains("list of breached passwords"),
        "{answer}"
    );
    let body = json!({"username": ann.email});
    http.send(users::REQUEST_RESET).json(&body).await;
    let token = mail_to(&service, &ann.email).await.token();
    let reset = async |password: &str| {
        let request = http.send(users::UPDATE_PASSWORD).authorization(&token);
        request.json(&json!({"password": password})).await
    };
    Contract::Users.refuses_the_client(&reset(LISTED.0).await);
    let page = http.send(own::RESET_FORM);
    let fields = [
        ("token", token.as_str()),
        ("password", LISTED.0),
        ("password_confirmation", LISTED.0),
    ];
    let answer = page.form(&fields).await;
    assert_eq!(answer.status, 400, "{answer}");
    assert!(
        answer.body.contains("list of breached passwords"),
        "{answer}"
    );
    let created = service.settings.run(
        &["user", "create", "--username", "bob"],
        &format!("{}\n", LISTED.0),
    );
    assert!(!created.status.success(), "{created:?}");
    // The link is still good, and the account has its password.
    Contract::Users.signs_in(&http, &ann).await;
    assert_eq!(reset("yet-another-secret").await.status, 200);
    assert_eq!(lookups(&service, "failed").await, 0);
}

async fn a_login_with_a_breached_password_succeeds_and_is_reported_once(store: Store) {
    let mut service = service_with(store, &[ALSO_LISTED.1]).await;
    let ann = Person::called("ann").with_password(LISTED.0);
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let tokens = Contract::Users.signs_in(&service.http(), &ann).await;
    // Notices go to verified addresses only.
    let request = service.send(own::REQUEST_VERIFICATION);
    let answer = request.bearer(&tokens.access).await;
    assert_eq!(answer.status, 202, "{answer}");
    let link = mail_to(&service, &ann.email).await;
    support::story::follows(&service, &link.token(), &tokens.access).await;
    eventually("the password was looked up", async || {
        (lookups(&service, "not_listed").await >= 2).then_some(())
    })
    .await;
    assert_eq!(reports(&service, &tokens.access).await, 0);

    // A later list has it. The service looks a password up again after a restart.
    imports(&service.settings, &[LISTED.1, ALSO_LISTED.1]);
    for restart in 0..2 {
        service.terminate().await;
        service.restart().await;
        for contract in Contract::ALL {
            contract.signs_in(&service.http(), &ann).await;
        }
        eventually("the password is reported", async || {
            (reports(&service, &tokens.access).await > 0).then_some(())
        })
        .await;
        eventually("every login was looked at", async || {
            (lookups(&service, "listed").await == 1).then_some(())
        })
        .await;
        assert_eq!(reports(&service, &tokens.access).await, 1, "{restart}");
    }
    let notice = notice_to(&service, &ann.email, "list of breached").await;
    assert!(!notice.text.contains(LISTED.0));
    // After a reset to another password that is listed later, it is reported again.
    let body = json!({"username": ann.email});
    service.send(users::REQUEST_RESET).json(&body).await;
    let reset = new_mail_to(&service, &ann.email, &[link, notice]).await;
    let request = service.send(users::UPDATE_PASSWORD);
    let body = json!({"password": NOT_LISTED});
    let answer = request.authorization(&reset.token()).json(&body).await;
    assert_eq!(answer.status, 200, "{answer}");
    // By `sha1sum`.
    imports(
        &service.settings,
        &["B8E91CF6A5C731E1EA45FA5DAE229311C4F45B20"],
    );
    let ann = ann.with_password(NOT_LISTED);
    let tokens = Contract::Users.signs_in(&service.http(), &ann).await;
    eventually("the new password is reported as well", async || {
        (reports(&service, &tokens.access).await == 2).then_some(())
    })
    .await;
}

async fn a_range_service_is_sent_five_digits_of_the_hash(store: Store) {
    let list = Answers::List(vec![LISTED.1.to_owned()]);
    let range = RangeService::start(list).await;
    let settings = Settings::on(store).with("RUST_LOG", "trace");
    let settings = settings.with("AUTHLOG_BREACHED_PASSWORDS", &range.url());
    let mut service = settings.start().await;
    let ann = Person::called("ann").with_password(LISTED.0);
    let answer = Contract::Users.register(&service.http(), &ann).await;
    assert_eq!(answer.status, 400, "{answer}");
    let ann = ann.with_password(NOT_LISTED);
    Contract::Users.registers(&service.http(), &ann).await;
    assert_eq!(lookups(&service, "listed").await, 1);
    assert_eq!(lookups(&service, "not_listed").await, 1);
    let requests = range.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    for (request, prefix) in requests.iter().zip(["EC187", "B8E91"]) {
        let request = request.to_lowercase();
        let path = format!("get /range/{} http/1.1\r\n", prefix.to_lowercase());
        assert!(request.starts_with(&path), "{request}");
        assert!(request.contains("add-padding: true\r\n"), "{request}");
    }
    // The login is answered first.
    Contract::Users.signs_in(&service.http(), &ann).await;
    eventually("the password of the login is looked up", async || {
        (range.requests().len() == 3).then_some(())
    })
    .await;
    service.terminate().await;
    let logged = service.output().to_lowercase();
    let rest = &LISTED.1[5..].to_lowercase();
    for secret in [
        LISTED.0,
        NOT_LISTED,
        rest,
        "cf6a5c731e1ea45fa5dae229311c4f45b20",
    ] {
        assert!(!logged.contains(secret), "{secret} is in the log");
    }
}

async fn a_range_service_that_fails_refuses_no_password_and_is_left_alone(store: Store) {
    let elsewhere = RangeService::start(Answers::List(vec![LISTED.1.to_owned()])).await;
    for failure in [
        Answers::Status(503),
        Answers::Redirect(elsewhere.url()),
        Answers::Page,
        Answers::Endless,
        Answers::Silence,
    ] {
        let range = RangeService::start(failure).await;
        let settings = Settings::on(store).with_cheap_hashing();
        let settings = settings.with("AUTHLOG_BREACHED_PASSWORDS", &range.url());
        let service = settings.start().await;
        for number in 0..6 {
            let person = Person::called(&format!("person-{number}")).with_password(LISTED.0);
            Contract::Users.registers(&service.http(), &person).await;
        }
        assert_eq!(range.requests().len(), 3, "the circuit breaker is open");
        assert_eq!(lookups(&service, "failed").await, 3);
        assert_eq!(lookups(&service, "skipped").await, 3);
        service
            .has_logged("the range service for breached passwords failed")
            .await;
    }
    assert_eq!(elsewhere.requests(), Vec::<String>::new());
}

async fn a_list_that_disappears_refuses_no_password(store: Store) {
    let service = service_with(store, &[LISTED.1]).await;
    let http = service.http();
    let ann = Person::called("ann").with_password(LISTED.0);
    assert_eq!(Contract::Users.register(&http, &ann).await.status, 400);
    std::fs::remove_file(list_of(&service.settings)).unwrap();
    Contract::Users.registers(&http, &ann).await;
    assert_eq!(lookups(&service, "failed").await, 1);
    service
        .has_logged("the list of breached passwords cannot be used")
        .await;
    // A list that is put back is used again.
    imports(&service.settings, &[LISTED.1]);
    let bob = Person::called("bob").with_password(LISTED.0);
    assert_eq!(Contract::Users.register(&http, &bob).await.status, 400);
}

#[test]
fn a_list_that_cannot_be_read_is_named_at_the_start_and_commands_without_it_work() {
    let settings = Settings::on(Store::Sqlite).with_cheap_hashing();
    let path = list_of(&settings).display().to_string();
    let settings = settings.with("AUTHLOG_BREACHED_PASSWORDS", &path);
    let started = settings.run(&["serve"], "");
    assert!(!started.status.success());
    let said = String::from_utf8_lossy(&started.stderr).into_owned();
    assert!(said.contains("AUTHLOG_BREACHED_PASSWORDS: "), "{said}");
    assert!(said.contains("authlog breached import"), "{said}");
    let listed = settings.run(&["user", "create", "--username", "ann"], "a-good-secret\n");
    assert!(listed.status.success(), "{listed:?}");
}

#[test]
fn an_import_with_bad_lines_names_them_and_keeps_the_earlier_list() {
    let settings = Settings::on(Store::Sqlite);
    imports(&settings, &[LISTED.1]);
    let before = std::fs::read(list_of(&settings)).unwrap();
    let lines = [
        "F".repeat(40) + ":1",
        ALSO_LISTED.1.to_owned() + ":2",
        "canary".to_owned(),
    ];
    let output = import(&settings, &lines);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("published.txt line 2 is not sorted by hash"),
        "{said}"
    );
    assert!(
        said.contains("published.txt line 3 is not a SHA-1 hash"),
        "{said}"
    );
    assert!(said.contains("2 lines are not valid"), "{said}");
    assert_eq!(std::fs::read(list_of(&settings)).unwrap(), before);
}
