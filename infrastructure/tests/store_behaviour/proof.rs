//! The proof of the log: every kind of change to stored data is detected, and the difference is named.

#![expect(clippy::panic, reason = "what fails in a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{LogIntegrity, TransparencyLog};
use authlog_infrastructure::Store;
use authlog_infrastructure::leaf::{LeafInput, leaf_hash};
use authlog_infrastructure::system::SystemClock;
use authlog_infrastructure::transparency::ProvenLog;
use authlog_infrastructure::transparency::auditor::Auditor;
use authlog_infrastructure::transparency::checkpoint::Checkpoint;
use authlog_infrastructure::transparency::evidence::{check_evidence, evidence_of};
use authlog_infrastructure::transparency::export::{Extent, check_export, export};
use authlog_infrastructure::transparency::note::NoteKey;
use authlog_infrastructure::transparency::signer::{SignError, Signer, check, sign_all};
use authlog_infrastructure::transparency::tree::{Hash, includes, is_consistent};
use authlog_infrastructure::transparency::verify::{
    Difference, Verification, Verified, VerifyError, Whose,
};
use authlog_infrastructure::transparency::witness::{TrustedCheckpoint, Witness};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::people::Person;
use super::{LogEntry, World};

fn key() -> NoteKey {
    NoteKey::new("log.example", &[5; 32]).unwrap()
}

/// Signs the whole log like a node that remembers `trusted`, and returns the newest checkpoint.
async fn sign_after(
    world: &impl World,
    trusted: Option<TrustedCheckpoint>,
) -> Result<Option<TrustedCheckpoint>, SignError> {
    world.settle().await;
    sign_all(&*world.store(), &key(), trusted).await
}

/// Signs the whole log like a node that remembers nothing, and returns the size of the newest checkpoint.
async fn sign(world: &impl World) -> u64 {
    size_of(sign_after(world, None).await.unwrap().as_ref())
}

fn size_of(trusted: Option<&TrustedCheckpoint>) -> u64 {
    trusted.map_or(0, |it| it.checkpoint.tree_size)
}

async fn verify_against(
    world: &impl World,
    kept: Vec<Checkpoint>,
    repair: bool,
) -> Result<Verified, VerifyError> {
    let (store, key) = (world.store(), key());
    let verification = Verification {
        store: &*store,
        key: key.verifier(),
        kept,
        repair,
    };
    verification.run(|_, _| {}).await
}

/// The difference that `verify` has found.
#[track_caller]
fn difference(outcome: Result<Verified, VerifyError>) -> Difference {
    match outcome {
        Err(VerifyError::Differs(difference)) => difference,
        other => panic!("nothing differs: {other:?}"),
    }
}

async fn found(world: &impl World) -> Difference {
    difference(verify_against(world, vec![], false).await)
}

/// Ada registers, signs in twice, and Grace registers (1 to 4); after a checkpoint Ada signs in twice more (5 and 6),
/// and there is another.
async fn record_history(world: &impl World) -> Person {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    ada.signs_in(&*store).await;
    ada.signs_in(&*store).await;
    Person::called("grace").registers(&*store).await;
    assert_eq!(sign(world).await, 4);
    ada.signs_in(&*store).await;
    ada.signs_in(&*store).await;
    assert_eq!(sign(world).await, 6);
    world.drop_guards().await;
    ada
}

async fn entry(world: &impl World, log_index: i64) -> LogEntry {
    let log = world.event_log().await;
    let mut found = log.into_iter().filter(|entry| entry.log_index == log_index);
    found.next().unwrap()
}

fn is_event(entry: &LogEntry) -> String {
    format!(
        "aggregate_type = '{}' AND aggregate_id = '{}' AND sequence = {}",
        entry.aggregate_type, entry.aggregate_id, entry.sequence
    )
}

pub async fn an_unchanged_log_is_whole(world: &impl World) {
    let empty = verify_against(world, vec![], false).await.unwrap();
    assert_eq!((empty.events, empty.root), (0, Hash::of_nothing()));
    assert_eq!(sign(world).await, 0);

    record_history(world).await;
    let whole = verify_against(world, vec![], false).await.unwrap();
    assert_eq!((whole.events, whole.checkpoints, whole.vouched), (6, 2, 6));
    // An unchanged log is not signed again, and events that no checkpoint covers yet are no fault.
    assert_eq!(sign(world).await, 6);
    assert_eq!(world.count("checkpoints").await, 2);
    Person::called("joan").registers(&*world.store()).await;
    world.settle().await;
    let whole = verify_against(world, vec![], false).await.unwrap();
    assert_eq!((whole.events, whole.checkpoints, whole.vouched), (7, 2, 6));
}

