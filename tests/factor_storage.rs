//! What is stored of second factors: labels, damaged rows, and what an erasure leaves.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::path::Path;

use serde_json::{Value, json};
use support::authenticator::{challenge, challenge_and_methods, finish, with_apps};
use support::http::Http;
use support::nats::Nats;
use support::passkey::{self, Passkey, with_passkey};
use support::{
    Answer, Contract, Endpoint, Person, Program, Settings, Store, eventually, on_both_stores, own,
    token,
};

on_both_stores!(
    a_factor_has_the_label_that_its_owner_gives_it,
    a_code_may_have_the_space_that_apps_show_and_an_empty_one_is_none,
    a_seed_that_was_moved_or_changed_is_refused_and_the_doctor_names_it,
    a_passkey_that_was_moved_or_changed_is_refused_and_the_doctor_names_it,
    a_trigger_that_drops_rows_of_factors_is_noticed,
    a_trigger_that_drops_rows_of_passkeys_is_noticed,
    an_erasure_leaves_no_seed_digest_or_label_anywhere,
);

/// The beginning of the doctor's line about second factors.
const WRONG_FACTORS: &str = "WRONG     seeds, passkeys and recovery codes";

async fn service(store: Store) -> Program {
    Settings::on(store).with_cheap_hashing().start().await
}

async fn factors(http: &Http, access: &str) -> Vec<Value> {
    let answer = http.send(own::FACTORS).bearer(access).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()["factors"].as_array().unwrap().clone()
}

async fn rename(http: &Http, access: &str, id: &str, body: Value) -> Answer {
    let path = format!("/account/factors/{id}");
    let request = http.send(Endpoint::at("PATCH", path.leak()));
    request.bearer(access).json(&body).await
}

fn id_of(access: &str) -> String {
    token::claims(access)["sub"].as_str().unwrap().to_owned()
}

async fn a_factor_has_the_label_that_its_owner_gives_it(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    let begin = async |label: Value| {
        let body = json!({"password": ann.password, "label": label});
        let request = http.send(own::BEGIN_TOTP).bearer(&access);
        request.json(&body).await
    };
    assert_eq!(begin(json!("x".repeat(65))).await.status, 400);
    let begun = begin(json!(" work phone ")).await.json();
    let code = support::authenticator::code_now(begun["secret"].as_str().unwrap());
    let answer = support::authenticator::confirm(&http, &access, &begun, &code).await;
    assert_eq!(answer.status, 201, "{answer}");
    assert_eq!(answer.json()["label"], "work phone");
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    for (body, status, label) in [
        (json!({"label": "tablet é"}), 204, json!("tablet é")),
        // The same again changes nothing.
        (json!({"label": "tablet é"}), 204, json!("tablet é")),
        (json!({"label": "x".repeat(65)}), 400, json!("tablet é")),
        (json!({"label": "bell\u{7}"}), 400, json!("tablet é")),
        (json!({"label": 7}), 400, json!("tablet é")),
        (json!({}), 400, json!("tablet é")),
        (json!({"label": " "}), 204, Value::Null),
        (json!({"label": "last"}), 204, json!("last")),
    ] {
        let answer = rename(&http, &access, &id, body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {answer}");
        assert_eq!(factors(&http, &access).await[0]["label"], label, "{body}");
    }
    for unknown in ["x", "00000000-0000-0000-0000-000000000000"] {
        let answer = rename(&http, &access, unknown, json!({"label": "x"})).await;
        assert_eq!(answer.status, 404, "{answer}");
    }
    // Another person cannot name it.
    let bob = Person::called("bob");
    Contract::ApiAuth.registers(&http, &bob).await;
    let of_bob = Contract::Users.signs_in(&http, &bob).await.access;
    let answer = rename(&http, &of_bob, &id, json!({"label": "x"})).await;
    assert_eq!(answer.status, 404, "{answer}");
    let history = http.send(own::HISTORY).query("type=FactorRenamed");
    let history = history.bearer(&access).await.json();
    let labels: Vec<_> = history["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            (
                event["what"].as_str().unwrap(),
                event["data"]["label"].clone(),
            )
        })
        .collect();
    assert_eq!(
        labels,
        [
            ("named a second factor", json!("work phone")),
            ("named a second factor", json!("tablet é")),
            ("removed the name of a second factor", Value::Null),
            ("named a second factor", json!("last")),
        ]
    );
    // A rebuild and the doctor know labels.
    assert!(service.settings.run(&["rebuild"], "").status.success());
    assert!(service.settings.run(&["doctor"], "").status.success());
    assert_eq!(factors(&http, &access).await[0]["label"], "last");
}

