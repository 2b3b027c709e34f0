//! Tests of the event log: its order, its leaves, and reading it.

use std::collections::{HashMap, HashSet};

use authlog_application::ports::{LogCursor, LogFilter, ReadOnError};
use authlog_infrastructure::leaf::{LeafInput, leaf_hash};
use tokio::task::JoinSet;

use super::people::{Person, append, refresh};
use super::{StoredEvent, World};

/// Concurrent registrations, sign-ins, refreshes and sign-outs on two nodes. Some of them are refused or conflict.
async fn record_activity(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    let mut lives = JoinSet::new();
    for number in 0..10 {
        let store = nodes[number % nodes.len()].clone();
        lives.spawn(async move {
            // Each name is wanted twice.
            let person = Person::called(&format!("person{}", number / 2));
            if store
                .append(person.registration(&*store).await)
                .await
                .is_err()
            {
                return;
            }
            for _ in 0..5 {
                let session = person.signs_in(&*store).await;
                let staged = person.decides_in(&*store, session, refresh(0, 0)).await;
                let staged = staged.unwrap();
                let (one, two) = tokio::join!(
                    append(&*store, vec![staged.clone()]),
                    append(&*store, vec![staged])
                );
                assert!(one.is_ok() != two.is_ok());
                person.signs_out(&*store, session).await;
            }
        });
    }
    lives.join_all().await;
    world.settle().await;
}

pub async fn the_log_is_dense_complete_and_in_order_of_each_stream(world: &impl World) {
    record_activity(world).await;
    let log = world.event_log().await;
    let indexes: Vec<i64> = log.iter().map(|entry| entry.log_index).collect();
    assert_eq!(indexes, (1..=log.len() as i64).collect::<Vec<_>>());
    assert_eq!(log.len(), 5 * (1 + 5 * 3));

    let mut next = HashMap::new();
    for entry in &log {
        let stream = (&entry.aggregate_type, &entry.aggregate_id);
        let expected = next.entry(stream).or_insert(1);
        assert_eq!(entry.sequence, *expected, "{entry:?}");
        *expected += 1;
    }
    let names: HashSet<_> = log
        .iter()
        .map(|entry| (&*entry.aggregate_type, &*entry.aggregate_id, entry.sequence))
        .collect();
    let events = world.stored_events().await;
    let stored: HashSet<_> = events.iter().map(name).collect();
    assert_eq!(names, stored);
}

pub async fn each_leaf_is_the_hash_of_the_stored_event(world: &impl World) {
    record_activity(world).await;
    let events = world.stored_events().await;
    let leaves: HashMap<_, _> = events
        .iter()
        .map(|event| {
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
            (name(event), leaf)
        })
        .collect();
    let log = world.event_log().await;
    assert!(!log.is_empty());
    for entry in &log {
        let name = (&*entry.aggregate_type, &*entry.aggregate_id, entry.sequence);
        assert_eq!(entry.leaf_hash, leaves[&name], "{entry:?}");
    }
}

pub async fn a_reader_gets_exactly_the_events_that_match_the_filter(world: &impl World) {
    record_activity(world).await;
    let store = world.store();
    let everything = LogFilter::default();
    let log = store.read_log(0, 1000, &everything).await.unwrap();
    let indexes: Vec<u64> = log.iter().map(|event| event.log_index).collect();
    assert_eq!(indexes, (1..=80).collect::<Vec<_>>());
    let users = [None, log[0].user, log[79].user];
    let types: [&[&str]; 4] = [
        &[],
        &["LoggedIn"],
        &["UserRegistered", "LoggedOut"],
        &["Unheard"],
    ];
    for (user, types) in users
        .iter()
        .flat_map(|user| types.iter().map(move |types| (*user, *types)))
    {
        for (after, until) in [(0, None), (7, Some(60)), (33, Some(34)), (80, None)] {
            for limit in [3, 1000] {
                let filter = LogFilter {
                    user,
                    event_types: types.iter().map(|name| (*name).to_owned()).collect(),
                    until,
                };
                let expected: Vec<_> = log
                    .iter()
                    .filter(|event| event.log_index > after && filter.matches(event))
                    .take(limit as usize)
                    .cloned()
                    .collect();
                let read = store.read_log(after, limit, &filter).await.unwrap();
                assert_eq!(read, expected, "after {after}, {limit} of {filter:?}");
            }
        }
    }
    assert_eq!(store.log_head().await.unwrap().log_index, 80);
}

