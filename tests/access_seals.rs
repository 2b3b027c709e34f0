//! Rows that an attacker writes into the store grant no access, and the doctor finds them. A store of an earlier
//! version is sealed while people use it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use support::contract::{Tokens, is_refused, verifies};
use support::upgrade::store_of_the_version_before;
use support::{
    Contract, Person, Program, Settings, Store, api_auth, eventually, on_both_stores, own, staff,
    token,
};

on_both_stores!(
    planted_passwords_tokens_and_roles_grant_no_access,
    an_account_that_was_unlocked_in_the_store_stays_locked,
    a_restored_session_row_is_refused_until_it_is_repaired,
    deleting_an_event_and_restoring_its_row_undoes_nothing,
    a_row_is_stale_after_any_later_event_not_only_the_next,
    a_store_of_an_earlier_version_is_sealed_and_its_users_sign_in,
    rows_of_a_node_of_an_earlier_version_count_until_seals_are_required,
);

async fn planted_passwords_tokens_and_roles_grant_no_access(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let [root, eve] = ["root", "eve"].map(Person::called);
    staff::create(&service, &root, "admin");
    Contract::ApiAuth.registers(&http, &eve).await;
    let of_root = Contract::ApiAuth.signs_in(&http, &root).await;
    let of_eve = Contract::ApiAuth.signs_in(&http, &eve).await;
    let id = |access: &str| token::claims(access)["sub"].as_str().unwrap().to_owned();
    let [root_id, eve_id] = [id(&of_root.access), id(&of_eve.access)];
    let session = token::claims(&of_root.access)["sid"].clone();
    a_planted_password_is_refused(&service, (&root, &root_id), (&eve, &eve_id)).await;
    a_planted_token_is_refused(&service, &session).await;
    a_raised_role_is_refused(&service, &eve, &eve_id, &of_eve).await;
}

/// The attacker replaces the administrator's password hash by a copy of their own.
async fn a_planted_password_is_refused(
    service: &Program,
    (root, root_id): (&Person, &str),
    (eve, eve_id): (&Person, &str),
) {
    let (http, settings) = (service.http(), &service.settings);
    settings.execute("CREATE TABLE kept AS SELECT * FROM credentials");
    settings.execute(&format!(
        "UPDATE credentials SET password_hash = k.password_hash, sealed = k.sealed
         FROM kept AS k WHERE k.user_id = '{eve_id}' AND credentials.user_id = '{root_id}'"
    ));
    for password in [&eve.password, &root.password] {
        for contract in [
            Contract::ApiAuth,
            Contract::Users,
            Contract::Api,
            Contract::V1Auth,
        ] {
            let refused = contract.sign_in(&http, &root.with_password(password)).await;
            contract.says_wrong_credentials(&refused);
        }
    }
    finds(
        settings,
        "passwords",
        "was not stored by this service: have it reset",
    );
    let error = service.output();
    let error = error.lines().find(|line| line.contains("ERROR")).unwrap();
    assert!(
        error.contains(root_id) && !error.contains("root@"),
        "{error}"
    );
    eventually("it counts as a wrong password", async || {
        let history = settings.run(&["history", root_id], "");
        let history = String::from_utf8_lossy(&history.stdout).into_owned();
        history
            .contains("was refused: wrong password")
            .then_some(())
    })
    .await;
    settings.execute(
        "UPDATE credentials SET sealed = k.sealed, password_hash = k.password_hash
         FROM kept AS k WHERE k.user_id = credentials.user_id",
    );
    Contract::ApiAuth.signs_in(&http, root).await;
}

/// The attacker plants an opaque token of their choice for the administrator's session.
async fn a_planted_token_is_refused(service: &Program, session: &Value) {
    let (http, settings) = (service.http(), &service.settings);
    let chosen = "6f1c1d2e-9d55-4a3e-8f0e-0a4b7c1d2e3f";
    let digest: String = Sha256::digest(chosen)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let digest = if settings.is_sqlite() {
        format!("x'{digest}'")
    } else {
        format!("'\\x{digest}'")
    };
    settings.execute(&format!(
        "INSERT INTO opaque_tokens (digest, session_id, expires_at)
         SELECT {digest}, session_id, expires_at FROM sessions WHERE session_id = {}",
        session.to_string().replace('"', "'")
    ));
    is_refused(&http, chosen).await;
    let answer = http.send(own::USERS).bearer(chosen).await;
    assert_eq!(answer.status, 401, "{answer}");
    finds(
        settings,
        "opaque tokens",
        "it was not stored by this service",
    );
    assert!(settings.run(&["doctor", "--repair"], "").status.success());
}