pub async fn an_event_that_was_changed_is_named(world: &impl World) {
    record_history(world).await;
    let second = entry(world, 2).await;
    let event = is_event(&second);
    let named = |difference: Difference| {
        let Difference::EventChanged { log_index, name } = &difference else {
            panic!("{difference:?}");
        };
        assert_eq!((*log_index, &name.aggregate_id), (2, &second.aggregate_id));
        let words = difference.to_string();
        assert!(words.contains("event 2 (session/"), "{words}");
    };
    let before = world.stored_events().await.swap_remove(1);
    for (column, old, new) in [
        (
            "payload",
            &before.payload,
            before.payload.replacen(':', ": ", 1),
        ),
        (
            "metadata",
            &before.metadata,
            before.metadata.replacen(':', ": ", 1),
        ),
        ("event_type", &before.event_type, "LoggedOut".to_owned()),
        ("event_version", &before.event_version, "9".to_owned()),
    ] {
        let set = |text: &str| format!("UPDATE events SET {column} = '{text}' WHERE {event}");
        assert_ne!(*old, new);
        world.execute(&set(&new)).await;
        named(found(world).await);
        world.execute(&set(old)).await;
        verify_against(world, vec![], false).await.unwrap();
    }
    world
        .execute_own(
            &format!("UPDATE events SET recorded_at = recorded_at + 1 WHERE {event}"),
            &format!(
                "UPDATE events SET recorded_at = recorded_at + interval '1 microsecond' WHERE {event}"
            ),
        )
        .await;
    named(found(world).await);
}

/// Replaces the leaf of the entry by that of the changed event, as an attacker would.
async fn cover_up(world: &impl World, log_index: i64) {
    let entry = entry(world, log_index).await;
    let events = world.stored_events().await;
    let event = events
        .iter()
        .find(|event| event.aggregate_id == entry.aggregate_id && event.sequence == entry.sequence)
        .unwrap();
    let leaf = leaf_hash(&LeafInput {
        aggregate_type: &event.aggregate_type,
        aggregate_id: &event.aggregate_id,
        sequence: event.sequence,
        event_type: &event.event_type,
        event_version: &event.event_version,
        recorded_at_micros: event.recorded_at_micros,
        payload: &event.payload,
        metadata: &event.metadata,
    });
    let hex: String = leaf.iter().map(|byte| format!("{byte:02x}")).collect();
    let (sqlite, postgres) = (format!("x'{hex}'"), format!("'\\x{hex}'"));
    let set =
        |leaf| format!("UPDATE event_log SET leaf_hash = {leaf} WHERE log_index = {log_index}");
    world.execute_own(&set(sqlite), &set(postgres)).await;
}

pub async fn an_event_whose_leaf_was_changed_with_it_is_named(world: &impl World) {
    record_history(world).await;
    let last = entry(world, 5).await;
    let sql = format!(
        "UPDATE events SET event_version = '9' WHERE {}",
        is_event(&last)
    );
    world.execute(&sql).await;
    cover_up(world, 5).await;
    let difference = found(world).await;
    let (good, size, whose) = (4, 6, Whose::Stored);
    assert_eq!(difference, Difference::Root { good, size, whose });
    let words = difference.to_string();
    assert!(words.contains("one of 5 to 6"), "{words}");
    // The signer detects it too, before it signs anything on top of it.
    Person::called("joan").registers(&*world.store()).await;
    world.settle().await;
    let refused = sign_after(world, None).await;
    assert!(
        matches!(refused, Err(SignError::Tampered(_))),
        "{refused:?}"
    );
    assert_eq!(world.count("checkpoints").await, 2);
}

pub async fn events_that_were_swapped_are_named(world: &impl World) {
    record_history(world).await;
    for (from, to) in [(2, 1000), (3, 2), (1000, 3)] {
        let sql = format!("UPDATE event_log SET log_index = {to} WHERE log_index = {from}");
        world.execute(&sql).await;
    }
    let difference = found(world).await;
    let (good, size, whose) = (0, 4, Whose::Stored);
    assert_eq!(difference, Difference::Root { good, size, whose });
}

