//! Tests of erasure: the stored events do not change, and all other data of the account is removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use authlog_application::ports::{
    Append, AppendError, Identifier, LiveSessions, OpaqueTokenRecord, ResetRequest, Revocation,
    StagedStream, TokenDigest,
};
use authlog_application::{ClientPresence, RequestContext};
use authlog_domain::session::{LogOut, SessionCommand};
use authlog_domain::{ContractName, ResetId, SessionId, UserId};
use authlog_infrastructure::Store;
use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::people::{Person, append, refresh, session_stream};
use super::revocations::revocations_since;
use super::system::{now, random};
use super::{World, footprint};

/// The tables with data of accounts in addition to events, and the columns that name the account.
const KEPT: [(&str, &str); 5] = [
    ("subject_keys", "user_id"),
    ("identifier_claims", "owner"),
    ("credentials", "user_id"),
    ("accounts", "user_id"),
    ("sessions", "user_id"),
];

/// The number of rows of that account, plus the opaque tokens that have no session.
async fn rows_of(world: &impl World, user: UserId) -> i64 {
    let mut rows = 0;
    for (table, column) in KEPT {
        let condition = format!("{table} WHERE {column} = '{user}'");
        rows += world.count(&condition).await;
    }
    let orphans = "opaque_tokens t WHERE NOT EXISTS (SELECT 1 FROM sessions s WHERE s.session_id = t.session_id)";
    rows + world.count(orphans).await
}

/// Signs in with an opaque token.
async fn signs_in_with_opaque_token(store: &dyn Store, person: &Person) -> SessionId {
    let session = SessionId::new(random());
    let staged = person.login(session, 0).await;
    let append = with_opaque_token(session, staged);
    store.append(append).await.unwrap();
    session
}

fn with_opaque_token(session: SessionId, staged: StagedStream) -> Append {
    let mut digest = [0; 32];
    digest[..16].copy_from_slice(random().as_bytes());
    Append {
        streams: vec![staged],
        opaque_token: Some(OpaqueTokenRecord {
            digest: TokenDigest(digest),
            session,
            expires_at: now().plus(super::people::LIFETIME),
        }),
        ..Append::default()
    }
}

pub async fn an_erased_account_leaves_its_events_and_nothing_else(world: &impl World) {
    let store = world.store();
    let empty = footprint(world).await;
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    ada.signs_in(&*store).await;
    signs_in_with_opaque_token(&*store, &ada).await;
    ada.erases_account(&*store).await;
    for ((table, before), (_, after)) in empty.into_iter().zip(footprint(world).await) {
        let events = ["events", "event_log"].contains(&table);
        assert_eq!(after - before, if events { 4 } else { 0 }, "{table}");
    }
    assert_eq!(store.account(ada.user).await.unwrap(), None);
    for node in [Arc::clone(&store), world.another_node().await] {
        let events = node.load(&ada.stream()).await.unwrap();
        let registered = &events[0].payload["UserRegistered"];
        for field in ["username", "email", "name", "phone"] {
            assert_eq!(registered[field], json!({ "erased": true }), "{field}");
        }
        assert_eq!(registered["role"], "user");
        assert_eq!(events[1].event_type, "UserErased");
        // The address from which it was asked for is personal as well.
        assert_eq!(events[1].metadata["ip"], "erased");
        assert_eq!(events[1].metadata["user_agent"], "erased");
    }
}

pub async fn every_node_knows_which_accounts_were_erased(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    let (ada, eve) = (Person::called("ada"), Person::called("eve"));
    for person in [&ada, &eve] {
        person.registers(&*nodes[0]).await;
    }
    ada.erases_account(&*nodes[0]).await;
    for node in &nodes {
        assert!(node.is_erased(ada.user).await.unwrap());
        assert!(!node.is_erased(eve.user).await.unwrap());
        let nemo = Person::called("nemo").user;
        assert!(!node.is_erased(nemo).await.unwrap());
    }
}

