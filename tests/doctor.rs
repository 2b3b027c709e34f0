//! `authlog doctor` finds and names every kind of damage, repairs derived data, and reports nothing on a sound store.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::json;
use support::load::{Load, are_whole};
use support::{
    Contract, Person, Program, Settings, Store, api_auth, eventually, on_both_stores, own, token,
    users,
};

on_both_stores!(
    damaged_derived_data_is_found_named_and_repaired,
    a_damaged_event_is_found_and_named_and_nothing_is_derived_from_it,
    a_lost_key_or_password_is_reported_and_not_replaced,
    an_erased_account_needs_no_rows_and_a_repair_restores_none,
    a_live_service_gives_no_false_alarm,
);

async fn damaged_derived_data_is_found_named_and_repaired(store: Store) {
    let (service, ann, bob) = service_with_history(store).await;
    let settings = &service.settings;
    let unknown = "0192d3f0-0000-7000-8000-000000000001";
    for (sql, check, word) in [
        (
            format!("UPDATE accounts SET role = 'admin' WHERE user_id = '{ann}'"),
            "rows of accounts",
            "role",
        ),
        (
            format!("UPDATE accounts SET role = 'emperor' WHERE user_id = '{ann}'"),
            "rows of accounts",
            "cannot be read",
        ),
        (
            format!("UPDATE accounts SET version = 99 WHERE user_id = '{ann}'"),
            "rows of accounts",
            "its version (99, its events 1)",
        ),
        (
            format!("DELETE FROM accounts WHERE user_id = '{ann}'"),
            "rows of accounts",
            "missing",
        ),
        (
            format!("UPDATE accounts SET user_id = '{unknown}' WHERE user_id = '{ann}'"),
            "rows of accounts",
            "without any events",
        ),
        (
            format!("UPDATE sessions SET ended_at = NULL, generation = 7 WHERE user_id = '{ann}'"),
            "rows of sessions",
            "generation",
        ),
        (
            format!("DELETE FROM sessions WHERE user_id = '{bob}'"),
            "rows of sessions",
            "missing",
        ),
        (
            format!("DELETE FROM identifier_claims WHERE owner = '{ann}' AND kind = 'email'"),
            "claims",
            "its claim to its email is missing",
        ),
        (
            format!(
                "UPDATE identifier_claims SET owner = '{bob}' WHERE owner = '{ann}' AND kind = 'username'"
            ),
            "claims",
            "its username is claimed by account",
        ),
        (
            format!(
                "INSERT INTO identifier_claims (kind, digest, owner) VALUES ('email', {}, '{ann}')",
                if settings.is_sqlite() {
                    "zeroblob(32)"
                } else {
                    "decode(repeat('00', 32), 'hex')"
                }
            ),
            "claims",
            "none of its events makes",
        ),
    ] {
        settings.execute(&sql);
        let found = examination(settings, &["doctor"]);
        assert!(!found.well, "{sql}: {}", found.said);
        found.names(check, word, "WRONG");
        let repaired = examination(settings, &["doctor", "--repair"]);
        assert!(repaired.well, "{sql}: {}", repaired.said);
        repaired.names(check, word, "REPAIRED");
        let again = examination(settings, &["doctor"]);
        assert!(
            again.well && !again.said.contains("REPAIRED"),
            "{sql}: {}",
            again.said
        );
    }
    for contract in Contract::ALL {
        contract
            .signs_in(&service.http(), &Person::called("ann"))
            .await;
    }
}

