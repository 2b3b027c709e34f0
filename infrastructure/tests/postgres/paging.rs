//! Pages of accounts, of sessions and of histories: what PostgreSQL reads for them, and their order after a restore.

use std::time::Duration;

use authlog_application::ports::HistoryFilter;
use authlog_domain::AccountNumber;
use authlog_infrastructure::Store;
use tokio_util::sync::CancellationToken;

use super::{PostgresWorld, open, open_unsequenced};
use crate::store_behaviour::World;
use crate::store_behaviour::people::{Person, append};
use crate::store_behaviour::system::now;
use crate::store_behaviour::time_travel::history;

/// How often each page is read: often enough that nothing which happens by the way looks like a part of it.
const TIMES: i64 = 10;

#[tokio::test]
async fn a_page_reads_of_an_account_no_more_than_it_looks_at() {
    let world = open().await;
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    for _ in 0..15 {
        let mut visits = Vec::new();
        for _ in 0..100 {
            visits.push(ada.visit().await);
        }
        append(&*store, visits).await.unwrap();
    }
    world.settle().await;
    let of_no_event = HistoryFilter {
        event_types: vec!["PasswordReset".to_owned()],
        ..HistoryFilter::default()
    };
    for (filter, looks_at) in [
        (HistoryFilter::default(), 1),
        (of_no_event, i64::from(HistoryFilter::LOOKED_AT)),
    ] {
        let before = entries_read(&world, "events_of_user_in_order").await;
        on_another_node(&world, async |node| {
            let page = node.history(ada.user, 500, 1, &filter).await.unwrap();
            assert_eq!(page.next, Some(500 + looks_at.unsigned_abs()));
        })
        .await;
        let read = entries_read(&world, "events_of_user_in_order").await - before;
        assert!((TIMES..=TIMES * (looks_at + 1)).contains(&read), "{read}");
    }
}

