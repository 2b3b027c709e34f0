//! Tests of earlier states: a replay gives the rows as they were then.

use authlog_application::ports::{
    Account, HistoryFilter, LogFilter, Moment, PastEvent, SessionRecord,
};
use authlog_domain::{Timestamp, UserId};
use authlog_infrastructure::Store;
use serde_json::json;

use super::World;
use super::people::{ADDRESS, Person, USER_AGENT, append};
use super::read_models::Cast;
use super::system::Seeded;

/// The rows of one account after an append.
struct Remembered {
    index: u64,
    user: UserId,
    account: Option<Account>,
    sessions: Vec<SessionRecord>,
}

async fn remember(store: &dyn Store, cast: &Cast, index: u64, seen: &mut Vec<Remembered>) {
    for person in &cast.people {
        let mut sessions = Vec::new();
        for (owner, session) in &cast.sessions {
            if owner.user == person.user {
                let standing = store.session(*session).await.unwrap();
                sessions.push(standing.unwrap().session);
            }
        }
        sessions.sort_by_key(|session| session.id.to_string());
        seen.push(Remembered {
            index,
            user: person.user,
            account: store.account(person.user).await.unwrap(),
            sessions,
        });
    }
}

pub async fn the_state_at_an_index_is_what_the_rows_were_at_that_index(world: &impl World) {
    let store = world.store();
    for seed in 0..3 {
        let mut random_step = Seeded(seed);
        let mut cast = Cast::of(&format!("past{seed}-"));
        let (mut seen, mut reached) = (Vec::new(), store.log_head().await.unwrap().log_index);
        for _ in 0..40 {
            cast.step(&*store, &mut random_step).await;
            world.settle().await;
            let index = store.log_head().await.unwrap().log_index;
            // Each step appends one event at the most, so that no index is passed over.
            assert!(index <= reached + 1);
            if index > reached {
                remember(&*store, &cast, index, &mut seen).await;
                reached = index;
            }
        }
        assert!(seen.len() > 20, "{}", seen.len());
        for then in seen {
            let moment = Some(Moment::Index(then.index));
            let state = store.state_at(then.user, moment).await.unwrap();
            assert_eq!(state.account, then.account, "seed {seed} at {}", then.index);
            assert_eq!(
                state.sessions, then.sessions,
                "seed {seed} at {}",
                then.index
            );
        }
    }
}

pub async fn a_state_at_an_instant_ends_with_the_last_event_recorded_by_then(world: &impl World) {
    let store = world.store();
    let mut cast = Cast::of("instant");
    let mut random_step = Seeded(42);
    for _ in 0..40 {
        cast.step(&*store, &mut random_step).await;
    }
    world.settle().await;
    for person in &cast.people {
        let events = history(&*store, person.user, 1000).await;
        for (place, event) in events.iter().enumerate() {
            // If several events fall into one millisecond, the last one decides.
            let same = |later: &&PastEvent| later.recorded_at <= event.recorded_at;
            let last = events[place..].iter().rfind(same).unwrap();
            let moment = Some(Moment::Instant(event.recorded_at));
            let by_instant = store.state_at(person.user, moment).await.unwrap();
            let moment = Some(Moment::Index(last.log_index.unwrap()));
            let by_index = store.state_at(person.user, moment).await.unwrap();
            assert_eq!(by_instant, by_index);
        }
        let before = events[0]
            .recorded_at
            .minus(std::time::Duration::from_millis(1));
        let moment = Some(Moment::Instant(before));
        let nothing = store.state_at(person.user, moment).await.unwrap();
        assert_eq!((nothing.events, nothing.account), (0, None));
    }
}