async fn a_code_may_have_the_space_that_apps_show_and_an_empty_one_is_none(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, mut apps, _) = with_apps::<3>(&http, "ann").await;
    let spaced = |code: &str| format!("{} {}", &code[..3], &code[3..]);
    let begun = challenge(&Contract::Users.sign_in(&http, &ann).await);
    let code = spaced(&apps[0].fresh_code().await);
    let answer = finish(&http, &begun, "code", &code).await;
    assert_eq!(answer.status, 200, "{answer}");
    let mut body = Contract::Users.login_of(&ann.email, &ann.password);
    body["otp"] = json!(spaced(&apps[1].fresh_code().await));
    let answer = http.send(Contract::Users.login()).json(&body).await;
    assert_eq!(answer.status, 200, "{answer}");
    // A form sends a field that was not filled in. Then the code can follow the password.
    for empty in ["", "  "] {
        body["otp"] = json!(empty);
        let answer = http.send(Contract::Users.login()).json(&body).await;
        challenge(&answer);
    }
    let typed = format!("{}{}", ann.password, apps[2].fresh_code().await);
    let mut body = Contract::Users.login_of(&ann.email, &typed);
    body["otp"] = json!("");
    let answer = http.send(Contract::Users.login()).json(&body).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn a_seed_that_was_moved_or_changed_is_refused_and_the_doctor_names_it(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let settings = &service.settings;
    let (ann, [mut of_ann], access) = with_apps::<1>(&http, "ann").await;
    let (eve, [mut of_eve], of_eve_access) = with_apps::<1>(&http, "eve").await;
    let [ann_id, eve_id] = [&access, &of_eve_access].map(|access| id_of(access));
    let doctor = || doctor(settings);
    assert!(doctor().0);
    settings.execute("CREATE TABLE kept AS SELECT * FROM second_factors");
    let restore = "DELETE FROM second_factors; INSERT INTO second_factors SELECT * FROM kept";
    let (ann_code, eve_code) = (of_ann.fresh_code().await, of_eve.fresh_code().await);
    for (damage, named, refused) in [
        // Eve's seed becomes Ann's: in a row of its own, and in Ann's row.
        (
            format!(
                "UPDATE second_factors SET user_id = '{ann_id}', last_step = 0 WHERE user_id = '{eve_id}'"
            ),
            "name no such factor",
            [(&ann, &eve_code), (&eve, &eve_code)],
        ),
        (
            format!(
                "UPDATE second_factors SET sealed = (SELECT sealed FROM kept WHERE user_id = '{eve_id}'), last_step = 0
                 WHERE user_id = '{ann_id}'"
            ),
            "was not stored by this service for it",
            [(&ann, &eve_code), (&ann, &ann_code)],
        ),
        (
            format!("DELETE FROM second_factors WHERE user_id = '{ann_id}'"),
            "is not stored",
            [(&ann, &eve_code), (&ann, &ann_code)],
        ),
    ] {
        settings.execute(&damage);
        for (person, code) in refused {
            let typed = person.with_password(&format!("{}{code}", person.password));
            let answer = Contract::Users.sign_in(&http, &typed).await;
            Contract::Users.says_wrong_credentials(&answer);
        }
        let (is_well, said) = doctor();
        assert!(!is_well, "{damage}: {said}");
        assert!(said.contains(WRONG_FACTORS), "{said}");
        assert!(said.contains(named), "{damage}: {said}");
        settings.execute(restore);
        assert!(doctor().0, "{}", doctor().1);
    }
    // Damage to Ann's row does not affect Eve.
    settings.execute(&format!(
        "UPDATE second_factors SET sealed = (SELECT sealed FROM kept WHERE user_id = '{eve_id}') WHERE user_id = '{ann_id}'"
    ));
    let typed = format!("{}{}", eve.password, of_eve.fresh_code().await);
    Contract::Users
        .signs_in(&http, &eve.with_password(&typed))
        .await;
    let (is_well, said) = doctor();
    assert!(!is_well && said.contains(&ann_id), "{said}");
    // Recovery codes are compared by their number.
    settings.execute(restore);
    let digest = if settings.is_sqlite() {
        "zeroblob(32)"
    } else {
        "decode(repeat('00', 32), 'hex')"
    };
    settings.execute(&format!(
        "INSERT INTO recovery_codes (user_id, digest) VALUES ('{ann_id}', {digest})"
    ));
    let (is_well, said) = doctor();
    assert!(!is_well, "{said}");
    assert!(
        said.contains("1 recovery codes are stored, and its events leave 0"),
        "{said}"
    );
}