pub async fn an_erasure_changes_no_stored_event_and_no_leaf(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    ada.signs_in(&*store).await;
    world.settle().await;
    let (events, log) = (world.stored_events().await, world.event_log().await);
    ada.erases_account(&*store).await;
    world.settle().await;
    let events_after = world.stored_events().await;
    for (was, is) in events.iter().zip(&events_after) {
        assert_eq!(format!("{was:?}"), format!("{is:?}"));
    }
    let log_after = world.event_log().await;
    for (was, is) in log.iter().zip(&log_after) {
        assert_eq!(format!("{was:?}"), format!("{is:?}"));
    }
    assert_eq!((events_after.len(), log_after.len()), (3, 3));
    assert_eq!(log_after[2].aggregate_type, "user");
}

pub async fn other_accounts_are_untouched_by_an_erasure(world: &impl World) {
    let store = world.store();
    let (ada, eve) = (Person::called("ada"), Person::called("eve"));
    for person in [&ada, &eve] {
        person.registers(&*store).await;
    }
    let session = signs_in_with_opaque_token(&*store, &eve).await;
    let before = store.session(session).await.unwrap().unwrap();
    ada.erases_account(&*store).await;
    assert_eq!(store.session(session).await.unwrap(), Some(before));
    let found = store
        .find_for_sign_in(&Identifier::Email(eve.email()))
        .await
        .unwrap();
    assert!(found.is_some());
    assert_eq!(world.count("opaque_tokens").await, 1);
    let events = world.another_node().await.load(&eve.stream()).await;
    assert_eq!(
        events.unwrap()[0].payload["UserRegistered"]["username"],
        "eve"
    );
}

pub async fn nothing_is_appended_to_an_erased_account(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    let ada = Person::called("ada");
    ada.registers(&*nodes[0]).await;
    // Every node has the key in memory.
    let mut sessions = Vec::new();
    for node in &nodes {
        sessions.push(ada.signs_in(&**node).await);
    }
    let mut late = Vec::new();
    for session in &sessions {
        let node = &*nodes[0];
        late.push(ada.decides_in(node, *session, refresh(0, 0)).await.unwrap());
    }
    late.push(ada.refused_login(&*nodes[0]).await);
    late.push(ada.login(SessionId::new(random()), 0).await);
    let reset = ada
        .decides(&*nodes[0], ada.ask_for_reset(ResetId::new(random())))
        .await
        .unwrap();
    ada.erases_account(&*nodes[0]).await;
    let (events, rows) = (world.count("events").await, rows_of(world, ada.user).await);
    for node in &nodes {
        for staged in &late {
            let refused = append(&**node, vec![staged.clone()]).await;
            assert!(
                matches!(refused, Err(AppendError::AccountErased)),
                "{refused:?}"
            );
        }
        // A command on the account itself conflicts; it is decided again, and then refused.
        let refused = append(&**node, vec![reset.clone()]).await;
        assert!(refused.is_err());
        assert!(
            ada.decides(&**node, ada.ask_for_reset(ResetId::new(random())))
                .await
                .is_err()
        );
    }
    assert_eq!(world.count("events").await, events);
    assert_eq!((rows_of(world, ada.user).await, rows), (0, 0));
}

pub async fn an_erased_account_in_a_batch_is_refused_without_the_others(world: &impl World) {
    let store = world.store();
    let (mut people, mut decided) = (Vec::new(), Vec::new());
    for number in 0..10 {
        let person = Person::called(&format!("person{number}"));
        person.registers(&*store).await;
        for _ in 0..2 {
            let session = person.signs_in(&*store).await;
            let staged = person.decides_in(&*store, session, refresh(0, 0)).await;
            decided.push(staged.unwrap());
        }
        people.push(person);
    }
    // Another node, so that this one still knows the key.
    let erased = &people[4];
    erased.erases_account(&*world.another_node().await).await;
    let (events, sessions) = (world.count("events").await, world.count("sessions").await);
    let outcomes = join_all(decided.into_iter().map(|it| append(&*store, vec![it]))).await;
    for (number, outcome) in outcomes.into_iter().enumerate() {
        match number / 2 {
            4 => assert!(
                matches!(outcome, Err(AppendError::AccountErased)),
                "{outcome:?}"
            ),
            _ => outcome.unwrap(),
        }
    }
    assert_eq!(world.count("events").await, events + 18);
    assert_eq!(world.count("sessions").await, sessions);
    assert_eq!(rows_of(world, erased.user).await, 0);
}