/// The attacker raises their own role.
async fn a_raised_role_is_refused(service: &Program, eve: &Person, eve_id: &str, of_eve: &Tokens) {
    let (http, settings) = (service.http(), &service.settings);
    settings.execute(&format!(
        "UPDATE accounts SET role = 'admin' WHERE user_id = '{eve_id}'"
    ));
    let refused = Contract::ApiAuth.sign_in(&http, eve).await;
    Contract::ApiAuth.says_wrong_credentials(&refused);
    let answer = http.send(own::USERS).bearer(&of_eve.access).await;
    assert!([401, 403].contains(&answer.status), "{answer}");
    let answer = http.send(api_auth::REFRESH).bearer(of_eve.refresh()).await;
    assert_eq!(answer.status, 401, "{answer}");
    finds(settings, "rows of accounts", "role");
    assert!(settings.run(&["doctor", "--repair"], "").status.success());
    let tokens = Contract::ApiAuth.signs_in(&http, eve).await;
    assert_eq!(token::claims(&tokens.access)["role"], "user");
    let answer = http.send(own::USERS).bearer(&tokens.access).await;
    assert_eq!(answer.status, 403, "{answer}");
}

async fn an_account_that_was_unlocked_in_the_store_stays_locked(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let (http, settings) = (service.http(), &service.settings);
    let eve = Person::called("eve");
    Contract::ApiAuth.registers(&http, &eve).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &eve).await;
    // The attacker changes one value of the row, or restores the whole earlier row.
    settings.execute("CREATE TABLE kept AS SELECT * FROM accounts");
    let locked = settings.run(&["user", "lock", "eve"], "");
    assert!(locked.status.success(), "{locked:?}");
    for unlock in [
        "UPDATE accounts SET locked = NOT locked, session_epoch = 0",
        "DELETE FROM accounts; INSERT INTO accounts SELECT * FROM kept",
    ] {
        settings.execute(unlock);
        let refused = Contract::ApiAuth.sign_in(&http, &eve).await;
        Contract::ApiAuth.says_wrong_credentials(&refused);
        let answer = http.send(api_auth::REFRESH).bearer(tokens.refresh()).await;
        assert_eq!(answer.status, 401, "{unlock}: {answer}");
        finds(settings, "rows of accounts", "locked");
        assert!(settings.run(&["doctor", "--repair"], "").status.success());
        let refused = Contract::ApiAuth.sign_in(&http, &eve).await;
        Contract::ApiAuth.says_wrong_credentials(&refused);
    }
}

/// A command is first decided by a row, and only its append proves that the row is current. A stale row neither grants
/// nor refuses anything.
async fn a_restored_session_row_is_refused_until_it_is_repaired(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let (http, settings) = (service.http(), &service.settings);
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let first = Contract::ApiAuth.signs_in(&http, &ann).await;
    settings.execute("CREATE TABLE kept AS SELECT * FROM sessions");
    let answer = http.send(api_auth::REFRESH).bearer(first.refresh()).await;
    assert_eq!(answer.status, 200, "{answer}");
    let newest = answer.json()["data"]["refresh_token"]["token"].clone();
    let newest = newest.as_str().unwrap();
    settings.execute("DELETE FROM sessions; INSERT INTO sessions SELECT * FROM kept");
    // By the restored row the first token is current, and the newest token was never issued.
    for (method, token) in [
        (api_auth::REFRESH, first.refresh()),
        (api_auth::REFRESH, newest),
        (api_auth::LOGOUT, &first.access),
    ] {
        let found = || {
            service
                .output()
                .matches("was not last written by the service")
                .count()
        };
        let before = found();
        let answer = http.send(method).bearer(token).await;
        assert_eq!(answer.status, 401, "{answer}");
        eventually("the log reports it", async || {
            (found() > before).then_some(())
        })
        .await;
    }
    assert!(settings.run(&["doctor", "--repair"], "").status.success());
    let answer = http.send(api_auth::REFRESH).bearer(newest).await;
    assert_eq!(answer.status, 200, "{answer}");
}

