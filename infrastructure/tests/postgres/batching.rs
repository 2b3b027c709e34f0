//! Concurrent requests go to the database in one statement, and each gets its own outcome.
//!
//! On one thread, all requests of a `join_all` are queued before the first is sent, so that they form one batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use authlog_application::ports::{
    Append, AppendError, Directory, OpaqueTokenRecord, StagedStream, StoreError, TokenDigest,
};
use authlog_domain::SessionId;
use authlog_domain::session::{LogOut, SessionCommand};
use authlog_infrastructure::Store;
use authlog_infrastructure::sealing::MasterKey;
use futures_util::future::{join, join_all};
use sqlx::{Postgres, Transaction};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::outages::open_through_a_proxy;
use super::server::Server;
use super::{PostgresWorld, open_unsequenced, open_url};
use crate::store_behaviour::World;
use crate::store_behaviour::people::{Person, append, refresh};
use crate::store_behaviour::system::{SystemEntropy, now};

/// The sessions of one person, and for each a refresh that was decided and not yet appended.
struct Sessions {
    person: Person,
    ids: Vec<SessionId>,
    decided: Vec<StagedStream>,
}

impl Sessions {
    async fn of(name: &str, count: usize, store: &dyn Store) -> Self {
        let person = Person::called(name);
        person.registers(store).await;
        let (mut ids, mut decided) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let session = person.signs_in(store).await;
            let staged = person.decides_in(store, session, refresh(0, 0)).await;
            ids.push(session);
            decided.push(staged.unwrap());
        }
        Self {
            person,
            ids,
            decided,
        }
    }

    /// Appends the refreshes at once.
    async fn refresh(&self, store: &dyn Store) -> Vec<Result<(), AppendError>> {
        let decided = self.decided.iter().cloned();
        join_all(decided.map(|staged| append(store, vec![staged]))).await
    }
}

/// What happened to sessions after their start.
const SECONDS: &str = "FROM events WHERE aggregate_type = 'session' AND sequence = 2";

impl PostgresWorld {
    async fn seconds(&self) -> i64 {
        self.number(&format!("SELECT count(*) {SECONDS}")).await
    }

    async fn commits_of_seconds(&self) -> i64 {
        self.number(&format!("SELECT count(DISTINCT txid) {SECONDS}"))
            .await
    }

    async fn refreshed_rows(&self) -> i64 {
        self.count("sessions WHERE version = 2 AND generation = 1")
            .await
    }

    /// How many deadlocks between transactions the server had to resolve.
    async fn deadlocks(&self) -> i64 {
        // Connections tell what they counted when they end, if not before.
        let others = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'authlog'";
        self.number(&format!("SELECT count(pg_terminate_backend(pid)) {others}"))
            .await;
        while self.number(&format!("SELECT count(*) {others}")).await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            .await
    }

