//! The history of an account, for auditors, the person and an operator.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::process::Output;

use futures_util::future::join_all;
use serde_json::{Value, json};
use support::http::Http;
use support::{
    Answer, Contract, Endpoint, Person, Postgres, Program, Store, api_auth, eventually,
    on_both_stores, own, token,
};
use time::OffsetDateTime;

on_both_stores!(
    an_auditor_reads_everything_that_happened_to_an_account,
    a_history_is_read_in_pages_and_by_filters,
    only_auditors_and_admins_read_other_peoples_history,
    a_person_reads_their_own_history_at_once,
    an_operator_reads_a_timeline,
    a_hostile_client_reaches_neither_terminal_nor_spreadsheet,
    erased_data_is_shown_as_erased,
    an_unreadable_event_hides_no_other,
    an_event_with_a_number_beyond_all_others_hides_no_refused_login,
);

async fn an_auditor_reads_everything_that_happened_to_an_account(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    let user = lives(&service, &ann).await;
    let auditor = auditor(&service).await;
    let events = placed(&http, &auditor, &user, 7).await;
    let fields: Vec<_> = events
        .iter()
        .map(|event| {
            let text = |name: &str| event[name].as_str().unwrap_or("-").to_owned();
            (text("type"), text("contract"), text("ip"))
        })
        .collect();
    let here = || "127.0.0.1".to_owned();
    let expected = [
        ("UserRegistered", "api-auth", here()),
        ("LoggedIn", "api-auth", here()),
        ("LoggedIn", "users", here()),
        ("LoginRefused", "api", here()),
        ("TokenRefreshed", "api-auth", here()),
        ("LoggedOut", "api-auth", here()),
        ("RoleChanged", "cli", "-".to_owned()),
    ]
    .map(|(event_type, contract, ip)| (event_type.to_owned(), contract.to_owned(), ip));
    assert_eq!(fields, expected);

    let registered = &events[0];
    assert_eq!(registered["data"]["email"], json!(ann.email));
    assert_eq!(registered["data"]["username"], json!(ann.username));
    assert_eq!(registered["actor"], json!(format!("user:{user}")));
    assert_eq!(registered["id"], json!(format!("user/{user}/1")));
    assert!(registered["session"].is_null() && registered["at"].is_string());
    let session = &events[2]["session"];
    assert!(session.is_string());
    assert_eq!(
        (session, session),
        (&events[4]["session"], &events[5]["session"])
    );
    assert_eq!(events[3]["data"], json!({"reason": "wrong-password"}));
    assert_eq!(events[6]["actor"], json!("operator"));
    let indexes: Vec<u64> = events
        .iter()
        .map(|event| event["log_index"].as_u64().unwrap())
        .collect();
    assert!(indexes.is_sorted_by(|a, b| a < b), "{indexes:?}");
    let all = serde_json::to_string(&events).unwrap();
    assert!(!all.contains("sealed") && !all.contains("argon2"), "{all}");
}