pub async fn a_history_is_complete_at_every_page_size(world: &impl World) {
    let store = world.store();
    let mut cast = Cast::of("page");
    let mut random_step = Seeded(7);
    for _ in 0..60 {
        cast.step(&*store, &mut random_step).await;
    }
    world.settle().await;
    let everything = store
        .read_log(0, 1000, &LogFilter::default())
        .await
        .unwrap();
    for person in &cast.people {
        let expected: Vec<u64> = everything
            .iter()
            .filter(|event| event.user == Some(person.user))
            .map(|event| event.log_index)
            .collect();
        for limit in [1, 2, 7, 1000] {
            let events = history(&*store, person.user, limit).await;
            let indexes: Vec<u64> = events.iter().map(|it| it.log_index.unwrap()).collect();
            assert_eq!(indexes, expected, "in pages of {limit}");
        }
    }
}

pub async fn metadata_is_decrypted_and_reads_as_erased_without_its_key(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    ada.signs_in(&*store).await;
    for past in history(&*store, ada.user, 10).await {
        assert_eq!(past.event.metadata["ip"], json!(ADDRESS));
        assert_eq!(past.event.metadata["user_agent"], json!(USER_AGENT));
    }
    world
        .execute(&format!(
            "DELETE FROM subject_keys WHERE user_id = '{}'",
            ada.user
        ))
        .await;
    // At once, although this node has used the key a moment ago.
    for past in history(&*store, ada.user, 10).await {
        assert_eq!(past.event.metadata["ip"], json!({"erased": true}));
        assert_eq!(past.event.metadata["user_agent"], json!({"erased": true}));
    }
}

pub async fn a_filtered_page_examines_a_thousand_events_and_the_next_continues_after_them(
    world: &impl World,
) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    Person::called("bob").registers(&*store).await;
    for _ in 0..21 {
        let mut visits = Vec::new();
        for _ in 0..50 {
            visits.push(ada.visit().await);
        }
        append(&*store, visits).await.unwrap();
    }
    let session = ada.signs_in(&*store).await;
    world.settle().await;
    let events = history(&*store, ada.user, 1000).await;
    assert_eq!(events.len(), 1 + 2100 + 1);
    let place = |number: usize| events[number - 1].log_index;
    let of_types = |types: &[&str]| HistoryFilter {
        event_types: types.iter().map(|name| (*name).to_owned()).collect(),
        ..HistoryFilter::default()
    };
    let (first, last) = (events[0].clone(), events[2101].clone());
    let of_session = HistoryFilter {
        session: Some(session),
        ..HistoryFilter::default()
    };
    let since = HistoryFilter {
        since: Timestamp::parse("2999-01-01T00:00:00Z"),
        ..HistoryFilter::default()
    };
    let until = HistoryFilter {
        until: Timestamp::parse("1999-01-01T00:00:00Z"),
        ..HistoryFilter::default()
    };
    for (filter, found) in [
        (of_types(&["PasswordReset"]), [None, None]),
        (since, [None, None]),
        (until, [None, None]),
        (of_session, [None, Some(&last)]),
        (of_types(&["UserRegistered"]), [Some(&first), None]),
    ] {
        let (mut after, mut nexts, mut shown) = (0, Vec::new(), Vec::new());
        loop {
            let page = store.history(ada.user, after, 7, &filter).await.unwrap();
            shown.extend(page.events);
            nexts.push(page.next);
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(nexts, [place(1000), place(2000), None], "{filter:?}");
        let found: Vec<_> = found.into_iter().flatten().cloned().collect();
        assert_eq!(shown, found, "{filter:?}");
    }
    // A page that is full ends with its last event.
    let filter = of_types(&["LoggedIn"]);
    let page = store.history(ada.user, 0, 1, &filter).await.unwrap();
    assert_eq!(page.next, page.events[0].log_index);
}

/// The whole history, in pages of `limit`.
pub async fn history(store: &dyn Store, user: UserId, limit: u32) -> Vec<PastEvent> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let filter = HistoryFilter::default();
        let page = store.history(user, after, limit, &filter).await.unwrap();
        events.extend(page.events);
        match page.next {
            Some(next) => after = next,
            None => return events,
        }
    }
}