    /// Keeps everybody from writing events until the transaction ends.
    async fn hold_events(&self) -> Transaction<'static, Postgres> {
        let mut holding = self.sql.begin().await.unwrap();
        sqlx::query("LOCK TABLE events IN EXCLUSIVE MODE")
            .execute(&mut *holding)
            .await
            .unwrap();
        holding
    }

    /// Returns once so many statements of the store wait for a lock.
    async fn waiting(&self, statements: i64) {
        let started = Instant::now();
        let waiting = r"
            SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'authlog' AND wait_event_type = 'Lock'";
        while self.number(waiting).await < statements {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "a command hangs"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn all_are_ok(outcomes: Vec<Result<(), AppendError>>) {
    for outcome in outcomes {
        outcome.unwrap();
    }
}

#[tokio::test]
async fn concurrent_appends_are_committed_in_groups() {
    let world = open_unsequenced().await;
    let sessions = Sessions::of("ada", 100, &*world.store).await;
    all_are_ok(sessions.refresh(&*world.store).await);
    assert_eq!(world.seconds().await, 100);
    assert_eq!(world.refreshed_rows().await, 100);
    // Of at most 64.
    assert_eq!(world.commits_of_seconds().await, 2);
}

#[tokio::test]
async fn an_erasure_that_a_group_waited_for_refuses_its_own_account_and_no_other() {
    let world = open_unsequenced().await;
    let store = &*world.store;
    let ada = Sessions::of("ada", 3, store).await;
    let eve = Sessions::of("eve", 3, store).await;
    // An unfinished erasure on another node: it holds the lock, and no other transaction sees its changes yet.
    let mut erasing = world.sql.begin().await.unwrap();
    let erase = format!(
        r#"
        SELECT erase_account('{user}', '{{}}');
        INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
        VALUES ('user', '{user}', 2, 'UserErased', '1', '{{}}', '{{"user_id": "{user}"}}')"#,
        user = eve.person.user
    );
    sqlx::raw_sql(&erase).execute(&mut *erasing).await.unwrap();
    let group = join(ada.refresh(store), eve.refresh(store));
    let ((of_ada, of_eve), ()) = join(group, async {
        world.waiting(1).await;
        erasing.commit().await.unwrap();
    })
    .await;

    all_are_ok(of_ada);
    for outcome in of_eve {
        let erased = matches!(outcome, Err(AppendError::AccountErased));
        assert!(erased, "{outcome:?}");
    }
    assert_eq!(world.seconds().await, 3);
    assert_eq!(world.count("sessions").await, 3);
    assert_eq!(world.commits_of_seconds().await, 1);
}

#[tokio::test]
async fn groups_of_two_nodes_append_to_the_same_sessions_without_deadlocks() {
    let world = open_unsequenced().await;
    let (here, there) = (&*world.store, &*world.another_node().await);
    for round in 1..=10 {
        let sessions = Sessions::of(&format!("person{round}"), 60, here).await;
        // The other node asks the other way round, and knows the account's key.
        sessions.person.signs_in(there).await;
        let mut logouts = Vec::new();
        for session in sessions.ids.iter().rev() {
            let log_out = SessionCommand::LogOut(LogOut { at: now() });
            let staged = sessions.person.decides_in(there, *session, log_out).await;
            logouts.push(append(there, vec![staged.unwrap()]));
        }
        let (refreshed, mut left) = join(sessions.refresh(here), join_all(logouts)).await;
        left.reverse();
        for ((session, refreshed), left) in sessions.ids.iter().zip(&refreshed).zip(&left) {
            let one_of_two = matches!(
                (refreshed, left),
                (Ok(()), Err(AppendError::Conflict)) | (Err(AppendError::Conflict), Ok(()))
            );
            assert!(one_of_two, "{refreshed:?} {left:?}");
            let row = here.session(*session).await.unwrap().unwrap().session;
            assert_eq!(row.generation == 1, refreshed.is_ok());
            assert_eq!(row.ended_at.is_some(), left.is_ok());
        }
        assert_eq!(world.seconds().await, 60 * round);
    }
    assert_eq!(world.deadlocks().await, 0);
}

#[tokio::test]
async fn a_group_never_deadlocks_with_a_single_append_of_another_node() {
    let world = open_unsequenced().await;
    let (here, there) = (&*world.store, &*world.another_node().await);
    // With a token it takes the statement that can append anything.
    for token in [None, Some(TokenDigest([7; 32]))] {
        let sessions = Sessions::of(&format!("with{}", token.is_some()), 3, here).await;
        sessions.person.signs_in(there).await;
        let alone = Append {
            streams: vec![sessions.decided[1].clone()],
            opaque_token: token.map(|digest| OpaqueTokenRecord {
                digest,
                session: sessions.ids[1],
                expires_at: now(),
            }),
            ..Append::default()
        };
        // Another transaction holds its row, so that it stops half-way, and the batch comes.
        let mut holding = world.sql.begin().await.unwrap();
        let hold = format!(
            "SELECT FROM sessions WHERE session_id = '{}' FOR UPDATE",
            sessions.ids[1]
        );
        sqlx::raw_sql(&hold).execute(&mut *holding).await.unwrap();
        let group = async {
            world.waiting(1).await;
            sessions.refresh(here).await
        };
        let (alone, (group, ())) = join(
            there.append(alone),
            join(group, async {
                world.waiting(2).await;
                holding.commit().await.unwrap();
            }),
        )
        .await;
        alone.unwrap();
        let late = matches!(group[..], [Ok(()), Err(AppendError::Conflict), Ok(())]);
        assert!(late, "{group:?}");
    }
    assert_eq!(world.seconds().await, 6);
    assert_eq!(world.refreshed_rows().await, 6);
    assert_eq!(world.deadlocks().await, 0);
}

#[tokio::test]
async fn a_command_that_the_database_refuses_does_not_fail_the_others_in_its_group() {
    let world = open_unsequenced().await;
    let sessions = Sessions::of("ada", 20, &*world.store).await;
    let refused = format!(
        "ALTER TABLE sessions ADD CHECK (session_id <> '{}' OR version = 1)",
        sessions.ids[7]
    );
    world.execute(&refused).await;
    let outcomes = sessions.refresh(&*world.store).await;
    for (number, outcome) in outcomes.into_iter().enumerate() {
        match (number, outcome) {
            (7, Err(AppendError::Store(StoreError::Unreadable(_)))) => {}
            (number, outcome) => {
                assert_ne!(number, 7);
                outcome.unwrap();
            }
        }
    }
    assert_eq!(world.seconds().await, 19);
    assert_eq!(world.refreshed_rows().await, 19);
}

#[tokio::test]
async fn a_group_outlives_its_connection() {
    let world = open_unsequenced().await;
    let sessions = Sessions::of("ada", 40, &*world.store).await;
    let holding = world.hold_events().await;
    let (outcomes, ()) = join(sessions.refresh(&*world.store), async {
        world.waiting(1).await;
        let ended = world.number(
            r"
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'authlog'",
        );
        assert!(ended.await >= 1);
        holding.commit().await.unwrap();
    })
    .await;
    all_are_ok(outcomes);
    assert_eq!(world.seconds().await, 40);
    assert_eq!(world.refreshed_rows().await, 40);
}

#[tokio::test]
async fn a_group_whose_answer_is_lost_is_applied_once_and_each_caller_gets_its_own_outcome() {
    let server = Server::start();
    let (store, swallow) = open_through_a_proxy(&server).await;
    let sessions = Sessions::of("ada", 40, &*store).await;
    // One of them had another command come first.
    let first = vec![sessions.decided[5].clone()];
    append(&*store, first).await.unwrap();
    let mut late = sessions.decided[5].clone();
    late.new[0].metadata["request_id"] = "another".into();
    let late = Sessions {
        decided: [&sessions.decided[..5], &[late], &sessions.decided[6..]].concat(),
        ..sessions
    };

    swallow.store(true, Ordering::SeqCst);
    let outcomes = late.refresh(&*store).await;
    assert!(!swallow.load(Ordering::SeqCst), "the answer was swallowed");
    for (number, outcome) in outcomes.into_iter().enumerate() {
        match number {
            5 => assert!(matches!(outcome, Err(AppendError::Conflict)), "{outcome:?}"),
            _ => outcome.unwrap(),
        }
    }
    for session in late.ids {
        let row = store.session(session).await.unwrap().unwrap().session;
        assert_eq!((row.version, row.generation), (2, 1));
    }
}

#[tokio::test]
async fn a_command_that_waits_for_a_lock_does_not_delay_later_ones() {
    let world = open_unsequenced().await;
    let store = &*world.store;
    let ada = Sessions::of("ada", 2, store).await;
    let eve = Sessions::of("eve", 2, store).await;
    let mut holding = world.sql.begin().await.unwrap();
    let hold = format!(
        "SELECT pg_advisory_xact_lock(hashtextextended('{}', 0))",
        eve.person.user
    );
    sqlx::raw_sql(&hold).execute(&mut *holding).await.unwrap();
    let (of_eve, ()) = join(eve.refresh(store), async {
        world.waiting(1).await;
        // Had they to wait for Eve's, hers would give up after two seconds.
        all_are_ok(ada.refresh(store).await);
        assert_eq!(world.seconds().await, 2);
        holding.commit().await.unwrap();
    })
    .await;
    all_are_ok(of_eve);
    assert_eq!(world.seconds().await, 4);
}

#[tokio::test]
async fn a_batch_that_waits_for_a_lock_too_long_goes_without_the_command_that_waits() {
    let world = open_unsequenced().await;
    let store = &*world.store;
    let ada = Sessions::of("ada", 5, store).await;
    let eve = Sessions::of("eve", 1, store).await;
    let mut holding = world.sql.begin().await.unwrap();
    let hold = format!(
        "SELECT pg_advisory_xact_lock(hashtextextended('{}', 0))",
        eve.person.user
    );
    sqlx::raw_sql(&hold).execute(&mut *holding).await.unwrap();
    let (of_ada, of_eve) = join(ada.refresh(store), eve.refresh(store)).await;
    all_are_ok(of_ada);
    let unavailable = matches!(
        of_eve[..],
        [Err(AppendError::Store(StoreError::Unavailable(_)))]
    );
    assert!(unavailable, "{of_eve:?}");
    assert_eq!(world.seconds().await, 5);
}

#[tokio::test]
async fn a_request_is_executed_even_if_its_caller_has_gone() {
    let world = open_unsequenced().await;
    let sessions = Sessions::of("ada", 10, &*world.store).await;
    let holding = world.hold_events().await;
    let mut callers = Vec::new();
    for staged in sessions.decided {
        let store = Arc::clone(&world.store);
        let caller = async move { append(&*store, vec![staged]).await };
        callers.push(tokio::spawn(caller));
    }
    // All of them ask, and leave.
    world.waiting(1).await;
    callers.iter().for_each(JoinHandle::abort);
    for caller in callers {
        assert!(caller.await.unwrap_err().is_cancelled());
    }
    holding.rollback().await.unwrap();
    let started = Instant::now();
    while world.seconds().await < 10 {
        assert!(started.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.refreshed_rows().await, 10);
}

#[tokio::test]
async fn an_unreadable_session_does_not_keep_another_from_being_read() {
    let world = open_unsequenced().await;
    let sessions = Sessions::of("ada", 10, &*world.store).await;
    for (number, damage) in [(3, "rotation = 'sideways'"), (6, "expires_at = 'infinity'")] {
        let session = sessions.ids[number];
        let damage = format!("UPDATE sessions SET {damage} WHERE session_id = '{session}'");
        world.execute(&damage).await;
    }
    // Each is asked for twice.
    let asked = sessions.ids.iter().chain(&sessions.ids);
    let found = join_all(asked.map(|session| world.store.session(*session))).await;
    for (number, (session, found)) in sessions.ids.iter().cycle().zip(found).enumerate() {
        match number % 10 {
            3 | 6 => assert!(found.unwrap().is_none()),
            _ => assert_eq!(found.unwrap().unwrap().session.id, *session),
        }
    }
}

#[tokio::test]
async fn lookups_that_never_pause_leave_no_tasks_behind() {
    const CALLERS: usize = 32;
    let world = open_unsequenced().await;
    let sessions = Sessions::of("ada", CALLERS, &*world.store).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let (before, most) = (tasks(), AtomicUsize::new(0));
    join_all(sessions.ids.iter().map(async |session| {
        for _ in 0..50 {
            world.store.session(*session).await.unwrap().unwrap();
            most.fetch_max(tasks(), Ordering::Relaxed);
        }
    }))
    .await;
    // The one that sends, the statements under way, and connections on their way back to the pool.
    let most = most.into_inner();
    assert!(most < before + CALLERS, "{before} tasks became {most}");
}

#[tokio::test]
async fn one_failed_attempt_to_connect_refuses_every_request_that_waits() {
    let mut server = Server::start();
    let url = server.url(&server.database().await);
    let master = MasterKey::generate(&SystemEntropy);
    let store = open_url(&url, &master).await.unwrap();
    server.stop();
    // More than fit into a group.
    let look_up_200 = async || {
        let sessions = (0..200).map(|number| SessionId::new(Uuid::from_u128(number)));
        join_all(sessions.map(|session| store.session(session))).await
    };
    // The first may still find a connection, and learn that it is broken.
    assert!(look_up_200().await.iter().all(Result::is_err));
    let refused = look_up_200().await.into_iter();
    let causes = refused.map(|refused| match refused.unwrap_err() {
        StoreError::Unavailable(cause) => cause.downcast::<Arc<sqlx::Error>>().unwrap(),
        StoreError::Unreadable(cause) => panic!("{cause}"),
    });
    let causes: Vec<_> = causes.collect();
    let one_cause = causes.iter().all(|cause| Arc::ptr_eq(cause, &causes[0]));
    assert!(one_cause, "{causes:?}");
}