pub async fn another_node_decrypts_nothing_of_an_erased_account(world: &impl World) {
    let (here, there) = (world.store(), world.another_node().await);
    let ada = Person::called("ada");
    ada.registers(&*here).await;
    ada.signs_in(&*there).await;
    let known = there.load(&ada.stream()).await.unwrap();
    assert_eq!(known[0].payload["UserRegistered"]["username"], "ada");
    ada.erases_account(&*here).await;
    // The key is gone at once, whether or not the revocation has arrived.
    let erased = there.load(&ada.stream()).await.unwrap();
    let username = &erased[0].payload["UserRegistered"]["username"];
    assert_eq!(username, &json!({ "erased": true }));
}

pub async fn a_key_that_is_restored_after_the_erasure_decrypts_nothing(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    world
        .execute("CREATE TABLE copied_subjects AS SELECT * FROM subject_keys")
        .await;
    ada.erases_account(&*store).await;
    world
        .execute("INSERT INTO subject_keys SELECT * FROM copied_subjects")
        .await;
    for node in [store, world.another_node().await] {
        let erased = node.load(&ada.stream()).await.unwrap();
        let username = &erased[0].payload["UserRegistered"]["username"];
        assert_eq!(username, &json!({ "erased": true }));
    }
}

pub async fn an_erasure_reaches_another_node(world: &impl World) {
    let (here, there) = (world.store(), world.another_node().await);
    let ada = Person::called("ada");
    ada.registers(&*here).await;
    let (_, mut reader) = revocations_since(&*there, now()).await;
    ada.erases_account(&*here).await;
    let user = ada.user;
    let expected = Revocation::Erased { user, epoch: 1 };
    let news = reader.read_new().await.unwrap();
    assert!(news.contains(&expected), "{news:?}");
    let long_ago = now().minus(super::people::LIFETIME);
    let (news, _) = revocations_since(&*there, long_ago).await;
    assert!(news.contains(&expected), "{news:?}");
}

pub async fn an_erased_person_can_register_again(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    ada.erases_account(&*store).await;
    let again = Person::called("ada");
    again.registers(&*store).await;
    let found = store.find_account(&Identifier::Email(ada.email())).await;
    assert_eq!(found.unwrap().unwrap().id, again.user);
    assert_eq!(rows_of(world, ada.user).await, 0);
}

pub async fn a_rebuild_restores_nothing_of_an_erased_account(world: &impl World) {
    let store = world.store();
    let (ada, eve) = (Person::called("ada"), Person::called("eve"));
    for person in [&ada, &eve] {
        person.registers(&*store).await;
        person.signs_in(&*store).await;
        let refused = person.refused_login(&*store).await;
        append(&*store, vec![refused]).await.unwrap();
    }
    ada.erases_account(&*store).await;
    let before = footprint(world).await;
    rebuild(&*store).await;
    assert_eq!(footprint(world).await, before);
    assert_eq!(rows_of(world, ada.user).await, 0);
    assert!(store.account(eve.user).await.unwrap().is_some());
}

pub async fn rows_of_erased_accounts_are_removed_by_a_rebuild(world: &impl World) {
    let store = world.store();
    let (ada, eve) = (Person::called("ada"), Person::called("eve"));
    for person in [&ada, &eve] {
        person.registers(&*store).await;
        person.signs_in(&*store).await;
    }
    ada.erases_account(&*store).await;
    // The rows are put back by hand.
    for table in ["accounts", "sessions"] {
        let sql = format!("UPDATE {table} SET user_id = '{}'", ada.user);
        world.execute(&sql).await;
    }
    assert_eq!(store.remove_orphans().await.unwrap(), 2);
    assert_eq!(rows_of(world, ada.user).await, 0);
    rebuild(&*store).await;
    assert!(store.account(eve.user).await.unwrap().is_some());
}

pub async fn reset_requests_of_an_erased_account_are_removed(world: &impl World) {
    let store = world.store();
    let (ada, eve) = (Person::called("ada"), Person::called("eve"));
    for person in [&ada, &eve] {
        person.registers(&*store).await;
        for typed in [
            person.name.to_uppercase(),
            format!(" {} ", person.email().as_str()),
            "nemo at all".to_owned(),
        ] {
            store.enqueue(&request(&typed)).await.unwrap();
        }
    }
    ada.erases_account(&*store).await;
    let later = now().plus(super::people::LIFETIME);
    let left = store.take_due(later, later, 100).await.unwrap();
    let mut typed: Vec<String> = left.into_iter().map(|it| it.identifier).collect();
    typed.sort();
    let of_eve = " eve@people.example ";
    assert_eq!(typed, [of_eve, "EVE", "nemo at all", "nemo at all"]);
}