async fn a_passkey_that_was_moved_or_changed_is_refused_and_the_doctor_names_it(store: Store) {
    let service = passkey::service(store).await;
    let http = service.http();
    let settings = &service.settings;
    let (ann, of_ann, access) = with_passkey(&http, "ann").await;
    let (eve, of_eve, of_eve_access) = with_passkey(&http, "eve").await;
    let [ann_id, eve_id] = [&access, &of_eve_access].map(|access| id_of(access));
    settings.execute("CREATE TABLE kept AS SELECT * FROM passkeys");
    let restore = "DELETE FROM passkeys; INSERT INTO passkeys SELECT * FROM kept";
    let (is_well, said) = doctor(settings);
    assert!(is_well, "{said}");
    let garbage = if settings.is_sqlite() {
        "x'00ff'"
    } else {
        "decode('00ff', 'hex')"
    };
    for (damage, named, refused) in [
        (
            format!("UPDATE passkeys SET user_id = '{ann_id}' WHERE user_id = '{eve_id}'"),
            "name no such factor",
            vec![(&eve, &of_eve), (&ann, &of_eve)],
        ),
        (
            format!(
                "UPDATE passkeys SET sealed = (SELECT sealed FROM kept WHERE user_id = '{eve_id}') WHERE user_id = '{ann_id}'"
            ),
            "was not stored by this service for it",
            vec![(&ann, &of_ann), (&ann, &of_eve)],
        ),
        (
            format!("UPDATE passkeys SET sealed = {garbage} WHERE user_id = '{ann_id}'"),
            "was not stored by this service for it",
            vec![(&ann, &of_ann)],
        ),
        (
            format!("UPDATE passkeys SET sign_count = -1 WHERE user_id = '{ann_id}'"),
            "",
            vec![(&ann, &of_ann)],
        ),
        (
            format!("DELETE FROM passkeys WHERE user_id = '{ann_id}'"),
            "is not stored",
            vec![(&ann, &of_ann)],
        ),
    ] {
        settings.execute(&damage);
        for (person, passkey) in refused {
            let refused = Contract::Users.sign_in(&http, person).await;
            let (challenge, _) = challenge_and_methods(&refused);
            let options = json!({"challenge": challenge, "rpId": "localhost"});
            let body = json!({"challenge": challenge, "assertion": passkey.get(&options)});
            let answer = http.send(own::SECOND_FACTOR).json(&body).await;
            assert_eq!(answer.status, 403, "{damage}: {answer}");
            let options = passkey::second_step_options(&http, &challenge).await;
            assert!([200, 409].contains(&options.status), "{damage}: {options}");
        }
        if !damage.contains("SELECT sealed") {
            let of_whom = if damage.contains(&eve_id) {
                &of_eve
            } else {
                &of_ann
            };
            let answer = passkey::sign_in(&http, of_whom).await;
            assert_eq!(answer.status, 403, "{damage}: {answer}");
        }
        let (is_well, said) = doctor(settings);
        assert_eq!(is_well, named.is_empty(), "{damage}: {said}");
        assert_eq!(said.contains(WRONG_FACTORS), !is_well, "{damage}: {said}");
        assert!(said.contains(named), "{damage}: {said}");
        settings.execute(restore);
    }
    let (is_well, said) = doctor(settings);
    assert!(is_well, "{said}");
    assert_eq!(passkey::sign_in(&http, &of_ann).await.status, 200);
    assert_eq!(passkey::sign_in(&http, &of_eve).await.status, 200);
}

