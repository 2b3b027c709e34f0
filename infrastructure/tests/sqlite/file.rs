//! The file: who may read it, and which files are refused.

use std::error::Error;
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;

use authlog_application::ports::{EventStore, SharedSecrets};
use authlog_domain::SessionId;
use authlog_infrastructure::OpenError;
use authlog_infrastructure::sealing::MasterKey;

use super::{open, open_file};
use crate::store_behaviour::people::{Person, append};
use crate::store_behaviour::system::{SystemEntropy, random};
use crate::store_behaviour::{World, footprint};

#[tokio::test]
async fn only_their_owner_may_read_the_files() {
    let world = open().await;
    Person::called("ada").registers(&*world.store()).await;
    let folder = world.path().parent().unwrap().to_owned();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["authlog.db", "authlog.db-shm", "authlog.db-wal"]);
}

#[tokio::test]
async fn an_event_takes_the_first_free_place_after_the_log() {
    const INSERT: &str = "INSERT INTO events (position, aggregate_type, aggregate_id, sequence, event_type, event_version,
        payload, metadata) VALUES (?1, 'user', 'eve', ?1, 'RoleChanged', '1', '{}', '{}')";
    let world = open().await;
    let store = world.store();
    Person::called("ada").registers(&*store).await;
    let connection = world.connect();
    let number = |sql: &str, after: i64| -> i64 {
        connection
            .query_row(sql, [after], |row| row.get(0))
            .unwrap()
    };
    let last = number(
        "SELECT max(log_index) FROM event_log WHERE log_index > ?",
        0,
    );
    // They have no entries in the log.
    for place in [last + 1, last + 2, i64::MAX] {
        connection.execute(INSERT, [place]).unwrap();
    }
    Person::called("bob").registers(&*store).await;
    let next = number(
        "SELECT min(log_index) FROM event_log WHERE log_index > ?",
        last,
    );
    assert_eq!(next, last + 3);
}

#[tokio::test]
async fn a_store_that_is_closed_leaves_one_file() {
    let world = open().await;
    let path = world.path();
    Person::called("ada").registers(&*world.store()).await;
    drop(world.store);
    let files = std::fs::read_dir(path.parent().unwrap()).unwrap();
    assert_eq!(files.count(), 1);
}

#[tokio::test]
async fn the_database_of_a_newer_program_is_refused_and_left_alone() {
    let world = open().await;
    let (path, master) = (world.path(), world.master.clone());
    drop(world.store);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let before = std::fs::read(&path).unwrap();
    let Err(error @ OpenError::Schema(_)) = open_file(&path, &master) else {
        panic!("it was opened");
    };
    let reason = error.source().unwrap().to_string();
    assert!(
        reason.contains("version 99") && reason.contains("newer program"),
        "{reason}"
    );
    assert!(std::fs::read(&path).unwrap() == before);
}

#[tokio::test]
async fn a_store_is_not_healthy_once_a_newer_program_has_changed_its_schema() {
    let world = open().await;
    world.store().check().await.unwrap();
    let connection = world.connect();
    connection.pragma_update(None, "user_version", 99).unwrap();
    assert!(world.store().check().await.is_err());
}

#[tokio::test]
async fn an_append_whose_rows_are_changed_back_is_refused_and_leaves_nothing() {
    let world = open().await;
    let ada = Person::called("ada");
    ada.registers(&*world.store()).await;
    for trigger in [
        "AFTER INSERT ON sessions BEGIN UPDATE sessions SET ended_at = 1 WHERE session_id = new.session_id; END",
        "AFTER INSERT ON event_log BEGIN UPDATE accounts SET locked = 0; END",
        "AFTER INSERT ON events BEGIN DELETE FROM opaque_tokens; INSERT INTO mail_budgets VALUES (x'00', 'all', 0); END",
    ] {
        world
            .execute(&format!("CREATE TRIGGER undo {trigger}"))
            .await;
        let before = footprint(&world).await;
        let login = ada.login(SessionId::new(random()), 0).await;
        let refused = append(&*world.store(), vec![login]).await;
        assert!(refused.is_err(), "{trigger}");
        assert_eq!(footprint(&world).await, before, "{trigger}");
        assert_eq!(world.count("mail_budgets").await, 0, "{trigger}");
        world.execute("DROP TRIGGER undo").await;
    }
    ada.signs_in(&*world.store()).await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let master = MasterKey::generate(&SystemEntropy);
    let path = folder.path().join("letter.txt");
    std::fs::write(
        &path,
        "Dear Ada, this is a letter and no database. ".repeat(100),
    )
    .unwrap();
    let outcome = open_file(&path, &master).map(drop);
    assert!(
        matches!(outcome, Err(OpenError::Unreachable(_))),
        "{outcome:?}"
    );
    let nowhere = folder.path().join("no such folder").join("authlog.db");
    let outcome = open_file(&nowhere, &master).map(drop);
    assert!(
        matches!(outcome, Err(OpenError::Unreachable(_))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn programs_that_open_a_new_file_at_once_get_one_store() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authlog.db");
        let master = MasterKey::generate(&SystemEntropy);
        let start = Barrier::new(8);
        let stores: Vec<_> = std::thread::scope(|scope| {
            let openers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        open_file(&path, &master).unwrap()
                    })
                })
                .collect();
            let stores = openers.into_iter().map(|opener| opener.join().unwrap());
            stores.collect()
        });
        // If each had its own pepper, each would accept the same name once.
        let mut registered = 0;
        for store in &stores {
            let registration = Person::called("ada").registration(store).await;
            registered += u32::from(store.append(registration).await.is_ok());
            store.shared_secret("any", &[1; 32]).await.unwrap();
        }
        assert_eq!(registered, 1);
    }
}

#[tokio::test]
async fn events_and_their_log_cannot_be_changed_or_deleted() {
    let world = open().await;
    Person::called("ada").registers(&*world.store()).await;
    let connection = world.connect();
    for sql in [
        "UPDATE events SET payload = '{}'",
        "DELETE FROM events",
        "UPDATE event_log SET leaf_hash = zeroblob(32)",
        "DELETE FROM event_log",
    ] {
        let refused = connection.execute(sql, []).unwrap_err().to_string();
        assert!(refused.contains("is never"), "{refused}");
    }
    assert_eq!(world.count("events").await, 1);
}

#[tokio::test]
async fn an_account_has_its_history_in_one_range_of_an_index() {
    let world = open().await;
    let ada = Person::called("ada");
    ada.registers(&*world.store()).await;
    ada.signs_in(&*world.store()).await;
    let connection = world.connect();
    let user = ada.user.to_string();
    let sql = "SELECT count(*) FROM events INDEXED BY events_by_user WHERE user_id = ?";
    let count: i64 = connection.query_row(sql, [user], |row| row.get(0)).unwrap();
    assert_eq!(count, 2);
}