fn request(identifier: &str) -> ResetRequest {
    ResetRequest {
        reset: ResetId::new(random()),
        identifier: identifier.to_owned(),
        at: now(),
        context: RequestContext {
            request: random(),
            contract: ContractName::Users,
            address: None,
            user_agent: None,
            presence: ClientPresence::default(),
        },
        attempts: 0,
        unacknowledged: 0,
    }
}

pub async fn an_erasure_wins_over_everything_that_races_it(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    let mut acknowledged = 0;
    for round in 0..25 {
        let ada = Person::called(&format!("ada{round}"));
        ada.registers(&*nodes[0]).await;
        let session = ada.signs_in(&*nodes[0]).await;
        let mut late: Vec<Append> = Vec::new();
        for _ in 0..6 {
            let session = SessionId::new(random());
            late.push(with_opaque_token(session, ada.login(session, 0).await));
        }
        let log_out = SessionCommand::LogOut(LogOut { at: now() });
        for staged in [
            ada.decides_in(&*nodes[0], session, refresh(0, 0))
                .await
                .unwrap(),
            ada.decides_in(&*nodes[0], session, log_out).await.unwrap(),
            ada.refused_login(&*nodes[0]).await,
            ada.decides(&*nodes[0], ada.ask_for_reset(ResetId::new(random())))
                .await
                .unwrap(),
        ] {
            late.push(Append {
                streams: vec![staged],
                ..Append::default()
            });
        }
        let start = Arc::new(Barrier::new(late.len() + 1));
        let mut race = JoinSet::new();
        for (number, append) in late.into_iter().enumerate() {
            let (start, node) = (Arc::clone(&start), Arc::clone(&nodes[number % 2]));
            race.spawn(async move {
                start.wait().await;
                node.append(append).await
            });
        }
        start.wait().await;
        // A reset that was appended first causes a conflict. The erasure is then decided again, as the program does.
        while append(&*nodes[round % 2], vec![ada.erasure(&*nodes[0]).await])
            .await
            .is_err()
        {}
        let outcomes = race.join_all().await;
        acknowledged += outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(rows_of(world, ada.user).await, 0, "round {round}");
        let events = world.stored_events().await;
        let mut of_ada = events
            .iter()
            .filter(|event| event.metadata.contains(&ada.user.to_string()));
        assert_eq!(of_ada.next_back().unwrap().event_type, "UserErased");
    }
    assert!(acknowledged > 0, "nothing ever raced the erasure");
    world.settle().await;
    nothing_follows_an_erasure_in_the_log(world).await;
}

/// In the log's order, too, the erasure is the last event of its account.
async fn nothing_follows_an_erasure_in_the_log(world: &impl World) {
    let events = world.stored_events().await;
    let mut erased = std::collections::HashSet::new();
    for entry in world.event_log().await {
        let event = events.iter().find(|event| {
            (&event.aggregate_type, &event.aggregate_id, event.sequence)
                == (&entry.aggregate_type, &entry.aggregate_id, entry.sequence)
        });
        let event = event.unwrap();
        let metadata: serde_json::Value = serde_json::from_str(&event.metadata).unwrap();
        let user = metadata["user_id"].as_str().unwrap().to_owned();
        assert!(!erased.contains(&user), "{entry:?}");
        if event.event_type == "UserErased" {
            erased.insert(user);
        }
    }
    assert!(!erased.is_empty());
}