/// Whether the doctor finds the store in order, and what it prints.
fn doctor(settings: &Settings) -> (bool, String) {
    let output = settings.run(&["doctor"], "");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), said)
}

/// A trigger that lets no row of `table` through.
fn guard(settings: &Settings, table: &str, event: &str) {
    settings.execute(&if settings.is_sqlite() {
        format!("CREATE TRIGGER thief BEFORE {event} ON {table} BEGIN SELECT raise(IGNORE); END")
    } else {
        format!(
            "CREATE OR REPLACE FUNCTION thief() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TRIGGER thief BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION thief()"
        )
    });
}

fn remove_guard(settings: &Settings, table: &str) {
    settings.execute(&if settings.is_sqlite() {
        "DROP TRIGGER thief".to_owned()
    } else {
        format!("DROP TRIGGER thief ON {table}")
    });
}

async fn a_trigger_that_drops_rows_of_passkeys_is_noticed(store: Store) {
    let service = passkey::service(store).await;
    let http = service.http();
    let settings = &service.settings;
    let (ann, passkey, access) = with_passkey(&http, "ann").await;
    let (events, rows) = (settings.count("events"), settings.rows("passkeys"));

    guard(settings, "passkeys", "INSERT");
    let begun = passkey::begin(&http, &access, &ann).await;
    let credential = Passkey::new().create(&begun["publicKey"]);
    let answer = passkey::confirm(&http, &access, &begun, &credential).await;
    assert_eq!(answer.status, 409, "{answer}");
    remove_guard(settings, "passkeys");

    let path = format!("/account/factors/{}", passkey.id);
    let remove = Endpoint::at("DELETE", path.leak());
    let body = json!({"password": ann.password});
    guard(settings, "passkeys", "DELETE");
    let request = http.send(remove).bearer(&access).json(&body);
    assert_eq!(request.attempt().await.unwrap().status, 503);
    remove_guard(settings, "passkeys");

    // The use of a challenge has to be stored, or it could be used again.
    guard(settings, "passkeys", "UPDATE");
    let answer = passkey::sign_in(&http, &passkey).await;
    assert_eq!(answer.status, 403, "{answer}");
    remove_guard(settings, "passkeys");

    eventually("the refused login is the only event", async || {
        (settings.count("events") == events + 1).then_some(())
    })
    .await;
    assert_eq!(settings.rows("passkeys"), rows);
    assert_eq!(passkey::sign_in(&http, &passkey).await.status, 200);
}