async fn a_history_is_read_in_pages_and_by_filters(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let user = lives(&service, &Person::called("ann")).await;
    lives(&service, &Person::called("bob")).await;
    let auditor = auditor(&service).await;
    let whole = placed(&http, &auditor, &user, 7).await;

    let (mut paged, mut after) = (Vec::new(), 0);
    loop {
        let query = format!("limit=2&after={after}");
        let page = history(&http, &auditor, &user, &query).await.json();
        paged.extend(page["events"].as_array().unwrap().clone());
        assert!(paged.len() <= whole.len(), "{page}");
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(paged, whole);

    let session = whole[2]["session"].as_str().unwrap();
    let since = whole[3]["recorded_at"].as_str().unwrap();
    let until = whole[5]["recorded_at"].as_str().unwrap();
    let recorded = |event: &Value| event["recorded_at"].as_str().unwrap().to_owned();
    for (query, wanted) in [
        ("type=LoggedOut".to_owned(), whole[5..6].to_vec()),
        (
            "type=LoggedIn,dev.authlog.session.logged-out.v1".to_owned(),
            vec![whole[1].clone(), whole[2].clone(), whole[5].clone()],
        ),
        (
            format!("session={session}"),
            vec![whole[2].clone(), whole[4].clone(), whole[5].clone()],
        ),
        (
            format!("since={since}&until={until}"),
            whole
                .iter()
                .filter(|event| (since..until).contains(&recorded(event).as_str()))
                .cloned()
                .collect(),
        ),
        ("since=2999-01-01T00:00:00Z".to_owned(), vec![]),
    ] {
        let page = history(&http, &auditor, &user, &query).await.json();
        assert_eq!(page["events"], json!(wanted), "{query}");
        assert!(page["next"].is_null(), "{query}");
    }
}

async fn only_auditors_and_admins_read_other_peoples_history(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let user = id_of(&registered(&http, "ann").await);
    let mut bob = registered(&http, "bob").await;
    for (role, status) in [
        ("user", 403),
        ("service", 403),
        ("auditor", 200),
        ("admin", 200),
    ] {
        give_role(&service, "bob", role);
        bob = signed_in(&http, "bob").await;
        let answer = history(&http, &bob, &user, "").await;
        assert_eq!(answer.status, status, "{role}: {answer}");
    }
    let unknown = "0192d3f0-0000-7000-8000-000000000001";
    assert_eq!(history(&http, &bob, unknown, "").await.status, 404);
    assert_eq!(history(&http, &bob, "ann", "").await.status, 404);
    assert_eq!(history(&http, "nonsense", &user, "").await.status, 401);
    assert_eq!(http.send(own::HISTORY).await.status, 401);
    let answer = history(&http, &bob, &user, "since=yesterday").await;
    assert_eq!(answer.status, 400, "{answer}");
    assert!(answer.body.contains("since"), "{answer}");
}

async fn a_person_reads_their_own_history_at_once(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    Contract::ApiAuth
        .registers(&http, &Person::called("bob"))
        .await;
    let first = Contract::ApiAuth.signs_in(&http, &ann).await.access;
    let user = json!(id_of(&first));
    for (count, contract) in (4..).zip(Contract::ALL) {
        let access = contract.signs_in(&http, &ann).await.access;
        let own = http.send(own::HISTORY).bearer(&access).await.json();
        let events = own["events"].as_array().unwrap();
        // The newest login is included even before it has a log index.
        assert_eq!(events.len(), count, "{own}");
        let last = events.last().unwrap();
        assert_eq!(
            (&last["type"], &last["ip"]),
            (&json!("LoggedIn"), &json!("127.0.0.1"))
        );
        assert_eq!(own["user"], user);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_reads_two_pages_at_once_and_further_ones_name_a_time_to_retry() {
    const HELD: &str = "
        SELECT count(*) FROM pg_locks
         WHERE relation = 'event_log'::regclass AND mode = 'AccessExclusiveLock' AND granted";
    let service = Program::on(Store::Postgres).await;
    let http = service.http();
    let access = registered(&http, "ann").await;
    let url = service.settings.get("AUTHLOG_DATABASE_URL").unwrap();
    let url = url.to_owned();
    // From now on the node has the account in its cache.
    let answer = http.send(own::HISTORY).bearer(&access).await;
    assert_eq!(answer.status, 200, "{answer}");
    // While the log table is locked, reading a page blocks until the database gives up after two seconds.
    let of_lock = url.clone();
    let lock = std::thread::spawn(move || {
        let sql = "BEGIN; LOCK TABLE event_log; SELECT pg_sleep(6); COMMIT";
        Postgres::execute_at(&of_lock, sql);
    });
    eventually("the log is locked", async || {
        let held = tokio::task::block_in_place(|| Postgres::query(&url, HELD));
        (held.trim() == "1").then_some(())
    })
    .await;
    let asked = (0..12).map(|_| http.send(own::HISTORY).bearer(&access).attempt());
    let answers = join_all(asked).await.into_iter().map(Result::unwrap);
    let refused: Vec<_> = answers.filter(|it| it.status == 429).collect();
    assert!(refused.len() >= 6, "{}", refused.len());
    for refused in refused {
        assert!(refused.retry_after() >= 1, "{refused}");
    }
    tokio::task::spawn_blocking(|| lock.join().unwrap())
        .await
        .unwrap();
    eventually("a page is read again", async || {
        let answer = http.send(own::HISTORY).bearer(&access).attempt().await;
        (answer.unwrap().status == 200).then_some(())
    })
    .await;
}

async fn an_operator_reads_a_timeline(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    let user = lives(&service, &ann).await;
    let auditor = auditor(&service).await;
    let whole = placed(&service.http(), &auditor, &user, 7).await;
    for name in [&user, "ann", "ANN@example.com"] {
        let said = said(&service.settings.run(&["history", name], ""));
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 2 + 7, "{said}");
        assert!(lines[0].contains(&user), "{said}");
        for (line, word) in lines[2..].iter().zip([
            "registered with the role user",
            "signed in",
            "signed in",
            "was refused: wrong password",
            "refreshed a token",
            "signed out",
            "was given the role service",
        ]) {
            assert!(line.contains(word), "{word}: {said}");
        }
        assert!(
            lines[5].contains("someone") && lines[8].contains("operator"),
            "{said}"
        );
    }
    let json = said(&service.settings.run(&["history", "ann", "--json"], ""));
    let events: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events, whole);
    let some = service.settings.run(
        &[
            "history",
            "ann",
            "--json",
            "--type",
            "LoggedIn,LoggedOut",
            "--since",
            "2024-01-01T00:00:00Z",
        ],
        "",
    );
    assert_eq!(said(&some).lines().count(), 3);
    let csv = said(&service.settings.run(&["history", "ann", "--csv"], ""));
    assert_eq!(csv.matches("\r\n").count(), 1 + 7, "{csv}");
    assert!(csv.starts_with("\"log_index\",\"recorded_at\""), "{csv}");
    let refused = service.settings.run(&["history", "unknown"], "");
    assert!(!refused.status.success(), "{refused:?}");
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("no such account"), "{why}");
}

