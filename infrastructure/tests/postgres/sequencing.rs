//! The one order of all events.

use std::time::{Duration, Instant};

use authlog_application::ports::EventStore;
use authlog_infrastructure::leaf::{LeafInput, leaf_hash};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::server::{open, open_at};
use super::world::{Person, refreshed};

const WRITERS: i64 = 8;
const SESSIONS: i64 = 12;
const REFRESHES: u32 = 30;
/// A registration is two events.
const EVENTS: i64 = WRITERS * SESSIONS * (2 + REFRESHES as i64);

/// Many write at once, each several streams by turns.
async fn write_concurrently(store: &std::sync::Arc<impl EventStore + 'static>) {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            let people: Vec<Person> = (0..SESSIONS).map(|_| Person::new()).collect();
            for (nth, person) in (0..).zip(&people) {
                let number = writer * SESSIONS + nth;
                let append = person.registers(&format!("p{number}"), number);
                store.append(append).await.unwrap();
            }
            for generation in 1..=REFRESHES {
                for person in &people {
                    let append = person.session_grows(&*store, refreshed(generation)).await;
                    store.append(append).await.unwrap();
                }
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
}

async fn logged(sql: &PgPool) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM event_log");
    count.fetch_one(sql).await.unwrap()
}

async fn wait_until_logged(sql: &PgPool, events: i64) {
    let started = Instant::now();
    while logged(sql).await < events {
        let waited = started.elapsed();
        assert!(waited < Duration::from_secs(30), "{}", logged(sql).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Every event is in the log, once, without a gap, and those of each stream in their order.
async fn assert_whole(sql: &PgPool) {
    let (events, logged, first, last): (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM events), count(*), min(log_index), max(log_index) FROM event_log",
    )
    .fetch_one(sql)
    .await
    .unwrap();
    assert_eq!((logged, first, last), (events, 1, events));
    let out_of_order: i64 = sqlx::query_scalar(
        r"
        SELECT count(*) FROM (
            SELECT sequence, row_number() OVER (
                PARTITION BY aggregate_type, aggregate_id ORDER BY log_index) AS nth
              FROM event_log) AS log
         WHERE sequence <> nth",
    )
    .fetch_one(sql)
    .await
    .unwrap();
    assert_eq!(out_of_order, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sequencers_order_thousands_of_concurrent_events_without_a_gap() {
    let it = open().await;
    let other = open_at(&it.url, &it.master).await;
    let shutdown = CancellationToken::new();
    let mut sequencers = JoinSet::new();
    for store in [&it.store, &other] {
        sequencers.spawn(store.sequencer().run(shutdown.clone()));
    }
    let started = Instant::now();
    // Halfway through, whoever leads loses its connection, and the other or it again takes over.
    let deposed = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let ended: i64 = sqlx::query_scalar(
            r"
            SELECT count(pg_terminate_backend(pid)) FROM pg_locks
             WHERE locktype = 'advisory' AND granted
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_one(&it.sql)
        .await
        .unwrap();
        assert_eq!(ended, 1, "one node leads");
    };
    tokio::join!(write_concurrently(&it.store), deposed);
    let written = started.elapsed();
    wait_until_logged(&it.sql, EVENTS).await;
    println!(
        "{EVENTS} events written in {written:?}, in order after {:?}",
        started.elapsed()
    );
    assert_whole(&it.sql).await;
    let epoch: i64 = sqlx::query_scalar("SELECT epoch FROM sequencer")
        .fetch_one(&it.sql)
        .await
        .unwrap();
    assert!(epoch >= 2, "a leader was replaced");

    shutdown.cancel();
    let stopped = tokio::time::timeout(Duration::from_secs(2), sequencers.join_all());
    stopped.await.unwrap();
}

#[tokio::test]
async fn an_open_transaction_delays_the_events_after_it_and_loses_none() {
    let it = open().await;
    let epoch: i64 = sqlx::query_scalar("SELECT take_over_sequencer()")
        .fetch_one(&it.sql)
        .await
        .unwrap();
    let batch = || sqlx::query_scalar::<_, i32>("SELECT sequence_batch(100, $1)").bind(epoch);
    it.store
        .append(Person::new().registers("first", 1))
        .await
        .unwrap();

    let mut open = it.sql.begin().await.unwrap();
    sqlx::query(
        r"
        INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
        VALUES ('session', 'slow', 1, 'LoggedIn', '1', '{}', '{}')",
    )
    .execute(&mut *open)
    .await
    .unwrap();
    it.store
        .append(Person::new().registers("third", 3))
        .await
        .unwrap();
    assert_eq!(batch().fetch_one(&it.sql).await.unwrap(), 2);
    assert_eq!(batch().fetch_one(&it.sql).await.unwrap(), 0);

    open.commit().await.unwrap();
    // Other tests' transactions on this server may hold these back for a moment.
    let started = Instant::now();
    while logged(&it.sql).await < 5 {
        assert!(started.elapsed() < Duration::from_secs(10));
        batch().fetch_one(&it.sql).await.unwrap();
    }
    assert_whole(&it.sql).await;
    let slow: i64 =
        sqlx::query_scalar("SELECT log_index FROM event_log WHERE aggregate_id = 'slow'")
            .fetch_one(&it.sql)
            .await
            .unwrap();
    assert_eq!(slow, 3);
}

#[tokio::test]
async fn a_leader_that_was_replaced_can_do_nothing_more() {
    let it = open().await;
    let lead = || sqlx::query_scalar::<_, i64>("SELECT take_over_sequencer()");
    let earlier = lead().fetch_one(&it.sql).await.unwrap();
    let later = lead().fetch_one(&it.sql).await.unwrap();
    assert!(later > earlier);
    it.store
        .append(Person::new().registers("ann", 1))
        .await
        .unwrap();
    let refused = sqlx::query("SELECT sequence_batch(100, $1)")
        .bind(earlier)
        .execute(&it.sql)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("another node leads"),
        "{refused}"
    );
    assert_eq!(logged(&it.sql).await, 0);
}

#[tokio::test]
async fn events_restored_into_a_younger_cluster_keep_their_order_and_new_ones_follow() {
    let it = open().await;
    // As a restored dump has them: the mark among numbers that this cluster has yet to reach, and one event after it.
    for (id, txid) in [
        ("a", 900_000_000_005_i64),
        ("b", 900_000_000_001),
        ("c", 900_000_000_009),
    ] {
        sqlx::query(
            r"
            INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, txid)
            VALUES ('session', $1, 1, 'LoggedIn', '1', '{}', '{}', $2::text::xid8)",
        )
        .bind(id)
        .bind(txid.to_string())
        .execute(&it.sql)
        .await
        .unwrap();
    }
    sqlx::raw_sql(
        r"
        INSERT INTO event_log
        SELECT 1, aggregate_type, aggregate_id, sequence, '' FROM events WHERE aggregate_id = 'b';
        UPDATE sequencer SET last_index = 1, last_txid = '900000000001', last_position = 2, epoch = 5",
    )
    .execute(&it.sql)
    .await
    .unwrap();
    it.store
        .append(Person::new().registers("ann", 1))
        .await
        .unwrap();

    let shutdown = CancellationToken::new();
    let sequencer = tokio::spawn(it.store.sequencer().run(shutdown.clone()));
    wait_until_logged(&it.sql, 5).await;
    assert_whole(&it.sql).await;
    let order: Vec<String> = sqlx::query_scalar(
        "SELECT aggregate_id FROM event_log WHERE log_index <= 3 ORDER BY log_index",
    )
    .fetch_all(&it.sql)
    .await
    .unwrap();
    assert_eq!(order, ["b", "a", "c"]);
    shutdown.cancel();
    sequencer.await.unwrap();
}

#[tokio::test]
async fn a_leaf_hash_is_the_same_in_sql_and_in_rust() {
    let it = open().await;
    it.store
        .append(Person::new().registers("ann", 1))
        .await
        .unwrap();
    // Before 1970, to the microsecond, and with what JSON escapes.
    sqlx::query(
        r#"
        INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, recorded_at)
        VALUES ('session', 'x', 1, 'LoggedIn', '1', '{"a":"é\n\u0000 ","b":1.50}', '{}', '1969-12-31T23:59:58.000001Z')"#,
    )
    .execute(&it.sql)
    .await
    .unwrap();
    type Stored = (
        String,
        String,
        i64,
        String,
        String,
        time::OffsetDateTime,
        String,
        String,
        Vec<u8>,
    );
    let stored: Vec<Stored> = sqlx::query_as(
        r"
        SELECT aggregate_type, aggregate_id, sequence, event_type, event_version, recorded_at,
               payload::text, metadata::text,
               leaf_hash(aggregate_type, aggregate_id, sequence, event_type, event_version,
                         recorded_at, payload, metadata)
          FROM events",
    )
    .fetch_all(&it.sql)
    .await
    .unwrap();
    assert_eq!(stored.len(), 3);
    for (kind, id, sequence, event_type, event_version, recorded_at, payload, metadata, hash) in
        &stored
    {
        let micros = recorded_at.unix_timestamp_nanos() / 1000;
        let expected = leaf_hash(&LeafInput {
            aggregate_type: kind,
            aggregate_id: id,
            sequence: *sequence,
            event_type,
            event_version,
            recorded_at_micros: i64::try_from(micros).unwrap(),
            payload,
            metadata,
        });
        assert_eq!(hash, &expected, "{kind} {id}");
    }
}
