//! Tests of appending and loading events.

use authlog_application::ports::{
    Append, AppendError, IdentifierKind, OpaqueTokenRecord, TokenDigest,
};
use authlog_domain::session::{LogOut, SessionCommand};
use authlog_domain::user::{ChangeRole, MAX_RESET_REQUESTS, RecentRequests, UserCommand};
use authlog_domain::{ResetId, Role, SessionId};
use futures_util::future::{join, join_all};
use tokio::task::JoinSet;

use super::accounts::asks_for;
use super::people::{LIFETIME, Person, append, refresh, session_stream};
use super::system::{now, random};
use super::{World, footprint};

pub async fn an_append_is_read_back_in_order(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    let registration = ada.registration(&*store).await;
    let mut expected = registration.streams[0].new.clone();
    store.append(registration).await.unwrap();
    for role in [Role::Auditor, Role::Admin, Role::User] {
        let command = UserCommand::ChangeRole(ChangeRole { at: now(), role });
        let staged = ada.decides(&*store, command).await.unwrap();
        expected.extend(staged.new.clone());
        append(&*store, vec![staged]).await.unwrap();
    }
    let read = store.load(&ada.stream()).await.unwrap();
    let sequences: Vec<u64> = read.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    for (read, written) in read.iter().zip(&expected) {
        assert_eq!(read.payload, written.payload);
        assert_eq!(read.event_type, written.event_type);
        assert_eq!(read.event_version, written.event_version);
        assert_eq!(read.aggregate_type, written.aggregate_type);
        assert_eq!(read.aggregate_id, written.aggregate_id);
        for name in ["user_id", "actor", "request_id", "contract"] {
            assert_eq!(read.metadata[name], written.metadata[name], "{name}");
        }
    }
}

pub async fn a_stream_that_does_not_exist_is_empty(world: &impl World) {
    let stream = session_stream(SessionId::new(random()));
    assert!(world.store().load(&stream).await.unwrap().is_empty());
}

pub async fn the_last_sequence_of_a_stream_is_that_of_its_last_event(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    assert_eq!(
        store.last_sequence(&ada.stream(), u64::MAX).await.unwrap(),
        0
    );
    ada.registers(&*store).await;
    for expected in 1..=3 {
        let refused = ada.refused_login(&*store).await;
        let stream = refused.stream.clone();
        append(&*store, vec![refused]).await.unwrap();
        assert_eq!(
            store.last_sequence(&stream, u64::MAX).await.unwrap(),
            expected
        );
    }
    let stream = ada.stream();
    assert_eq!(store.last_sequence(&stream, u64::MAX).await.unwrap(), 1);
    assert_eq!(store.last_sequence(&stream, 0).await.unwrap(), 0);
}

pub async fn the_last_events_of_a_type_are_read_without_the_others(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    for role in [Role::Auditor, Role::Admin, Role::User] {
        let asks = ada.ask_for_reset(ResetId::new(random()));
        ada.does(&*store, asks).await.unwrap();
        let command = UserCommand::ChangeRole(ChangeRole { at: now(), role });
        ada.does(&*store, command).await.unwrap();
    }
    let stream = ada.stream();
    let all = store.load(&stream).await.unwrap();
    let asked = "PasswordResetRequested";
    for (event_type, limit, places) in [
        (asked, 2, vec![3, 5]),
        (asked, 10, vec![1, 3, 5]),
        ("RoleChanged", 1, vec![6]),
        ("UserRegistered", 1, vec![0]),
        ("UserLocked", 1, vec![]),
    ] {
        let expected: Vec<_> = places.into_iter().map(|at| all[at].clone()).collect();
        let read = store.last_events(&stream, event_type, limit).await;
        assert_eq!(read.unwrap(), expected, "{event_type} {limit}");
    }
}

/// An account's row of an earlier version lacks its recent requests.
pub async fn recent_requests_follow_from_the_last_events_of_their_types(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    for _ in 0..MAX_RESET_REQUESTS {
        let asks = ada.ask_for_reset(ResetId::new(random()));
        ada.does(&*store, asks).await.unwrap();
        asks_for(&*store, &ada, "other@people.example").await;
    }
    let mut requests = RecentRequests::default();
    for (event_type, limit) in RecentRequests::EVENT_TYPES {
        let events = store.last_events(&ada.stream(), event_type, limit).await;
        for event in events.unwrap() {
            requests.apply(&serde_json::from_value(event.payload).unwrap());
        }
    }
    let row = store.account(ada.user).await.unwrap().unwrap();
    assert_eq!(row.recent_requests, Some(requests));
}