async fn a_hostile_client_reaches_neither_terminal_nor_spreadsheet(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let agents = [
        "=HYPERLINK(\"http://evil\",\"x\")",
        "\u{9b}31m, \u{202e}red",
    ];
    for agent in agents {
        let login = Contract::ApiAuth.login_of(&ann.email, &ann.password);
        let login = service.send(api_auth::LOGIN).json(&login);
        assert_eq!(login.header("user-agent", agent).await.status, 200);
    }
    let csv = said(&service.settings.run(&["history", "ann", "--csv"], ""));
    assert!(
        csv.contains("\"'=HYPERLINK(\"\"http://evil\"\",\"\"x\"\")\""),
        "{csv}"
    );
    let text = said(&service.settings.run(&["history", "ann"], ""));
    assert!(text.contains("\\u{9b}31m, \\u{202e}red"), "{text}");
    assert!(!text.contains(['\u{9b}', '\u{202e}', '\u{1b}']), "{text:?}");
}

async fn erased_data_is_shown_as_erased(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    let user = lives(&service, &ann).await;
    let auditor = auditor(&service).await;
    placed(&http, &auditor, &user, 7).await;
    // Without the key the fields cannot be decrypted, wherever copies of the ciphertext are.
    service.settings.execute(&format!(
        "DELETE FROM subject_keys WHERE user_id = '{user}'"
    ));
    let answer = history(&http, &auditor, &user, "").await;
    let page = answer.json();
    let events = page["events"].as_array().unwrap();
    let erased = json!({"erased": true});
    assert_eq!(events.len(), 7, "{answer}");
    assert_eq!(events[0]["data"]["email"], erased);
    assert_eq!(events[1]["ip"], erased);
    assert_eq!(events[5]["type"], json!("LoggedOut"));
    assert!(
        !answer.body.contains("127.0.0.1") && !answer.body.contains("ann@"),
        "{answer}"
    );
    let text = said(&service.settings.run(&["history", &user], ""));
    assert!(
        text.contains("(erased)") && !text.contains("127.0.0.1"),
        "{text}"
    );
}

/// Inserts an event with SQL.
fn inserts(service: &Program, event: &str, user: &str, payload: &str, ip: &str) {
    let metadata = json!({"user_id": user, "ip": ip});
    service.settings.execute(&format!(
        "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         VALUES ({event}, '1', '{payload}', '{metadata}')"
    ));
}

async fn an_unreadable_event_hides_no_other(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let user = lives(&service, &Person::called("ann")).await;
    let auditor = auditor(&service).await;
    let whole = placed(&http, &auditor, &user, 7).await;
    let login = r#"{"LoggedIn":{"at":"2026-01-01T00:00:00Z"}}"#;
    inserts(
        &service,
        "'session', 'x', 1, 'LoggedIn'",
        &user,
        login,
        "sealed:AAAA",
    );
    if store == Store::Sqlite {
        // PostgreSQL accepts only JSON here.
        inserts(
            &service,
            "'session', 'y', 1, 'LoggedIn'",
            &user,
            "{crooked",
            "sealed:AAAA",
        );
    } else {
        service
            .settings
            .tamper("UPDATE events SET recorded_at = 'infinity' WHERE aggregate_id = 'x'");
    }
    let page = history(&http, &auditor, &user, "").await;
    assert_eq!(page.status, 200, "{page}");
    let page = page.json();
    let events = page["events"].as_array().unwrap();
    assert_eq!(events[..7], whole);
    assert!(events.len() > 7, "{page}");
    for event in &events[7..] {
        assert_eq!(event["data"], json!({"unreadable": true}), "{event}");
        assert!(event["ip"].is_null(), "{event}");
    }
    said(&service.settings.run(&["history", &user], ""));
}