/// Reads a page [`TIMES`] times on a node of its own, whose connections have said what they read once they ended.
async fn on_another_node(world: &PostgresWorld, read: impl AsyncFn(&dyn Store)) {
    let connected = connections(world).await;
    let node = world.another_node().await;
    for _ in 0..TIMES {
        read(&*node).await;
    }
    drop(node);
    let ended = async {
        while connections(world).await > connected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let within = Duration::from_secs(30);
    tokio::time::timeout(within, ended).await.unwrap();
}

#[tokio::test]
async fn a_page_of_accounts_reads_no_more_accounts_than_it_holds() {
    let world = open_unsequenced().await;
    Person::called("ada").registers(&*world.store).await;
    copy_accounts(&world, "generate_series(2, 5000)").await;
    // A run of erased accounts costs nothing.
    world
        .execute("DELETE FROM accounts WHERE number BETWEEN 1001 AND 3000")
        .await;
    world
        .execute("VACUUM (INDEX_CLEANUP on) account_places")
        .await;
    let index = "account_places_in_order";
    let before = entries_read(&world, index).await;
    let scanned = rows_read(&world, "accounts").await;
    on_another_node(&world, async |node| {
        let page = node.accounts(Some(AccountNumber::new(990)), 50).await;
        let numbers: Vec<_> = page.unwrap().iter().map(|it| it.number.get()).collect();
        let expected: Vec<_> = (991..=1000).chain(3001..=3040).collect();
        assert_eq!(numbers, expected);
    })
    .await;
    let read = entries_read(&world, index).await - before;
    assert!((TIMES..=TIMES * 51).contains(&read), "{read}");
    assert!(rows_read(&world, "accounts").await - scanned < 1000);
}

/// Makes accounts of these numbers, like the ones that are there.
async fn copy_accounts(world: &PostgresWorld, numbers: &str) {
    let copies = format!(
        r"INSERT INTO accounts
          SELECT copy.* FROM (SELECT to_jsonb(a) AS account FROM accounts a LIMIT 1) AS first, {numbers} AS n,
                 jsonb_populate_record(NULL::accounts, account || jsonb_build_object('user_id', md5(n::text), 'number', n)) AS copy"
    );
    world.execute(&copies).await;
}

#[tokio::test]
async fn a_page_of_sessions_reads_no_more_than_it_looks_at() {
    const LOOKS_AT: i64 = 1000;
    let world = open_unsequenced().await;
    let ada = Person::called("ada");
    ada.registers(&*world.store).await;
    ada.signs_in(&*world.store).await;
    world
        .execute(
            r"INSERT INTO sessions
              SELECT copy.* FROM (SELECT to_jsonb(s) AS session FROM sessions s LIMIT 1) AS first, generate_series(2, 5000) AS n,
                     jsonb_populate_record(NULL::sessions, session || jsonb_build_object('session_id', md5(n::text)::uuid)) AS copy",
        )
        .await;
    let before = entries_read(&world, "sessions_in_order").await;
    let scanned = rows_read(&world, "sessions").await;
    on_another_node(&world, async |node| {
        let page = node.live_sessions(ada.user, now(), None, 50).await.unwrap();
        assert_eq!(page.sessions.len(), 50);
    })
    .await;
    let read = entries_read(&world, "sessions_in_order").await - before;
    assert!((TIMES..=TIMES * (LOOKS_AT + 1)).contains(&read), "{read}");
    assert!(rows_read(&world, "sessions").await - scanned < 1000);
}

#[tokio::test]
async fn an_account_waits_for_a_transaction_that_began_before_its_own() {
    let world = open_unsequenced().await;
    let store = world.store();
    Person::called("ada").registers(&*store).await;
    let mut slow = world.sql.begin().await.unwrap();
    sqlx::query(
        r"INSERT INTO accounts
          SELECT (jsonb_populate_record(a, jsonb_build_object('user_id', gen_random_uuid(), 'number', 2))).*
            FROM accounts a",
    )
    .execute(&mut *slow)
    .await
    .unwrap();
    let bob = Person::called("bob").registration_as(3).await;
    store.append(bob).await.unwrap();
    let after_the_first = async || {
        let page = store.accounts(Some(AccountNumber::new(1)), 10).await;
        let numbers = page.unwrap().into_iter().map(|it| it.number.get());
        numbers.collect::<Vec<_>>()
    };
    assert_eq!(after_the_first().await, [0_i64; 0]);
    slow.commit().await.unwrap();
    // Transactions of other tests are on the same server.
    let listed = async {
        while after_the_first().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        after_the_first().await
    };
    let within = Duration::from_secs(60);
    let listed = tokio::time::timeout(within, listed).await.unwrap();
    assert_eq!(listed, [2, 3]);
}

#[tokio::test]
async fn accounts_restored_from_a_backup_begin_the_list() {
    let world = open_unsequenced().await;
    let store = world.store();
    for number in 1..=3 {
        let person = Person::called(&format!("person{number}"));
        store
            .append(person.registration_as(number).await)
            .await
            .unwrap();
    }
    let list = async |after: Option<i64>| {
        let page = store.accounts(after.map(AccountNumber::new), 10).await;
        let numbers = page.unwrap().into_iter().map(|it| it.number.get());
        numbers.collect::<Vec<_>>()
    };
    // As out of a dump of a cluster that had more transactions.
    world.drop_guards().await;
    for table in ["events", "account_places"] {
        world
            .execute(&format!("UPDATE {table} SET txid = '900000000000'"))
            .await;
    }
    assert_eq!(list(None).await, [1, 2, 3]);
    world.number("SELECT take_over_sequencer()").await;
    let late = Person::called("late").registration_as(4).await;
    store.append(late).await.unwrap();
    let listed = async {
        while list(Some(3)).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let within = Duration::from_secs(60);
    tokio::time::timeout(within, listed).await.unwrap();
    assert_eq!(list(None).await, [1, 2, 3, 4]);
}

/// Entries that were read of an index.
async fn entries_read(world: &PostgresWorld, index: &str) -> i64 {
    let sql =
        format!("SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = '{index}'");
    world.number(&sql).await
}

/// Rows of a table that were read without an index.
async fn rows_read(world: &PostgresWorld, table: &str) -> i64 {
    let sql = format!("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = '{table}'");
    world.number(&sql).await
}

async fn connections(world: &PostgresWorld) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()";
    world.number(sql).await
}

#[tokio::test]
async fn a_history_restored_from_a_backup_is_read_in_the_order_of_the_log() {
    let world = open_unsequenced().await;
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    for _ in 0..7 {
        ada.signs_in(&*store).await;
    }
    // As out of a dump of an older cluster, where later events belonged to earlier transactions.
    world.drop_guards().await;
    world
        .execute("UPDATE events SET txid = (900000000000 + 37 * position % 8)::text::xid8")
        .await;
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let sequencer = world.store.sequencer();
    tokio::spawn(async move { sequencer.run(stop).await });
    world.settle().await;
    assert!(world.number("SELECT min_position FROM sequencer").await >= 8);
    for _ in 0..4 {
        ada.signs_in(&*store).await;
    }
    world.settle().await;
    for limit in [1, 3, 8, 9, 1000] {
        let events = history(&*store, ada.user, limit).await;
        let places: Vec<_> = events.iter().filter_map(|it| it.log_index).collect();
        let expected: Vec<_> = (1..=12).collect();
        assert_eq!(places, expected, "in pages of {limit}");
    }
}
