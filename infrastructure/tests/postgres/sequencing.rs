//! The total order of all events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use authlog_application::ports::EventLog as _;
use authlog_infrastructure::Store;
use authlog_infrastructure::leaf::{LeafInput, leaf_hash};
use authlog_infrastructure::transparency::LogRecords as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{PostgresWorld, open, open_unsequenced, open_url};
use crate::store_behaviour::World;
use crate::store_behaviour::people::{Person, refresh};

const WRITERS: i64 = 8;
const SESSIONS: i64 = 12;
const REFRESHES: u32 = 30;
const EVENTS: i64 = WRITERS * (1 + SESSIONS * (1 + REFRESHES as i64));

/// Inserts the event of a stream called `$1`, in the transaction of that number unless it is null.
const INSERT: &str = r"
    INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, txid)
    VALUES ('session', $1, 1, 'LoggedIn', '1', '{}', '{}',
            coalesce($2::text::xid8, pg_current_xact_id()))";

/// One person refreshes several sessions by turns.
async fn lives(store: Arc<dyn Store>, name: String) {
    let person = Person::called(&name);
    person.registers(&*store).await;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(person.signs_in(&*store).await);
    }
    for generation in 0..REFRESHES {
        for session in &sessions {
            let refreshed = person.does_in(&*store, *session, refresh(generation, 0));
            refreshed.await.unwrap();
        }
    }
}