async fn an_event_with_a_number_beyond_all_others_hides_no_refused_login(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let token = Contract::ApiAuth.signs_in(&http, &ann).await.access;
    let user = id_of(&token);
    // For each day on which this test may run.
    let begun = token::claims(&token)["iat"].as_i64().unwrap();
    let begun = OffsetDateTime::from_unix_timestamp(begun).unwrap().date();
    for day in [begun, begun.next_day().unwrap()] {
        let event = format!(
            "'refused-logins', '{user}.{day}', {}, 'LoginRefused'",
            i64::MAX
        );
        let refused = r#"{"LoginRefused":{"at":"2026-01-01T00:00:00Z","reason":"wrong-password"}}"#;
        inserts(&service, &event, &user, refused, "sealed:AAAA");
    }
    let wrong = ann.with_password("not the password");
    for guesses in 1..=3 {
        Contract::ApiAuth.sign_in(&http, &wrong).await;
        eventually("the refused login is recorded", async || {
            let own = http
                .send(own::HISTORY)
                .bearer(&token)
                .query("type=LoginRefused");
            let own = own.await.json();
            let events = own["events"].as_array().unwrap();
            let recorded = events.iter().filter(|it| it["ip"].is_string());
            (recorded.count() == guesses).then_some(())
        })
        .await;
    }
}

/// Registers through one contract, signs in through another, gets a wrong password through a third, and so on: seven
/// events.
async fn lives(service: &Program, person: &Person) -> String {
    let http = service.http();
    Contract::ApiAuth.registers(&http, person).await;
    let tokens = Contract::Users.signs_in(&http, person).await;
    let user = id_of(&tokens.access);
    Contract::Api
        .sign_in(&http, &person.with_password("not the password"))
        .await;
    // The refusal is recorded in the background.
    eventually("the refused login is recorded", async || {
        let own = http.send(own::HISTORY).bearer(&tokens.access).await.json();
        (own["events"].as_array().unwrap().len() == 4).then_some(())
    })
    .await;
    let answer = http.send(api_auth::REFRESH).bearer(tokens.refresh()).await;
    assert_eq!(answer.status, 200, "{answer}");
    let answer = http.send(api_auth::LOGOUT).bearer(&tokens.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    give_role(service, &person.username, "service");
    user
}

/// The account's events, once all have a log index.
async fn placed(http: &Http, auditor: &str, user: &str, count: usize) -> Vec<Value> {
    eventually("every event has a log index", async || {
        let page = history(http, auditor, user, "").await.json();
        let events = page["events"].as_array().unwrap().clone();
        assert!(events.len() <= count, "{page}");
        let whole = events.len() == count && events.iter().all(|event| event["log_index"].is_u64());
        whole.then_some(events)
    })
    .await
}

async fn history(http: &Http, token: &str, user: &str, query: &str) -> Answer {
    let path = format!("/audit/users/{user}/events").leak();
    let request = http.send(Endpoint::at("GET", path)).bearer(token);
    request.query(query).await
}

/// The access token of a new account.
async fn registered(http: &Http, name: &str) -> String {
    Contract::ApiAuth
        .registers(http, &Person::called(name))
        .await;
    signed_in(http, name).await
}

async fn signed_in(http: &Http, name: &str) -> String {
    let person = Person::called(name);
    Contract::ApiAuth.signs_in(http, &person).await.access
}

async fn auditor(service: &Program) -> String {
    registered(&service.http(), "auditor").await;
    give_role(service, "auditor", "auditor");
    signed_in(&service.http(), "auditor").await
}

fn give_role(service: &Program, name: &str, role: &str) {
    let given = service.settings.run(&["user", "role", name, role], "");
    assert!(given.status.success(), "{given:?}");
}

fn id_of(access: &str) -> String {
    token::claims(access)["sub"].as_str().unwrap().to_owned()
}

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}