pub async fn a_swapped_ciphertext_is_named(world: &impl World) {
    record_history(world).await;
    let events = world.stored_events().await;
    let (ada, grace) = (&events[0], &events[3]);
    assert!(ada.payload.contains("sealed") && grace.payload.contains("sealed"));
    for (event, payload) in [(ada, &grace.payload), (grace, &ada.payload)] {
        let id = &event.aggregate_id;
        let sql = format!("UPDATE events SET payload = '{payload}' WHERE aggregate_id = '{id}'");
        world.execute(&sql).await;
    }
    assert!(matches!(
        found(world).await,
        Difference::EventChanged { log_index: 1, .. }
    ));
}

pub async fn a_deleted_last_event_is_detected(world: &impl World) {
    record_history(world).await;
    let last = entry(world, 6).await;
    world
        .execute(&format!("DELETE FROM events WHERE {}", is_event(&last)))
        .await;
    let difference = found(world).await;
    assert!(matches!(
        difference,
        Difference::EventMissing { log_index: 6, .. }
    ));
    world
        .execute("DELETE FROM event_log WHERE log_index = 6")
        .await;
    let difference = found(world).await;
    let (last, size, whose) = (5, 6, Whose::Stored);
    assert_eq!(difference, Difference::TooShort { last, size, whose });
    assert!(difference.to_string().starts_with("event 6 is missing"));
    let refused = sign_after(world, None).await;
    assert!(
        matches!(refused, Err(SignError::Tampered(_))),
        "{refused:?}"
    );
}

pub async fn a_deleted_account_is_detected(world: &impl World) {
    let ada = record_history(world).await;
    let user = ada.user;
    world
        .execute(&format!(
            "DELETE FROM event_log WHERE EXISTS (SELECT 1 FROM events e
              WHERE e.user_id = '{user}' AND e.aggregate_type = event_log.aggregate_type
                AND e.aggregate_id = event_log.aggregate_id AND e.sequence = event_log.sequence)"
        ))
        .await;
    world
        .execute(&format!("DELETE FROM events WHERE user_id = '{user}'"))
        .await;
    assert_eq!(world.count("event_log").await, 1);
    assert_eq!(found(world).await, Difference::EntryMissing(1));
    // Closing the gap does not help.
    world.execute("UPDATE event_log SET log_index = 1").await;
    let (last, size, whose) = (1, 4, Whose::Stored);
    assert_eq!(
        found(world).await,
        Difference::TooShort { last, size, whose }
    );
}