pub async fn a_rebuild_during_erasures_restores_nothing(world: &impl World) {
    let store = world.store();
    let mut people = Vec::new();
    for number in 0..40 {
        let person = Person::called(&format!("person{number}"));
        person.registers(&*store).await;
        person.signs_in(&*store).await;
        people.push(person);
    }
    let done = Arc::new(AtomicBool::new(false));
    let rebuilding = tokio::spawn({
        let (node, done) = (world.another_node().await, Arc::clone(&done));
        async move {
            while !done.load(Ordering::SeqCst) {
                rebuild(&*node).await;
            }
        }
    });
    for person in &people {
        person.erases_account(&*store).await;
    }
    done.store(true, Ordering::SeqCst);
    rebuilding.await.unwrap();
    for person in &people {
        assert_eq!(rows_of(world, person.user).await, 0);
        let session = session_stream(SessionId::new(random()));
        assert!(store.load(&session).await.unwrap().is_empty());
    }
}

/// More sessions than the commit of an erasure removes.
const VERY_MANY: usize = 1030;

/// Registers a person and signs them in [`VERY_MANY`] times.
async fn with_very_many_sessions(store: &dyn Store) -> (Person, Vec<SessionId>) {
    let ada = Person::called("ada");
    ada.registers(store).await;
    let sessions: Vec<_> = (0..VERY_MANY).map(|_| SessionId::new(random())).collect();
    for some in sessions.chunks(103) {
        let logins = some.iter().map(|session| ada.login(*session, 0));
        append(store, join_all(logins).await).await.unwrap();
    }
    (ada, sessions)
}

async fn assert_is_well(store: &dyn Store) {
    let diagnosis = store.examine(false, now(), &|_| ()).await.unwrap();
    assert!(diagnosis.is_well(), "{diagnosis:?}");
}

pub async fn an_account_with_very_many_sessions_is_erased_at_once_and_its_sessions_in_batches(
    world: &impl World,
) {
    let store = world.store();
    let (ada, sessions) = with_very_many_sessions(&*store).await;
    let opaque = signs_in_with_opaque_token(&*store, &ada).await;
    let bob = Person::called("bob");
    bob.registers(&*store).await;
    let of_bob = signs_in_with_opaque_token(&*store, &bob).await;
    ada.erases_account(&*store).await;
    // The remaining rows are still stored, but grant nothing.
    let left = format!("sessions WHERE user_id = '{}'", ada.user);
    assert_eq!(world.count(&left).await, VERY_MANY as i64 + 1 - 1000);
    for (table, column) in KEPT.iter().filter(|(table, _)| *table != "sessions") {
        let rows = format!("{table} WHERE {column} = '{}'", ada.user);
        assert_eq!(world.count(&rows).await, 0, "{table}");
    }
    for session in sessions.into_iter().chain([opaque]) {
        assert!(store.session(session).await.unwrap().is_none());
    }
    let live = store.live_sessions(ada.user, now(), None, 10).await;
    assert_eq!(live.unwrap(), LiveSessions::default());
    assert_is_well(&*store).await;
    // Any node continues the erasure, as if the first one had crashed.
    let other = world.another_node().await;
    let mut batches = 0;
    while other.continue_erasures(20).await.unwrap() {
        batches += 1;
        assert!(batches < 10, "it does not end");
    }
    assert!(batches >= 2, "31 rows go in batches of 20");
    assert_eq!(rows_of(world, ada.user).await, 0);
    assert_eq!(world.count("unfinished_erasures").await, 0);
    assert_is_well(&*store).await;
    assert!(store.session(of_bob).await.unwrap().is_some());
    assert_eq!(world.count("opaque_tokens").await, 1);
}

pub async fn a_rebuild_removes_what_an_interrupted_erasure_left(world: &impl World) {
    let store = world.store();
    let (ada, _) = with_very_many_sessions(&*store).await;
    ada.erases_account(&*store).await;
    rebuild(&*store).await;
    let left = format!("sessions WHERE user_id = '{}'", ada.user);
    assert_eq!(world.count(&left).await, VERY_MANY as i64 - 1000);
    store.remove_orphans().await.unwrap();
    assert_eq!(rows_of(world, ada.user).await, 0);
    while store.continue_erasures(20).await.unwrap() {}
    assert_eq!(world.count("unfinished_erasures").await, 0);
    assert_is_well(&*store).await;
}

/// Rebuilds everything without looking for orphans.
async fn rebuild(store: &dyn Store) {
    let mut reached = None;
    while let Some(stretch) = store.range_after(reached.as_ref(), 500).await.unwrap() {
        store.rebuild(&stretch, now()).await.unwrap();
        reached = Some(stretch.end());
    }
}