pub async fn two_appends_at_the_same_sequence_conflict_and_the_loser_leaves_nothing(
    world: &impl World,
) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let change_to = |role| UserCommand::ChangeRole(ChangeRole { at: now(), role });
    let first = ada
        .decides(&*store, change_to(Role::Auditor))
        .await
        .unwrap();
    let second = ada.decides(&*store, change_to(Role::Admin)).await.unwrap();
    append(&*store, vec![first]).await.unwrap();
    let before = footprint(world).await;

    let session = SessionId::new(random());
    let other = Person::called("eve");
    let mut loser = other.registration(&*store).await;
    loser.streams.push(ada.login(session, 0).await);
    loser.streams.push(second);
    loser.opaque_token = Some(OpaqueTokenRecord {
        digest: TokenDigest([7; 32]),
        session,
        expires_at: now().plus(LIFETIME),
    });
    let outcome = store.append(loser).await;

    assert!(matches!(outcome, Err(AppendError::Conflict)), "{outcome:?}");
    assert_eq!(footprint(world).await, before);
    let account = store.account(ada.user).await.unwrap().unwrap();
    assert_eq!((account.role, account.version), (Role::Auditor, 2));
    // What the loser would have claimed is still free.
    store
        .append(other.registration(&*store).await)
        .await
        .unwrap();
}

pub async fn a_taken_identifier_is_reported_with_its_kind_and_leaves_nothing(world: &impl World) {
    let store = world.store();
    let ada = Person::called("Ada");
    ada.registers(&*store).await;
    let before = footprint(world).await;
    let login_too = |registration: Append, session| Append {
        streams: registration.streams.into_iter().chain([session]).collect(),
        ..registration
    };

    let mut same_username = Person::called("aDA").registration(&*store).await;
    let payload = &mut same_username.streams[0].new[0].payload;
    payload["UserRegistered"]["email"] = "another@people.example".into();
    let session = ada.login(SessionId::new(random()), 0).await;
    let outcome = store.append(login_too(same_username, session)).await;
    let taken = IdentifierKind::Username;
    assert!(
        matches!(outcome, Err(AppendError::IdentifierTaken(kind)) if kind == taken),
        "{outcome:?}"
    );

    let mut same_email = Person::called("another").registration(&*store).await;
    let payload = &mut same_email.streams[0].new[0].payload;
    payload["UserRegistered"]["email"] = "ADA@People.Example".into();
    let session = ada.login(SessionId::new(random()), 0).await;
    let outcome = store.append(login_too(same_email, session)).await;
    let taken = IdentifierKind::Email;
    assert!(
        matches!(outcome, Err(AppendError::IdentifierTaken(kind)) if kind == taken),
        "{outcome:?}"
    );

    assert_eq!(footprint(world).await, before);
    // What else the losers would have claimed has stayed free.
    Person::called("another").registers(&*store).await;
}

pub async fn a_registration_that_races_itself_a_hundred_times_wins_once(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    let mut race = JoinSet::new();
    for runner in 0..100 {
        let store = nodes[runner % nodes.len()].clone();
        // Each client sends its registration twice, as one does that lost the first answer.
        let person = Person::called("winner");
        race.spawn(async move {
            let registration = person.registration(&*store).await;
            let again = store.append(registration.clone());
            let (first, second) = tokio::join!(store.append(registration), again);
            [first, second]
        });
    }
    let outcomes: Vec<_> = race.join_all().await.into_iter().flatten().collect();
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(won, 1);
    for outcome in outcomes {
        assert!(
            matches!(outcome, Ok(_) | Err(AppendError::IdentifierTaken(_))),
            "{outcome:?}"
        );
    }
    assert_eq!(world.count("events").await, 1);
    assert_eq!(world.count("accounts").await, 1);
    assert_eq!(world.count("identifier_claims").await, 2);
}