pub async fn an_event_that_was_added_outside_the_log_is_named(world: &impl World) {
    let ada = record_history(world).await;
    let role = r#"{"role":"admin"}"#;
    let metadata = format!(r#"{{"user_id":"{}"}}"#, ada.user);
    let columns =
        "aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata";
    let values = format!(
        "'user', '{}', 2, 'RoleChanged', '1', '{role}', '{metadata}'",
        ada.user
    );
    world
        .execute_own(
            &format!("INSERT INTO events ({columns}) VALUES ({values})"),
            // As of a transaction that the sequencer has passed.
            &format!("INSERT INTO events ({columns}, txid) VALUES ({values}, '3')"),
        )
        .await;
    let Difference::Unlogged(name) = found(world).await else {
        panic!("it was not found");
    };
    assert_eq!(name.to_string(), format!("user/{}/2", ada.user));
}

/// The result of an audit of the log that `trusted` covers.
async fn audited(world: &impl World, trusted: &TrustedCheckpoint) -> LogIntegrity {
    let witness = Arc::new(Witness::default());
    witness.agrees(Some(trusted.clone()));
    let mut integrity = witness.integrity();
    let (_leads, elected) = watch::channel(true);
    let (store, clock) = (world.store(), Arc::new(SystemClock));
    let mut auditor = Auditor::new(store, clock, elected, witness);
    let stop = CancellationToken::new();
    let auditing = tokio::spawn({
        let stop = stop.clone();
        async move { auditor.run(stop).await }
    });
    let found = integrity.wait_for(|it| it.tampered.is_some() || it.audit.passes > 0);
    let found = tokio::time::timeout(Duration::from_secs(60), found).await;
    let found = found.unwrap().unwrap().clone();
    stop.cancel();
    auditing.await.unwrap();
    found
}

/// A person registers and signs in six hundred times: more than a slice of the audit.
async fn record_long_history(world: &impl World) -> TrustedCheckpoint {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    for _ in 0..600 {
        ada.signs_in(&*store).await;
    }
    let trusted = sign_after(world, None).await.unwrap().unwrap();
    assert_eq!(trusted.checkpoint.tree_size, 601);
    world.drop_guards().await;
    trusted
}

pub async fn the_audit_of_a_running_node_compares_every_event(world: &impl World) {
    let trusted = record_long_history(world).await;
    let whole = audited(world, &trusted).await;
    assert_eq!(whole.tampered, None);
    let audit = whole.audit;
    assert_eq!((audit.checked, audit.of, audit.passes), (601, 601, 1));
    assert!(audit.completed_at.is_some());

    // In the first slice and in the second.
    for place in [300, 580] {
        let event = is_event(&entry(world, place).await);
        let keep = format!("CREATE TABLE kept AS SELECT * FROM events WHERE {event}");
        world.execute(&keep).await;
        let delete = format!("DELETE FROM events WHERE {event}");
        world.execute(&delete).await;
        let words = audited(world, &trusted).await.tampered.unwrap();
        let named = format!("event {place} (session/");
        assert!(
            words.contains(&named) && words.contains("is missing"),
            "{words}"
        );

        let columns = "position, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, recorded_at";
        world
            .execute_own(
                &format!("INSERT INTO events ({columns}) SELECT {columns} FROM kept"),
                &format!("INSERT INTO events ({columns}, txid) OVERRIDING SYSTEM VALUE SELECT {columns}, txid FROM kept"),
            )
            .await;
        world.execute("DROP TABLE kept").await;
        assert_eq!(audited(world, &trusted).await.tampered, None);
    }

    let change = |version| {
        let event = "aggregate_id = (SELECT aggregate_id FROM event_log WHERE log_index = 300)";
        format!("UPDATE events SET event_version = '{version}' WHERE {event}")
    };
    world.execute(&change("9")).await;
    let words = audited(world, &trusted).await.tampered.unwrap();
    assert!(
        words.contains("event 300") && words.contains("was changed"),
        "{words}"
    );
    // The leaf is changed as well, which the stored nodes of the tree do not show.
    cover_up(world, 300).await;
    let words = audited(world, &trusted).await.tampered.unwrap();
    assert!(
        words.contains("do not have the root that the newest checkpoint"),
        "{words}"
    );
}

pub async fn the_audit_of_a_running_node_finds_an_event_that_is_not_in_the_log(world: &impl World) {
    let trusted = record_long_history(world).await;
    let columns =
        "aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata";
    let values = r#"'user', 'eve', 2, 'RoleChanged', '1', '{"role":"admin"}', '{}'"#;
    world
        .execute_own(
            &format!("INSERT INTO events ({columns}) VALUES ({values})"),
            // As of a transaction that the sequencer has passed.
            &format!("INSERT INTO events ({columns}, txid) VALUES ({values}, '3')"),
        )
        .await;
    let words = audited(world, &trusted).await.tampered.unwrap();
    assert!(
        words.contains("user/eve/2") && words.contains("is not in the log"),
        "{words}"
    );
}

pub async fn the_audit_of_a_running_node_names_an_impossible_time(world: &impl World) {
    let trusted = record_long_history(world).await;
    let event = is_event(&entry(world, 7).await);
    for (sqlite, postgres) in [
        (i64::MAX, "infinity"),
        (i64::MIN, "-infinity"),
        (400_000_000_000_000_000, "294276-12-31"),
    ] {
        let set = |at: String| format!("UPDATE events SET recorded_at = {at} WHERE {event}");
        world
            .execute_own(&set(sqlite.to_string()), &set(format!("'{postgres}'")))
            .await;
        let words = audited(world, &trusted).await.tampered.unwrap();
        assert!(words.contains("event 7 (session/"), "{words}");
        assert!(words.contains("has a time that no calendar has"), "{words}");
    }
}

pub async fn a_leaf_of_another_length_is_an_alarm(world: &impl World) {
    let trusted = record_long_history(world).await;
    world
        .execute_own(
            "PRAGMA ignore_check_constraints = ON; UPDATE event_log SET leaf_hash = x'00' WHERE log_index = 600",
            r"UPDATE event_log SET leaf_hash = '\x00' WHERE log_index = 600",
        )
        .await;
    let witness = Arc::new(Witness::default());
    witness.agrees(Some(trusted));
    let mut integrity = witness.integrity();
    let (_leads, elected) = watch::channel(true);
    let mut signer = Signer::new(world.store(), Arc::new(key()), elected, witness);
    let stop = CancellationToken::new();
    let signing = tokio::spawn({
        let stop = stop.clone();
        async move { signer.run(stop).await }
    });
    let found = integrity.wait_for(|it| it.tampered.is_some());
    let found = tokio::time::timeout(Duration::from_secs(60), found).await;
    let words = found.unwrap().unwrap().tampered.clone().unwrap();
    assert!(
        words.contains("what this program does not write"),
        "{words}"
    );
    stop.cancel();
    signing.await.unwrap();
}

pub async fn a_forged_checkpoint_is_found(world: &impl World) {
    record_history(world).await;
    let root = Hash([7; 32]);
    let other = NoteKey::new("log.example", &[6; 32]).unwrap();
    for (note, words) in [
        (Checkpoint::sign(5, root, &other), "no signature"),
        (Checkpoint::sign(3, root, &key()), "that of size 3"),
        ("5\n".to_owned(), "not a signed note"),
    ] {
        let insert = format!("INSERT INTO checkpoints (tree_size, note) VALUES (5, '{note}')");
        world.execute(&insert).await;
        let difference = found(world).await.to_string();
        assert!(difference.contains("size 5 is forged"), "{difference}");
        assert!(difference.contains(words), "{difference}");
        world
            .execute("DELETE FROM checkpoints WHERE tree_size = 5")
            .await;
    }
    // A thief of the key signs a false root.
    let note = Checkpoint::sign(5, root, &key());
    let insert = format!("INSERT INTO checkpoints (tree_size, note) VALUES (5, '{note}')");
    world.execute(&insert).await;
    let (good, size, whose) = (4, 5, Whose::Stored);
    assert_eq!(found(world).await, Difference::Root { good, size, whose });
    world
        .execute("DELETE FROM checkpoints WHERE tree_size = 5")
        .await;
    // The signer continues from the newest checkpoint.
    let note = Checkpoint::sign(6, root, &other);
    let update = format!("UPDATE checkpoints SET note = '{note}' WHERE tree_size = 6");
    world.execute(&update).await;
    let refused = sign_after(world, None).await;
    let words = refused.unwrap_err().to_string();
    assert!(words.contains("size 6 is forged"), "{words}");
}

pub async fn a_log_that_was_rolled_back_contradicts_a_kept_checkpoint(world: &impl World) {
    record_history(world).await;
    let note = world
        .store()
        .latest_checkpoint()
        .await
        .unwrap()
        .unwrap()
        .note;
    let kept = Checkpoint::open(&note, key().verifier()).unwrap();
    verify_against(world, vec![kept.clone()], false)
        .await
        .unwrap();

    // Everything is as it was at 4, as if restored from a backup, and consistent in itself.
    let gone = [entry(world, 5).await, entry(world, 6).await];
    for entry in &gone {
        let sql = format!("DELETE FROM events WHERE {}", is_event(entry));
        world.execute(&sql).await;
    }
    world
        .execute("DELETE FROM event_log WHERE log_index > 4")
        .await;
    world
        .execute("DELETE FROM checkpoints WHERE tree_size > 4")
        .await;
    world
        .execute_own(
            "DELETE FROM event_log WHERE log_index > 4",
            "UPDATE sequencer SET last_index = 4",
        )
        .await;
    verify_against(world, vec![], false).await.unwrap();
    let outcome = verify_against(world, vec![kept.clone()], false).await;
    let (last, size, whose) = (4, 6, Whose::Kept);
    assert_eq!(
        difference(outcome),
        Difference::TooShort { last, size, whose }
    );

    // The log grows beyond its former length.
    for name in ["joan", "mary", "rosa"] {
        Person::called(name).registers(&*world.store()).await;
    }
    assert_eq!(sign(world).await, 7);
    verify_against(world, vec![], false).await.unwrap();
    let outcome = verify_against(world, vec![kept], false).await;
    let (good, size, whose) = (4, 6, Whose::Kept);
    assert_eq!(difference(outcome), Difference::Root { good, size, whose });
}

/// Removes everything after the fourth event, checkpoints and nodes included, as a person with write access to the
/// store can.
async fn cut_to_four(world: &impl World) {
    for place in 5..=6 {
        let entry = entry(world, place).await;
        let sql = format!("DELETE FROM events WHERE {}", is_event(&entry));
        world.execute(&sql).await;
    }
    for sql in [
        "DELETE FROM event_log WHERE log_index > 4",
        "DELETE FROM checkpoints WHERE tree_size > 4",
    ] {
        world.execute(sql).await;
    }
    world
        .execute_own(
            "DELETE FROM log_nodes WHERE level > 8",
            "UPDATE sequencer SET last_index = 4",
        )
        .await;
}

pub async fn a_node_that_remembers_a_checkpoint_signs_no_log_without_it(world: &impl World) {
    let ada = record_history(world).await;
    let trusted = sign_after(world, None).await.unwrap();
    assert_eq!(size_of(trusted.as_ref()), 6);
    cut_to_four(world).await;
    let refused = sign_after(world, trusted.clone()).await;
    assert!(
        matches!(refused, Err(SignError::Tampered(_))),
        "{refused:?}"
    );

    // The log grows again, to less than it had, to just as much, and beyond. A node without a memory signs that.
    for size in 5..=8 {
        ada.signs_in(&*world.store()).await;
        assert_eq!(sign(world).await, size);
        let refused = sign_after(world, trusted.clone()).await;
        let Err(SignError::Tampered(words)) = refused else {
            panic!("signed at {size}: {refused:?}");
        };
        assert!(
            size < 6 || words.contains("cut off and has grown again"),
            "{words}"
        );
    }
}

pub async fn a_cut_is_detected_in_a_log_that_ends_with_a_stored_node(world: &impl World) {
    fill(world, 512).await;
    let trusted = sign_after(world, None).await.unwrap();
    assert_eq!(size_of(trusted.as_ref()), 512);
    world.drop_guards().await;
    // The tree nodes above the deleted entries are left.
    world
        .execute("DELETE FROM event_log WHERE log_index > 510")
        .await;
    let refused = check(&*world.store(), &key(), trusted).await;
    assert!(matches!(refused.map(drop), Err(SignError::Tampered(_))));
}

pub async fn a_deleted_checkpoint_is_known_from_memory(world: &impl World) {
    record_history(world).await;
    let trusted = sign_after(world, None).await.unwrap();
    world.execute("DELETE FROM checkpoints").await;
    // The next checkpoint extends the remembered one.
    Person::called("joan").registers(&*world.store()).await;
    let signed = sign_after(world, trusted).await.unwrap();
    assert_eq!(size_of(signed.as_ref()), 7);
    assert_eq!(world.count("checkpoints").await, 1);
}

/// Makes the log `size` long.
async fn fill(world: &impl World, size: usize) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let mut lives = tokio::task::JoinSet::new();
    for runner in 0..20 {
        let (store, ada) = (Arc::clone(&store), ada.clone());
        lives.spawn(async move {
            for _ in (1 + runner..size).step_by(20) {
                ada.signs_in(&*store).await;
            }
        });
    }
    lives.join_all().await;
    world.settle().await;
}

