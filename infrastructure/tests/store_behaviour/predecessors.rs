//! Tests of appends that are refused: without the preceding event, for an account that does not exist, or after the
//! deadline.
//!
//! Rows are deleted here to simulate a failover that lost the last transactions.

use std::time::Duration;

use authlog_application::ports::{Append, AppendError, StoreError};
use authlog_domain::session::{LogOut, SessionCommand};
use authlog_domain::user::{ChangeRole, UserCommand};
use authlog_domain::{AggregateKind, Role, SessionId, UserId};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::people::{Person, append, refresh, session_stream};
use super::system::{now, random};
use super::{World, footprint};

/// Deletes the events of a stream.
async fn lose(world: &impl World, kind: AggregateKind, id: &str) {
    world.settle().await;
    world.drop_guards().await;
    let kind = kind.as_str();
    let lost = format!("aggregate_type = '{kind}' AND aggregate_id = '{id}'");
    for sql in [
        format!("DELETE FROM event_log WHERE {lost}"),
        format!("DELETE FROM events WHERE {lost}"),
    ] {
        world.execute(&sql).await;
    }
}

async fn lose_session(world: &impl World, session: SessionId) {
    let id = session.to_string();
    lose(world, AggregateKind::Session, &id).await;
    world
        .execute(&format!("DELETE FROM sessions WHERE session_id = '{id}'"))
        .await;
}

async fn lose_account_row(world: &impl World, user: UserId) {
    world
        .execute(&format!("DELETE FROM accounts WHERE user_id = '{user}'"))
        .await;
}

fn change_role() -> UserCommand {
    let at = now();
    let role = Role::Auditor;
    UserCommand::ChangeRole(ChangeRole { at, role })
}

pub async fn an_event_without_its_predecessor_is_a_conflict_and_leaves_nothing(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let session = ada.signs_in(&*store).await;
    append(&*store, vec![ada.refused_login(&*store).await])
        .await
        .unwrap();
    let refreshed = ada.decides_in(&*store, session, refresh(0, 0)).await;
    let refused = ada.refused_login(&*store).await;
    let changed = ada.decides(&*store, change_role()).await.unwrap();

    lose_session(world, session).await;
    lose(world, AggregateKind::RefusedLogins, &refused.stream.id).await;
    let before = footprint(world).await;
    for staged in [refreshed.unwrap(), refused] {
        let stream = staged.stream.clone();
        // Alone, and together with a valid stream.
        let valid = ada.login(SessionId::new(random()), 0).await;
        for streams in [vec![staged.clone()], vec![valid, staged]] {
            let outcome = append(&*store, streams).await;
            let conflict = matches!(outcome, Err(AppendError::Conflict));
            assert!(conflict, "{stream:?}: {outcome:?}");
        }
    }
    assert_eq!(footprint(world).await, before);

    lose(world, AggregateKind::User, &ada.user.to_string()).await;
    let before = footprint(world).await;
    let outcome = append(&*store, vec![changed]).await;
    assert!(matches!(outcome, Err(AppendError::Conflict)), "{outcome:?}");
    assert_eq!(footprint(world).await, before);
}

pub async fn nothing_is_appended_for_an_account_that_was_lost(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let session = ada.signs_in(&*store).await;
    let refreshed = ada.decides_in(&*store, session, refresh(0, 0)).await;
    let login = ada.login(SessionId::new(random()), 0).await;
    let refused = ada.refused_login(&*store).await;
    lose(world, AggregateKind::User, &ada.user.to_string()).await;
    lose_account_row(world, ada.user).await;
    // A failover loses the last transactions, so a session does not exist without its account.
    lose_session(world, session).await;
    let before = footprint(world).await;
    for staged in [login, refused] {
        let stream = staged.stream.clone();
        let outcome = append(&*store, vec![staged]).await;
        let gone = matches!(outcome, Err(AppendError::AccountErased));
        assert!(gone, "{stream:?}: {outcome:?}");
    }
    let outcome = append(&*store, vec![refreshed.unwrap()]).await;
    let gone = matches!(
        outcome,
        Err(AppendError::AccountErased | AppendError::Conflict)
    );
    assert!(gone, "{outcome:?}");
    assert_eq!(footprint(world).await, before);
    assert_eq!(
        store.last_sequence(&ada.stream(), u64::MAX).await.unwrap(),
        0
    );
}