pub async fn a_range_of_the_log_gives_the_changed_accounts(world: &impl World) {
    record_activity(world).await;
    let store = world.store();
    let log = store
        .read_log(0, 1000, &LogFilter::default())
        .await
        .unwrap();
    for (after, limit) in [(0, 1000), (0, 80), (0, 79), (7, 20), (33, 1), (80, 10)] {
        let stretch = log.iter().skip(after as usize).take(limit as usize);
        let changed: HashSet<_> = stretch
            .filter(|event| event.event.aggregate_type == "user")
            .filter_map(|event| event.user)
            .collect();
        let from = LogCursor::unproven(after);
        let found = store.changed_accounts(from, limit).await.unwrap();
        assert_eq!(found.accounts.len(), changed.len(), "each once");
        assert_eq!(found.accounts.into_iter().collect::<HashSet<_>>(), changed);
        let reached = 80.min(after + u64::from(limit));
        assert_eq!(found.cursor, log[reached as usize - 1].cursor());
        assert_eq!(found.has_more, reached < 80);
    }
}

pub async fn a_cursor_is_confirmed_by_the_entry_and_not_by_its_index_alone(world: &impl World) {
    record_activity(world).await;
    let store = world.store();
    let everything = LogFilter::default();
    let log = store.read_log(0, 1000, &everything).await.unwrap();
    let to_30 = LogFilter {
        until: Some(30),
        ..LogFilter::default()
    };
    let of_no_type = LogFilter {
        event_types: vec!["NoSuchEvent".to_owned()],
        ..to_30.clone()
    };
    // Up to a full page, up to a given index, and where nothing matches; each from an index alone and from an entry.
    for (after, limit, filter, reached) in [
        (0, 20, &everything, 20),
        (0, 100, &to_30, 30),
        (7, 100, &of_no_type, 30),
        (75, 100, &everything, 80),
        (80, 100, &everything, 80),
    ] {
        let proven = usize::checked_sub(after, 1).map(|index| log[index].cursor());
        for from in [
            LogCursor::unproven(after as u64),
            proven.unwrap_or_default(),
        ] {
            let page = store.read_on(from, limit, filter).await.unwrap();
            assert_eq!(page.cursor, log[reached - 1].cursor(), "after {after}");
            let expected = log[after..reached]
                .iter()
                .filter(|event| filter.matches(event));
            assert!(page.events.iter().eq(expected), "after {after}");
        }
    }
    // An entry of another history, and a place that this one does not have.
    let other = LogCursor {
        leaf_hash: Some([7; 32]),
        ..log[39].cursor()
    };
    let beyond = LogCursor {
        log_index: 81,
        ..log[79].cursor()
    };
    for cursor in [other, beyond, LogCursor::unproven(81)] {
        let page = store.read_on(cursor, 10, &everything).await;
        assert!(changed_at(&page, cursor.log_index), "{cursor:?}");
        let accounts = store.changed_accounts(cursor, 10).await;
        assert!(changed_at(&accounts, cursor.log_index), "{cursor:?}");
    }
    // A page that should reach beyond the end of the log is refused and not cut short.
    let to_81 = LogFilter {
        until: Some(81),
        ..LogFilter::default()
    };
    let page = store.read_on(log[69].cursor(), 100, &to_81).await;
    assert!(changed_at(&page, 81));
}

fn changed_at<T>(read: &Result<T, ReadOnError>, place: u64) -> bool {
    matches!(read, Err(ReadOnError::HistoryChanged(at)) if *at == place)
}

fn name(event: &StoredEvent) -> (&str, &str, i64) {
    (&event.aggregate_type, &event.aggregate_id, event.sequence)
}