pub async fn a_node_of_the_tree_is_compared_and_rewritten(world: &impl World) {
    fill(world, 700).await;
    assert_eq!(sign(world).await, 700);
    assert_eq!(world.count("log_nodes").await, 2);
    verify_against(world, vec![], false).await.unwrap();
    for sql in [
        "UPDATE log_nodes SET node_index = 2 WHERE node_index = 0",
        "DELETE FROM log_nodes WHERE node_index = 1",
        "DELETE FROM log_nodes",
    ] {
        world.execute(sql).await;
        let Difference::Node(_) = found(world).await else {
            panic!("{sql} was not found");
        };
        let signing = sign_after(world, None).await;
        assert!(matches!(signing, Err(SignError::Tampered(_))), "{sql}");
        let repaired = verify_against(world, vec![], true).await.unwrap();
        assert_eq!(repaired.repaired, 2);
        verify_against(world, vec![], false).await.unwrap();
        assert_eq!(sign(world).await, 700);
    }
}

pub async fn proofs_hold_at_every_size(world: &impl World) {
    fill(world, 600).await;
    sign(world).await;
    let store: Arc<dyn Store> = world.store();
    let log = ProvenLog::new(store.clone(), Arc::new(key()));
    let leaves = store.leaves(0..600).await.unwrap();
    let root = |size: usize| {
        let mut tree = authlog_infrastructure::transparency::tree::GrowingTree::default();
        leaves[..size]
            .iter()
            .for_each(|leaf| tree.push(*leaf, |_, _| {}));
        tree.root()
    };
    let hashes = |hashes: Vec<[u8; 32]>| hashes.into_iter().map(Hash).collect::<Vec<_>>();
    for size in [1, 2, 3, 255, 256, 257, 511, 512, 513, 599, 600_u64] {
        let whole = root(size as usize);
        for log_index in [1, size / 2, size / 3, size - 1, size] {
            if log_index == 0 {
                continue;
            }
            let proof = log.prove_inclusion(log_index, Some(size)).await.unwrap();
            let leaf = leaves[log_index as usize - 1];
            assert_eq!(proof.leaf_hash, leaf.0);
            let path = hashes(proof.hashes);
            assert!(includes(&path, size, whole, log_index - 1, leaf));
            let proof = log.prove_consistency(log_index, size).await.unwrap();
            let old = root(log_index as usize);
            assert!(is_consistent(
                &hashes(proof.hashes),
                log_index,
                old,
                size,
                whole
            ));
        }
    }
    assert!(log.prove_inclusion(601, None).await.is_err());
    assert!(log.prove_inclusion(1, Some(601)).await.is_err());
    assert!(log.prove_inclusion(0, None).await.is_err());
    assert!(log.prove_consistency(1, 601).await.is_err());
    assert!(log.prove_consistency(0, 5).await.is_err());
    assert!(log.prove_consistency(6, 5).await.is_err());
}