/// Every event is in the log, once, without a gap, and those of each stream in their order.
async fn assert_whole(world: &PostgresWorld) {
    let bounds: (i64, i64, i64) =
        sqlx::query_as("SELECT count(*), min(log_index), max(log_index) FROM event_log")
            .fetch_one(&world.sql)
            .await
            .unwrap();
    let events = world.count("events").await;
    assert_eq!(bounds, (events, 1, events));
    let out_of_order = world.number(
        r"
        SELECT count(*) FROM (
            SELECT sequence, row_number() OVER (
                PARTITION BY aggregate_type, aggregate_id ORDER BY log_index) AS nth
              FROM event_log) AS log
         WHERE sequence <> nth",
    );
    assert_eq!(out_of_order.await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sequencers_order_thousands_of_concurrent_events_without_a_gap() {
    let world = open_unsequenced().await;
    let other = open_url(&world.url, &world.master).await.unwrap();
    let shutdown = CancellationToken::new();
    let mut sequencers = JoinSet::new();
    for store in [&world.store, &other] {
        let (sequencer, stop) = (store.sequencer(), shutdown.clone());
        sequencers.spawn(async move { sequencer.run(stop).await });
    }
    let started = Instant::now();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let node = if writer % 2 == 0 {
            &world.store
        } else {
            &other
        };
        let store = Arc::clone(node) as Arc<dyn Store>;
        writers.spawn(lives(store, format!("writer{writer}")));
    }
    // In the middle of it the leader loses its connection, and one of the two takes over.
    tokio::time::sleep(Duration::from_millis(500)).await;
    while world.number("SELECT epoch FROM sequencer").await < 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let deposed = world.number(
        r"
        SELECT count(pg_terminate_backend(pid)) FROM pg_locks
         -- An advisory lock on a role has a key of two numbers; one on an account has a single number.
         WHERE locktype = 'advisory' AND objsubid = 2 AND granted
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    assert_eq!(deposed.await, 1, "one node leads");
    writers.join_all().await;
    let written = started.elapsed();
    world.settle().await;
    let ordered = started.elapsed();
    println!("{EVENTS} events written in {written:?}, in order after {ordered:?}");
    assert_eq!(world.count("events").await, EVENTS);
    assert_whole(&world).await;
    assert!(world.number("SELECT epoch FROM sequencer").await >= 2);

    shutdown.cancel();
    let stopped = tokio::time::timeout(Duration::from_secs(2), sequencers.join_all());
    stopped.await.unwrap();
}

#[tokio::test]
async fn an_open_transaction_delays_the_events_after_it_and_loses_none() {
    let world = open_unsequenced().await;
    let epoch = world.number("SELECT take_over_sequencer()").await;
    // Transactions of other tests on this server hold events back for a moment, too.
    let sequence_until = async |events| {
        let batch = format!("SELECT sequence_batch(100, {epoch})::bigint");
        let started = Instant::now();
        while world.count("event_log").await < events {
            assert!(started.elapsed() < Duration::from_secs(20));
            world.number(&batch).await;
        }
        world.number(&batch).await
    };
    Person::called("first").registers(&*world.store).await;
    let mut open = world.sql.begin().await.unwrap();
    sqlx::query(INSERT)
        .bind("second")
        .bind(None::<String>)
        .execute(&mut *open)
        .await
        .unwrap();
    Person::called("third").registers(&*world.store).await;
    assert_eq!(sequence_until(1).await, 0, "the third may not be first");

    open.commit().await.unwrap();
    sequence_until(3).await;
    assert_whole(&world).await;
    let second = world.number("SELECT log_index FROM event_log WHERE aggregate_id = 'second'");
    assert_eq!(second.await, 2);
}

#[tokio::test]
async fn a_leader_that_was_replaced_can_do_nothing_more() {
    let world = open_unsequenced().await;
    let earlier = world.number("SELECT take_over_sequencer()").await;
    let later = world.number("SELECT take_over_sequencer()").await;
    assert!(later > earlier);
    Person::called("ada").registers(&*world.store).await;
    let refused = sqlx::query("SELECT sequence_batch(100, $1)")
        .bind(earlier)
        .execute(&world.sql)
        .await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("another node leads"), "{error}");
    assert_eq!(world.count("event_log").await, 0);
}

#[tokio::test]
async fn events_restored_into_a_younger_cluster_keep_their_order_and_new_ones_follow() {
    let world = open_unsequenced().await;
    // As out of a dump: most transactions have numbers that this cluster has yet to reach, one has a number that it has
    // passed, and two events were in the log.
    for (id, txid) in [
        ("d", "3"),
        ("a", "900000000005"),
        ("b", "900000000001"),
        ("c", "900000000009"),
    ] {
        let insert = sqlx::query(INSERT).bind(id).bind(Some(txid));
        insert.execute(&world.sql).await.unwrap();
    }
    world
        .execute(
            r"
            INSERT INTO event_log
            SELECT CASE aggregate_id WHEN 'd' THEN 1 ELSE 2 END, aggregate_type, aggregate_id, sequence, ''
              FROM events WHERE aggregate_id IN ('d', 'b');
            UPDATE sequencer
               SET last_index = 2, last_txid = '900000000001', last_position = 3, epoch = 5",
        )
        .await;
    Person::called("ada").registers(&*world.store).await;
    // The numbers of two clusters cannot be compared, so nothing is known of how current the log is.
    assert!(world.store.coverage().await.is_err());

    let shutdown = CancellationToken::new();
    let _guard = shutdown.clone().drop_guard();
    let sequencer = world.store.sequencer();
    tokio::spawn(async move { sequencer.run(shutdown).await });
    world.settle().await;
    assert_whole(&world).await;
    assert!(world.store.coverage().await.is_ok());
    let log = world.event_log().await;
    let order: Vec<&str> = log.iter().map(|it| it.aggregate_id.as_str()).collect();
    assert_eq!(order[..4], ["d", "b", "a", "c"]);
}

#[tokio::test]
async fn a_leaf_hash_is_the_same_in_sql_and_in_rust() {
    let world = open_unsequenced().await;
    Person::called("ada").registers(&*world.store).await;
    // Before 1970, to the microsecond, and with what JSON escapes.
    world
        .execute(
            r#"
            INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, recorded_at)
            VALUES ('session', 'x', 1, 'LoggedIn', '1', '{"a":"é\n\u0000 ","b":1.50}', '{}', '1969-12-31T23:59:58.000001Z')"#,
        )
        .await;
    let hashes: Vec<Vec<u8>> = sqlx::query_scalar(
        r"
        SELECT leaf_hash(aggregate_type, aggregate_id, sequence, event_type, event_version,
                         recorded_at, payload, metadata)
          FROM events ORDER BY position",
    )
    .fetch_all(&world.sql)
    .await
    .unwrap();
    let events = world.stored_events().await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].recorded_at_micros, -1_999_999);
    for (event, hash) in events.iter().zip(hashes) {
        let expected = leaf_hash(&LeafInput {
            aggregate_type: &event.aggregate_type,
            aggregate_id: &event.aggregate_id,
            sequence: event.sequence,
            event_type: &event.event_type,
            event_version: &event.event_version,
            recorded_at_micros: event.recorded_at_micros,
            payload: &event.payload,
            metadata: &event.metadata,
        });
        assert_eq!(hash, expected, "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_of_a_database_do_not_change_the_log() {
    let world = open_unsequenced().await;
    for default in [
        "standard_conforming_strings = off",
        "default_transaction_isolation = serializable",
        "bytea_output = escape",
        "datestyle = German",
    ] {
        world
            .execute(&format!(
                "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {default}', current_database()); END $$"
            ))
            .await;
    }
    // Connections that are made from now on have them.
    let store = open_url(&world.url, &world.master).await.unwrap();
    let (sequencer, stop) = (store.sequencer(), CancellationToken::new());
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { sequencer.run(stop).await }
    });
    lives(store, "ada".to_owned()).await;
    world.settle().await;
    assert_whole(&world).await;
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_out_of_range_does_not_stop_the_sequencer() {
    let world = open().await;
    let ada = Person::called("ada");
    ada.registers(&*world.store).await;
    for (stream, instant) in [("a", "infinity"), ("b", "-infinity"), ("c", "294276-12-31")] {
        sqlx::query(
            r"
            INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, recorded_at)
            VALUES ('session', $1, 1, 'LoggedOut', '1', '{}', '{}', $2::text::timestamptz)",
        )
        .bind(stream)
        .bind(instant)
        .execute(&world.sql)
        .await
        .unwrap();
        ada.signs_in(&*world.store).await;
    }
    world.settle().await;
    assert_whole(&world).await;
    // They have the leaves that a reader computes.
    let checks = world.store.leaf_checks(1..8).await.unwrap();
    assert_eq!(checks.len(), 7);
    for check in &checks {
        assert_eq!(check.stored, check.computed, "{check:?}");
        let is_ours = ![2, 4, 6].contains(&check.log_index);
        assert_eq!(check.has_instant, is_ours, "{check:?}");
    }
}
