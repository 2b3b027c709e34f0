//! Pages of one account's history: what PostgreSQL reads for them, and their order after a restore.

use std::time::Duration;

use authlog_application::ports::HistoryFilter;
use tokio_util::sync::CancellationToken;

use super::{PostgresWorld, open, open_unsequenced};
use crate::store_behaviour::World;
use crate::store_behaviour::people::{Person, append};
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
        let before = entries_read(&world).await;
        let connected = connections(&world).await;
        let node = world.another_node().await;
        for _ in 0..TIMES {
            let page = node.history(ada.user, 500, 1, &filter).await.unwrap();
            assert_eq!(page.next, Some(500 + looks_at.unsigned_abs()));
        }
        drop(node);
        // A connection that ends has said what it read.
        let ended = async {
            while connections(&world).await > connected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let within = Duration::from_secs(30);
        tokio::time::timeout(within, ended).await.unwrap();
        let read = entries_read(&world).await - before;
        assert!((TIMES..=TIMES * (looks_at + 1)).contains(&read), "{read}");
    }
}

/// Entries that were read of the index of accounts' events.
async fn entries_read(world: &PostgresWorld) -> i64 {
    let sql = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'events_of_user_in_order'";
    world.number(sql).await
}

async fn connections(world: &PostgresWorld) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()";
    world.number(sql).await
}

#[tokio::test]
async fn a_history_that_came_out_of_a_backup_is_read_in_the_order_of_the_log() {
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
        assert_eq!(places, Vec::from_iter(1..=12), "in pages of {limit}");
    }
}