pub async fn an_export_verifies_and_no_line_of_it_can_be_changed_or_left_out(world: &impl World) {
    let ada = record_history(world).await;
    let store = world.store();
    let log = ProvenLog::new(store.clone(), Arc::new(key()));
    let (key, other) = (key(), NoteKey::new("log.example", &[6; 32]).unwrap());
    let account = Extent::Account {
        user: ada.user,
        opened_by: None,
    };
    for (extent, events) in [(Extent::Log, 6), (account, 5)] {
        let mut text = Vec::new();
        export(extent, &*store, &log, &mut text, |_, _| {})
            .await
            .unwrap();
        let exported = check_export(text.as_slice(), key.verifier()).unwrap();
        assert_eq!(
            (exported.events, exported.checkpoint.tree_size),
            (events, 6)
        );
        assert!(check_export(text.as_slice(), other.verifier()).is_err());
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for left_out in 0..lines.len() {
            let mut fewer = lines.clone();
            fewer.remove(left_out);
            let fewer = fewer.join("\n");
            let outcome = check_export(fewer.as_bytes(), key.verifier());
            assert!(outcome.is_err(), "without line {left_out}");
        }
        let mut swapped = lines.clone();
        swapped.swap(2, 3);
        let swapped = swapped.join("\n");
        assert!(check_export(swapped.as_bytes(), key.verifier()).is_err());
        for position in (0..text.len()).step_by(7) {
            let mut bytes = text.clone().into_bytes();
            bytes[position] ^= 1;
            let outcome = check_export(bytes.as_slice(), key.verifier());
            assert!(outcome.is_err(), "byte {position} of {text}");
        }
    }
    let evidence = evidence_of(3, &*store, &log).await.unwrap();
    let proven = check_evidence(&evidence, key.verifier()).unwrap();
    assert_eq!(
        (proven.record.log_index, proven.checkpoint.tree_size),
        (3, 6)
    );
    for (position, byte) in evidence.bytes().enumerate() {
        // Another bit, another case, and white space that would make no difference to JSON.
        for other in [byte ^ 1, byte ^ 0x20, b' ', b'\n'] {
            let mut bytes = evidence.clone().into_bytes();
            bytes[position] = other;
            let Ok(changed) = String::from_utf8(bytes) else {
                continue;
            };
            let outcome = check_evidence(&changed, key.verifier());
            let same = changed == evidence;
            assert_eq!(outcome.is_ok(), same, "{other:x} at byte {position}");
        }
    }
    assert!(evidence_of(7, &*store, &log).await.is_err());
    assert!(evidence_of(0, &*store, &log).await.is_err());
}