async fn a_damaged_event_is_found_and_named_and_nothing_is_derived_from_it(store: Store) {
    let (mut service, ann, bob) = service_with_history(store).await;
    service.terminate().await;
    let settings = &service.settings;
    let registration =
        format!("aggregate_type = 'user' AND aggregate_id = '{ann}' AND sequence = 1");
    for Damage {
        damage,
        undo,
        check,
        place,
    } in reversible_damage(settings, &ann)
    {
        settings.tamper(&damage);
        let found = examination(settings, &["doctor", "--repair"]);
        assert!(!found.well, "{damage}: {}", found.said);
        found.names(check, &place, "WRONG");
        settings.tamper(&undo);
        let again = examination(settings, &["doctor"]);
        assert!(again.well, "{undo}: {}", again.said);
    }
    // The ciphertext of another person. It cannot be decrypted under this account.
    settings.tamper(&format!(
        "UPDATE events SET payload = (SELECT payload FROM events WHERE aggregate_type = 'user' AND aggregate_id = '{bob}' AND sequence = 1)
         WHERE {registration}"
    ));
    let found = examination(settings, &["doctor"]);
    found.names("events can be opened", &format!("user/{ann}/1"), "WRONG");
    found.names("leaf hashes", &format!("user/{ann}/1"), "WRONG");
    // The last event of a session: first without, then with its log entry.
    settings.tamper(&format!(
        "DELETE FROM events WHERE event_type = 'LoggedOut' AND user_id = '{ann}'"
    ));
    let found = examination(settings, &["doctor", "--repair"]);
    found.names("every event is in the log", "is not stored", "WRONG");
    found.names("rows of sessions", "ended_at", "WRONG");
    settings.tamper(
        "DELETE FROM event_log WHERE NOT EXISTS (SELECT 1 FROM events e
         WHERE e.aggregate_type = event_log.aggregate_type AND e.aggregate_id = event_log.aggregate_id AND e.sequence = event_log.sequence)",
    );
    let found = examination(settings, &["doctor"]);
    found.names("indices run from 1", "missing", "WRONG");
    // The first event of a stream.
    settings.tamper(&format!(
        "DELETE FROM events WHERE aggregate_type = 'session' AND sequence = 1 AND user_id = '{ann}'"
    ));
    let found = examination(settings, &["doctor"]);
    found.names("sequences run", "where 1 should be", "WRONG");
    assert!(!found.said.contains("panicked"), "{}", found.said);
}

/// A damage of the log that can be undone.
struct Damage {
    damage: String,
    undo: String,
    /// The check that finds it.
    check: &'static str,
    /// The place that the doctor names.
    place: String,
}

/// Changes of the first event of `ann`, and of the order of the log.
fn reversible_damage(settings: &Settings, ann: &str) -> Vec<Damage> {
    let registration =
        format!("aggregate_type = 'user' AND aggregate_id = '{ann}' AND sequence = 1");
    let sealed = |sql: &str| {
        if settings.is_sqlite() {
            sql.to_owned()
        } else {
            sql.replace("payload = ", "payload = (")
                .replace("replace(payload,", "replace(payload::text,")
                .replace(" WHERE", ")::json WHERE")
        }
    };
    let later = if settings.is_sqlite() {
        "recorded_at + 1000000"
    } else {
        "recorded_at + interval '1 second'"
    };
    let earlier = later.replace('+', "-");
    let metadata = |from: &str, to: &str| {
        let (text, json) = if settings.is_sqlite() {
            ("", "")
        } else {
            ("::text", "::json")
        };
        format!(
            "UPDATE events SET metadata = replace(metadata{text}, '{from}', '{to}'){json} WHERE {registration}"
        )
    };
    let swap = |one: u32, other: u32| {
        format!(
            "UPDATE event_log SET log_index = 1000000 WHERE log_index = {one};
             UPDATE event_log SET log_index = {one} WHERE log_index = {other};
             UPDATE event_log SET log_index = {other} WHERE log_index = 1000000"
        )
    };
    let rows = [
        (
            sealed(&format!(
                "UPDATE events SET payload = replace(payload, '\"role\":\"user\"', '\"role\":\"admin\"') WHERE {registration}"
            )),
            sealed(&format!(
                "UPDATE events SET payload = replace(payload, '\"role\":\"admin\"', '\"role\":\"user\"') WHERE {registration}"
            )),
            "leaf hashes",
            format!("user/{ann}/1"),
        ),
        (
            metadata("api-auth", "users"),
            metadata("users", "api-auth"),
            "leaf hashes",
            format!("user/{ann}/1"),
        ),
        (
            format!("UPDATE events SET recorded_at = {later} WHERE {registration}"),
            format!("UPDATE events SET recorded_at = {earlier} WHERE {registration}"),
            "leaf hashes",
            format!("user/{ann}/1"),
        ),
        (
            swap(1, 2),
            swap(1, 2),
            "order of their commits",
            "log index".to_owned(),
        ),
    ];
    rows.map(|(damage, undo, check, place)| Damage {
        damage,
        undo,
        check,
        place,
    })
    .into()
}

async fn a_lost_key_or_password_is_reported_and_not_replaced(store: Store) {
    let (mut service, ann, bob) = service_with_history(store).await;
    service.terminate().await;
    let settings = &service.settings;
    settings.execute(&format!("DELETE FROM credentials WHERE user_id = '{bob}'"));
    let found = examination(settings, &["doctor", "--repair"]);
    found.names("passwords", "have it reset", "WRONG");
    assert!(!found.well);
    settings.execute(&format!("DELETE FROM subject_keys WHERE user_id = '{ann}'"));
    let found = examination(settings, &["doctor", "--repair"]);
    found.names("key that can be unwrapped", &ann, "WRONG");
    // The row still has the names that the events no longer reveal.
    let listed = settings.run(&["user", "list"], "");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("ann@example.com"));
}