async fn a_trigger_that_drops_rows_of_factors_is_noticed(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let settings = &service.settings;
    let (ann, [app], access) = with_apps::<1>(&http, "ann").await;
    let body = json!({"password": ann.password});
    let events = settings.count("events");

    guard(settings, "second_factors", "INSERT");
    let begun = support::authenticator::begin(&http, &access, &ann).await;
    let code = support::authenticator::code_now(begun["secret"].as_str().unwrap());
    let path = format!(
        "/account/factors/totp/{}/confirm",
        begun["id"].as_str().unwrap()
    );
    let request = http.send(Endpoint::at("POST", path.leak()));
    let request = request.bearer(&access).json(&json!({"code": code}));
    assert_eq!(request.attempt().await.unwrap().status, 503);
    remove_guard(settings, "second_factors");

    guard(settings, "recovery_codes", "INSERT");
    let request = http.send(own::RECOVERY_CODES).bearer(&access).json(&body);
    assert_eq!(request.attempt().await.unwrap().status, 503);
    remove_guard(settings, "recovery_codes");

    guard(settings, "second_factors", "DELETE");
    let path = format!("/account/factors/{}", app.id);
    let remove = Endpoint::at("DELETE", path.leak());
    let request = http.send(remove).bearer(&access).json(&body);
    assert_eq!(request.attempt().await.unwrap().status, 503);
    remove_guard(settings, "second_factors");

    assert_eq!(
        settings.count("events"),
        events,
        "no event says that it happened"
    );
    let answer = http.send(remove).bearer(&access).json(&body).await;
    assert_eq!(answer.status, 204, "{answer}");
}

async fn an_erasure_leaves_no_seed_digest_or_label_anywhere(store: Store) {
    const LABEL: &str = "quokkaphone";
    let nats = Nats::start().await;
    let settings = Settings::on(store)
        .with_cheap_hashing()
        .with("AUTHLOG_NATS_URL", &nats.url())
        .with("AUTHLOG_LOG", "trace");
    let mut service = settings.start().await;
    let http = service.http();
    let (ann, [mut app], access) = with_apps::<1>(&http, "ann").await;
    let answer = rename(&http, &access, &app.id, json!({"label": LABEL})).await;
    assert_eq!(answer.status, 204, "{answer}");
    let body = json!({"password": ann.password});
    let request = http.send(own::RECOVERY_CODES).bearer(&access);
    let codes = request.json(&body).await.json();
    let recovery = codes["codes"][0].as_str().unwrap().to_owned();
    let code = app.fresh_code().await;
    let typed = format!("{}{code}", ann.password);
    Contract::Users
        .signs_in(&http, &ann.with_password(&typed))
        .await;
    let begun = challenge(&Contract::Users.sign_in(&http, &ann).await);
    let answer = finish(&http, &begun, "recovery_code", &recovery).await;
    assert_eq!(answer.status, 200, "{answer}");
    let seed_before = service.settings.rows("second_factors");
    let digests_before = service.settings.rows("recovery_codes");
    assert_eq!((seed_before.len(), digests_before.len()), (1, 9));

    let request = http.send(own::ERASE).bearer(&access);
    let answer = request.json(&body).await;
    assert_eq!(answer.status, 204, "{answer}");
    eventually("the erasure is published", async || {
        contains(&bytes_in(nats.directory()), b"user.erased").then_some(())
    })
    .await;
    service.terminate().await;
    let export = service.settings.data().with_file_name("export.ndjson");
    let path = export.display().to_string();
    let exported = service.settings.run(&["export", "--out", &path], "");
    assert!(exported.status.success(), "{exported:?}");

    let places = [
        ("the store", service.settings.stored_bytes()),
        ("the stream", bytes_in(nats.directory())),
        ("the export", std::fs::read(&export).unwrap()),
        ("the mail", bytes_in(&service.settings.data().join("mail"))),
        ("the log", service.output().into_bytes()),
    ];
    let plain = recovery.replace('-', "");
    for secret in [
        app.secret.as_str(),
        &recovery,
        &plain,
        &begun,
        LABEL,
        &typed,
    ] {
        for (place, bytes) in &places {
            assert!(
                !contains(bytes, secret.as_bytes()),
                "{secret} is in {place}"
            );
        }
    }
    assert!(
        !contains(&places[4].1, code.as_bytes()),
        "{code} is in the log"
    );
    assert_eq!(service.settings.count("second_factors"), 0);
    assert_eq!(service.settings.count("recovery_codes"), 0);
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The content of every file in a folder.
fn bytes_in(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            bytes.extend(bytes_in(&path));
        } else {
            bytes.extend(std::fs::read(path).unwrap_or_default());
        }
    }
    bytes
}