pub async fn of_concurrent_commands_on_one_stream_one_wins_and_the_others_conflict(
    world: &impl World,
) {
    let nodes = [world.store(), world.another_node().await];
    let ada = Person::called("ada");
    ada.registers(&*nodes[0]).await;
    let session = ada.signs_in(&*nodes[0]).await;
    let decided = ada.decides_in(&*nodes[0], session, refresh(0, 0)).await;
    let decided = decided.unwrap();
    let mut race = JoinSet::new();
    for runner in 0..50 {
        let store = nodes[runner % nodes.len()].clone();
        let staged = decided.clone();
        race.spawn(async move { append(&*store, vec![staged]).await });
    }
    let outcomes = race.join_all().await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(won, 1);
    for outcome in outcomes {
        assert!(
            matches!(outcome, Ok(()) | Err(AppendError::Conflict)),
            "{outcome:?}"
        );
    }
    let events = nodes[0].load(&session_stream(session)).await.unwrap();
    assert_eq!(events.len(), 2);
}

pub async fn concurrent_refreshes_each_write_their_event_and_their_row(world: &impl World) {
    let store = world.store();
    let mut sessions = Vec::new();
    for number in 0..10 {
        let person = Person::called(&format!("person{number}"));
        person.registers(&*store).await;
        for _ in 0..20 {
            let session = person.signs_in(&*store).await;
            let decided = person.decides_in(&*store, session, refresh(0, 0)).await;
            sessions.push((session, person.user, decided.unwrap()));
        }
    }
    let staged = sessions.iter().map(|(_, _, staged)| staged.clone());
    for outcome in join_all(staged.map(|it| append(&*store, vec![it]))).await {
        outcome.unwrap();
    }
    let found = join_all(
        sessions
            .iter()
            .map(|(session, _, _)| store.session(*session)),
    )
    .await;
    for ((session, user, staged), found) in sessions.iter().zip(found) {
        let row = found.unwrap().unwrap().session;
        assert_eq!((row.id, row.user), (*session, *user));
        assert_eq!((row.version, row.generation), (2, 1));
        let events = store.load(&session_stream(*session)).await.unwrap();
        assert_eq!(events[1].payload, staged.new[0].payload);
        assert_eq!(events.len(), 2);
    }
    let none = store.session(SessionId::new(random())).await.unwrap();
    assert_eq!(none, None);
}

pub async fn of_two_concurrent_commands_on_a_session_one_conflicts_and_other_sessions_are_not_affected(
    world: &impl World,
) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    for _ in 0..10 {
        let mut decided = Vec::new();
        let mut sessions = Vec::new();
        for _ in 0..3 {
            let session = ada.signs_in(&*store).await;
            let staged = ada.decides_in(&*store, session, refresh(0, 0)).await;
            decided.push(staged.unwrap());
            sessions.push(session);
        }
        let log_out = SessionCommand::LogOut(LogOut { at: now() });
        let log_out = ada.decides_in(&*store, sessions[1], log_out).await.unwrap();
        let all = join_all(decided.into_iter().map(|it| append(&*store, vec![it])));
        let (refreshed, left) = join(all, append(&*store, vec![log_out])).await;

        assert!(refreshed[0].is_ok() && refreshed[2].is_ok());
        let outcomes = (&refreshed[1], &left);
        let one_of_two = matches!(
            outcomes,
            (Ok(()), Err(AppendError::Conflict)) | (Err(AppendError::Conflict), Ok(()))
        );
        assert!(one_of_two, "{outcomes:?}");
        let row = store.session(sessions[1]).await.unwrap().unwrap().session;
        assert_eq!(row.version, 2);
        assert_eq!(row.ended_at.is_some(), left.is_ok());
        assert_eq!(row.generation == 1, refreshed[1].is_ok());
    }
}

pub async fn the_streams_of_one_append_become_visible_together(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    let session = SessionId::new(random());
    let mut append = ada.registration(&*store).await;
    append.streams.push(ada.login(session, 0).await);
    store.append(append).await.unwrap();
    assert_eq!(store.load(&ada.stream()).await.unwrap().len(), 1);
    assert_eq!(store.load(&session_stream(session)).await.unwrap().len(), 1);
    let standing = store.session(session).await.unwrap().unwrap();
    assert_eq!(standing.account.id, ada.user);
    assert!(standing.is_live(now()));
}

pub async fn every_acknowledged_append_is_seen_at_once_by_every_node(world: &impl World) {
    let store = world.store();
    let other = world.another_node().await;
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    for _ in 0..50 {
        let session = ada.signs_in(&*store).await;
        assert!(store.session(session).await.unwrap().is_some());
        assert!(other.session(session).await.unwrap().is_some());
        ada.signs_out(&*other, session).await;
        let standing = store.session(session).await.unwrap().unwrap();
        assert!(!standing.is_live(now()));
    }
}