pub async fn of_concurrent_commands_only_those_without_a_predecessor_conflict(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let mut decided = Vec::new();
    let mut lost = Vec::new();
    for number in 0..9 {
        let session = ada.signs_in(&*store).await;
        let staged = ada.decides_in(&*store, session, refresh(0, 0)).await;
        decided.push(staged.unwrap());
        if number % 4 == 0 {
            lost.push(session_stream(session));
            lose_session(world, session).await;
        }
    }
    let streams: Vec<_> = decided.iter().map(|it| it.stream.clone()).collect();
    let outcomes = join_all(decided.into_iter().map(|it| append(&*store, vec![it]))).await;
    for (stream, outcome) in streams.iter().zip(outcomes) {
        if lost.contains(stream) {
            assert!(matches!(outcome, Err(AppendError::Conflict)), "{outcome:?}");
        } else {
            outcome.unwrap();
        }
        let expected = if lost.contains(stream) { 0 } else { 2 };
        assert_eq!(
            store.last_sequence(stream, u64::MAX).await.unwrap(),
            expected
        );
    }
}

pub async fn an_account_number_that_is_taken_is_not_drawn_again(world: &impl World) {
    let store = world.store();
    for name in ["ada", "bob", "cyd"] {
        Person::called(name).registers(&*store).await;
    }
    // A failover has lost the last draws.
    world
        .execute_own(
            "UPDATE account_numbers SET last = 0",
            "SELECT setval('account_numbers', 1, false)",
        )
        .await;
    for expected in 4..7 {
        let number = store.next_account_number().await.unwrap();
        assert_eq!(number.get(), expected);
    }
    Person::called("eve").registers(&*store).await;
}

pub async fn a_forged_number_or_counter_stops_no_registration(world: &impl World) {
    let store = world.store();
    for name in ["ada", "bob", "cyd"] {
        Person::called(name).registers(&*store).await;
    }
    let forge =
        |number: i64| format!("UPDATE accounts SET number = {number} WHERE username = 'bob'");
    for (name, sqlite, postgres) in [
        ("dan", forge(i64::MAX), forge(i64::MAX)),
        ("eve", forge(1 << 53), forge(1 << 53)),
        (
            "fay",
            format!("UPDATE account_numbers SET last = {}", i64::MAX),
            forge(0),
        ),
        ("gil", "DELETE FROM account_numbers".to_owned(), forge(-1)),
    ] {
        world.execute_own(&sqlite, &postgres).await;
        Person::called(name).registers(&*store).await;
    }
    // Numbers grow as if nothing had happened.
    let next = store.next_account_number().await.unwrap().get();
    assert!((8..10_000).contains(&next), "{next}");
}

pub async fn an_append_after_its_deadline_is_refused(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let session = ada.signs_in(&*store).await;
    let other = ada.signs_in(&*store).await;
    let log_out = SessionCommand::LogOut(LogOut { at: now() });
    let staged = ada.decides_in(&*store, session, log_out.clone()).await;
    let logout = staged.unwrap();
    let staged = ada.decides_in(&*store, other, log_out).await;
    let before = footprint(world).await;
    let registration = Person::called("bob").registration(&*store).await;
    let late = |append: &Append| Append {
        not_after: Some(Instant::now()),
        ..append.clone()
    };
    let logout = Append {
        streams: vec![logout],
        ..Append::default()
    };
    for append in [late(&logout), late(&registration)] {
        let outcome = store.append(append).await;
        let unavailable = matches!(outcome, Err(AppendError::Store(StoreError::Unavailable(_))));
        assert!(unavailable, "{outcome:?}");
    }
    assert_eq!(footprint(world).await, before);

    let in_time = |append: Append| Append {
        not_after: Some(Instant::now() + Duration::from_secs(600)),
        ..append
    };
    let logouts = [
        logout,
        Append {
            streams: vec![staged.unwrap()],
            ..Append::default()
        },
    ];
    for outcome in join_all(logouts.map(|append| store.append(in_time(append)))).await {
        outcome.unwrap();
    }
    store.append(in_time(registration)).await.unwrap();
}