async fn an_erased_account_needs_no_rows_and_a_repair_restores_none(store: Store) {
    let (service, ann, bob) = service_with_history(store).await;
    let settings = &service.settings;
    settings.execute(&format!(
        "CREATE TABLE spare AS SELECT * FROM sessions WHERE user_id = '{ann}'"
    ));
    let erased = settings.run(&["user", "erase", "ann", "--yes"], "");
    assert!(erased.status.success(), "{erased:?}");
    for arguments in [&["doctor"][..], &["doctor", "--repair"], &["doctor"]] {
        let found = examination(settings, arguments);
        assert!(
            found.well && !found.said.contains("REPAIRED"),
            "{}",
            found.said
        );
    }
    // Rows that a backup restores without their events are removed again.
    settings.execute("INSERT INTO sessions SELECT * FROM spare");
    let found = examination(settings, &["doctor"]);
    found.names("rows of sessions", "the events give none", "WRONG");
    assert!(examination(settings, &["doctor", "--repair"]).well);
    assert!(examination(settings, &["doctor"]).well);
    settings.execute(&format!(
        "INSERT INTO identifier_claims (kind, digest, owner)
         SELECT 'email', {}, '{ann}'",
        if settings.is_sqlite() {
            "zeroblob(32)"
        } else {
            "decode(repeat('00', 32), 'hex')"
        }
    ));
    assert!(!examination(settings, &["doctor"]).well);
    let repaired = examination(settings, &["doctor", "--repair"]);
    repaired.names("claims", &ann, "REPAIRED");
    assert_ne!(ann, bob);
}

async fn a_live_service_gives_no_false_alarm(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let load = Load::on(&service.http(), "load");
    load.has_done(20).await;
    for repair in [false, true, false] {
        let settings = service.settings.clone();
        let examining = tokio::task::spawn_blocking(move || {
            let arguments: &[&str] = if repair {
                &["doctor", "--repair"]
            } else {
                &["doctor"]
            };
            examination(&settings, arguments)
        });
        let found = examining.await.unwrap();
        assert!(
            found.well && !found.said.contains("REPAIRED"),
            "{}",
            found.said
        );
        load.has_done(load.done() + 20).await;
    }
    are_whole(&load.end().await, &service.http()).await;
}

/// The result of an examination.
struct Examination {
    well: bool,
    said: String,
}

impl Examination {
    /// Asserts that the line of this check has this state and contains `word`.
    #[track_caller]
    fn names(&self, check: &str, word: &str, state: &str) {
        let line = self.said.lines().find(|line| line.contains(check));
        assert!(line.is_some(), "nothing about {check}: {}", self.said);
        let line = line.unwrap();
        assert!(
            line.starts_with(state) && line.contains(word),
            "{state} {word}: {}",
            self.said
        );
    }
}

fn examination(settings: &Settings, arguments: &[&str]) -> Examination {
    let output = settings.run(arguments, "");
    let said =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    Examination {
        well: output.status.success(),
        said: said.concat(),
    }
}

/// A service with some events of most kinds, and the ids of two accounts.
async fn service_with_history(store: Store) -> (Program, String, String) {
    let service = Program::on(store).await;
    let http = service.http();
    let [ann, bob] = ["ann", "bob"].map(Person::called);
    let mut ids = Vec::new();
    for person in [&ann, &bob] {
        Contract::ApiAuth.registers(&http, person).await;
        let tokens = Contract::ApiAuth.signs_in(&http, person).await;
        ids.push(
            token::claims(&tokens.access)["sub"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
        let answer = http.send(api_auth::REFRESH).bearer(tokens.refresh()).await;
        assert_eq!(answer.status, 200, "{answer}");
        let answer = http.send(api_auth::LOGOUT).bearer(&tokens.access).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
    Contract::Api
        .sign_in(&http, &bob.with_password("not the password"))
        .await;
    let request = http.send(users::REQUEST_RESET);
    request.json(&json!({"username": "bob"})).await;
    support::mail::mail_to(&service, &bob.email).await;
    let access = Contract::V1Auth.signs_in(&http, &bob).await.access;
    eventually("every event has a log index", async || {
        let own = http.send(own::HISTORY).bearer(&access).await.json();
        let events = own["events"].as_array().unwrap();
        (events.len() == 8 && events.iter().all(|event| event["log_index"].is_u64())).then_some(())
    })
    .await;
    let found = examination(&service.settings, &["doctor"]);
    assert!(found.well && !found.said.contains("wait"), "{}", found.said);
    let [ann, bob] = ids.try_into().unwrap();
    (service, ann, bob)
}