/// Deleting the event of a lock or of a logout and restoring the earlier row does not undo it.
async fn deleting_an_event_and_restoring_its_row_undoes_nothing(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let (http, settings) = (service.http(), &service.settings);
    let [ann, eve] = ["ann", "eve"].map(Person::called);
    Contract::ApiAuth.registers(&http, &ann).await;
    Contract::ApiAuth.registers(&http, &eve).await;
    let of_ann = Contract::ApiAuth.signs_in(&http, &ann).await;
    settings.execute(
        "CREATE TABLE kept AS SELECT * FROM accounts; CREATE TABLE kept_sessions AS SELECT * FROM sessions",
    );
    let locked = settings.run(&["user", "lock", "eve"], "");
    assert!(locked.status.success(), "{locked:?}");
    let answer = http.send(api_auth::LOGOUT).bearer(&of_ann.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    if !settings.is_sqlite() {
        // The log needs the event's entry before the event is deleted.
        eventually("both events are in the log", async || {
            let ready = http.send(own::READYZ).await.json();
            (ready["lag"]["sequencer"]["events"] == 0).then_some(())
        })
        .await;
    }
    settings.tamper("DELETE FROM events WHERE event_type IN ('UserLocked', 'LoggedOut')");
    settings.execute(
        "DELETE FROM accounts; INSERT INTO accounts SELECT * FROM kept;
         DELETE FROM sessions; INSERT INTO sessions SELECT * FROM kept_sessions",
    );
    let refused = Contract::ApiAuth.sign_in(&http, &eve).await;
    Contract::ApiAuth.says_wrong_credentials(&refused);
    let answer = http.send(api_auth::REFRESH).bearer(of_ann.refresh()).await;
    assert_eq!(answer.status, 401, "{answer}");
}

async fn a_row_is_stale_after_any_later_event_not_only_the_next(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let (http, settings) = (service.http(), &service.settings);
    let eve = Person::called("eve");
    Contract::ApiAuth.registers(&http, &eve).await;
    settings.execute(
        "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         SELECT aggregate_type, aggregate_id, sequence + 3, 'UserLocked', '1.0', '{}', metadata
           FROM events WHERE aggregate_type = 'user'",
    );
    let refused = Contract::ApiAuth.sign_in(&http, &eve).await;
    Contract::ApiAuth.says_wrong_credentials(&refused);
}

/// People of the store in `tests/upgrade/`, with their passwords. The last two were imported, with bcrypt and scrypt.
const BEFORE: [(&str, &str); 4] = [
    ("ann", "ann-has-a-long-secret"),
    ("root", "root-has-a-long-secret"),
    ("bcrypt-b", "U*U*"),
    ("scrypt", "pleaseletmein"),
];

fn people_of_the_fixture() -> [Person; 4] {
    BEFORE.map(|(name, password)| {
        let person = Person::called(name).with_password(password);
        match name {
            // The other accounts sign in by their e-mail address; this one has none.
            "root" => Person {
                email: name.to_owned(),
                ..person
            },
            _ => person,
        }
    })
}

async fn a_store_of_an_earlier_version_is_sealed_and_its_users_sign_in(store: Store) {
    let settings = store_of_the_version_before(store).with("AUTHLOG_UPGRADE_WINDOW", "1s");
    // Only the row has this role, and no event. It is lost when the row is written from the events.
    settings.execute("UPDATE accounts SET role = 'admin' WHERE username = 'ann'");
    let mut service = settings.start().await;
    let http = service.http();
    for person in people_of_the_fixture() {
        Contract::ApiAuth.signs_in(&http, &person).await;
    }
    is_sealed(&service).await;
    for person in people_of_the_fixture() {
        Contract::ApiAuth.signs_in(&http, &person).await;
        Contract::Users.signs_in(&http, &person).await;
        let refused = Contract::ApiAuth
            .sign_in(&http, &person.with_password("not-the-password"))
            .await;
        Contract::ApiAuth.says_wrong_credentials(&refused);
    }
    let [ann, root, ..] = people_of_the_fixture();
    let tokens = Contract::Api.signs_in(&http, &ann).await;
    verifies(&http, &tokens.access).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    assert_eq!(token::claims(&tokens.access)["role"], "user");
    let bob = Person::called("bob").with_password("bob-has-a-long-secret");
    let refused = Contract::ApiAuth.sign_in(&http, &bob).await;
    Contract::ApiAuth.says_wrong_credentials(&refused);
    let stored = service.settings.stored_bytes();
    let stored = String::from_utf8_lossy(&stored);
    if !service.settings.is_sqlite() {
        assert!(!stored.contains("$argon2id$") && !stored.contains("$2b$05$"));
    }
    let found = service.settings.run(&["doctor"], "");
    assert!(found.status.success(), "{found:?}");

    // After that, restoring a password row of the earlier version grants no access.
    assert!(service.terminate().await.success());
    let settings = service.settings.clone();
    settings.execute(
        "UPDATE credentials SET sealed = NULL, password_hash = '$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK'",
    );
    settings.execute("UPDATE accounts SET mac = NULL WHERE username = 'root'");
    let service = settings.start().await;
    for person in [ann, root] {
        let person = person.with_password("U*U*");
        let refused = Contract::ApiAuth.sign_in(&service.http(), &person).await;
        Contract::ApiAuth.says_wrong_credentials(&refused);
    }
}

async fn rows_of_a_node_of_an_earlier_version_count_until_seals_are_required(store: Store) {
    // SQLite allows one program at a time, so there is nothing to wait for.
    let settings = store_of_the_version_before(store).with("AUTHLOG_UPGRADE_WINDOW", "1h");
    let mut service = settings.start().await;
    let http = service.http();
    let ([ann, ..], eve) = (people_of_the_fixture(), Person::called("eve"));
    Contract::ApiAuth.registers(&http, &eve).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &eve).await;
    if store == Store::Postgres {
        // A node of the earlier version does not change columns that it does not know.
        let settings = &service.settings;
        settings.execute("UPDATE accounts SET mac = NULL");
        settings.execute("UPDATE sessions SET mac = 'of an earlier row'");
        settings.execute("UPDATE credentials SET sealed = NULL WHERE password_hash <> ''");
        verifies(&http, &tokens.access).await;
        for person in [&ann, &eve] {
            Contract::ApiAuth.signs_in(&http, person).await;
        }
        let answer = http.send(api_auth::REFRESH).bearer(tokens.refresh()).await;
        assert_eq!(answer.status, 200, "{answer}");
        let found = settings.run(&["doctor"], "");
        assert!(found.status.success(), "{found:?}");
        let said = String::from_utf8_lossy(&found.stdout).into_owned();
        assert!(said.contains("seals are not required yet"), "{said}");
    }
    assert!(service.terminate().await.success());
    let old_key = service
        .settings
        .get("AUTHLOG_MASTER_KEY")
        .unwrap()
        .to_owned();
    let rotated = service
        .settings
        .run(&["keys", "rotate-master", "--new-key-file", "new.key"], "");
    assert!(rotated.status.success(), "{rotated:?}");
    let settings = service
        .settings
        .clone()
        .without("AUTHLOG_MASTER_KEY")
        .with("AUTHLOG_MASTER_KEY_FILE", "new.key")
        .with("AUTHLOG_UPGRADE_WINDOW", "1s");
    let service = settings.start().await;
    is_sealed(&service).await;
    for person in [&ann, &eve] {
        Contract::ApiAuth.signs_in(&service.http(), person).await;
    }
    let found = service.settings.run(&["doctor"], "");
    assert!(found.status.success(), "{found:?}");
    let with_the_old = service
        .settings
        .clone()
        .without("AUTHLOG_MASTER_KEY_FILE")
        .with("AUTHLOG_MASTER_KEY", &old_key);
    assert!(!with_the_old.run(&["doctor"], "").status.success());
}

/// Waits until seals are required.
async fn is_sealed(service: &Program) {
    eventually("everything is sealed", async || {
        let found = service.settings.run(&["doctor"], "");
        let said = String::from_utf8_lossy(&found.stdout).into_owned();
        said.contains("ok        opaque tokens").then_some(())
    })
    .await;
}

/// Asserts that the doctor names the problem.
#[track_caller]
fn finds(settings: &Settings, check: &str, detail: &str) {
    let found = settings.run(&["doctor"], "");
    assert!(!found.status.success(), "{found:?}");
    let said = String::from_utf8_lossy(&found.stdout).into_owned();
    let line = said.lines().find(|line| line.contains(check));
    let is_named = line.is_some_and(|line| line.starts_with("WRONG") && line.contains(detail));
    assert!(is_named, "{check}, {detail}: {said}");
}
