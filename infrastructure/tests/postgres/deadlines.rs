//! A command that the server begins after its deadline is not executed; the server's own clock decides.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{Append, AppendError, EventStore, StoreError};
use authlog_domain::session::{LogOut, SessionCommand};
use authlog_domain::user::{ChangeRole, UserCommand};
use authlog_domain::{Role, SessionId};
use futures_util::future::join_all;
use sqlx::{Postgres, Transaction};
use tokio::time::Instant;

use super::{PostgresWorld, open};
use crate::store_behaviour::people::Person;
use crate::store_behaviour::system::now;
use crate::store_behaviour::{World, footprint};

/// An account, the commands about it, and the lock that keeps the server from beginning them.
struct Stalled {
    world: PostgresWorld,
    appends: Vec<Append>,
    holding: Transaction<'static, Postgres>,
}

impl Stalled {
    /// So many logouts, or a change of the account.
    async fn with(logouts: usize) -> Self {
        let world = open().await;
        let ada = Person::called("ada");
        ada.registers(&*world.store).await;
        // With each answer the store learns the server's time.
        let mut sessions: Vec<SessionId> = Vec::new();
        for _ in 0..8 {
            sessions.push(ada.signs_in(&*world.store).await);
        }
        let mut appends = Vec::new();
        for session in &sessions[..logouts] {
            let command = SessionCommand::LogOut(LogOut { at: now() });
            let staged = ada.decides_in(&*world.store, *session, command).await;
            appends.push(staged.unwrap());
        }
        if logouts == 0 {
            let (at, role) = (now(), Role::Auditor);
            let command = UserCommand::ChangeRole(ChangeRole { at, role });
            appends.push(ada.decides(&*world.store, command).await.unwrap());
        }
        // Every command about the account waits for this lock before anything else.
        let mut holding = world.sql.begin().await.unwrap();
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(ada.user.to_string())
            .execute(&mut *holding)
            .await
            .unwrap();
        let appends = appends.into_iter().map(|staged| Append {
            streams: vec![staged],
            ..Append::default()
        });
        Self {
            appends: appends.collect(),
            world,
            holding,
        }
    }
}

#[tokio::test]
async fn a_command_that_the_server_begins_after_its_deadline_is_not_executed() {
    for logouts in [0, 1, 5] {
        let Stalled {
            world,
            appends,
            holding,
        } = Stalled::with(logouts).await;
        let before = footprint(&world).await;
        let not_after = Instant::now() + Duration::from_millis(300);
        let store = Arc::clone(&world.store);
        let sent = tokio::spawn(async move {
            join_all(appends.into_iter().map(|append| {
                let not_after = Some(not_after);
                store.append(Append {
                    not_after,
                    ..append
                })
            }))
            .await
        });
        // The time of the server is known to a quarter of a second, and a lock is waited for for two.
        tokio::time::sleep_until(not_after + Duration::from_secs(1)).await;
        holding.rollback().await.unwrap();
        for outcome in sent.await.unwrap() {
            let unavailable =
                matches!(outcome, Err(AppendError::Store(StoreError::Unavailable(_))));
            assert!(unavailable, "{logouts} logouts: {outcome:?}");
        }
        assert_eq!(footprint(&world).await, before, "{logouts} logouts");
    }
}

#[tokio::test]
async fn a_command_that_the_server_begins_before_its_deadline_is_executed() {
    for logouts in [0, 1, 5] {
        let Stalled {
            world,
            appends,
            holding,
        } = Stalled::with(logouts).await;
        let events = world.count("events").await;
        let expected = events + appends.len() as i64;
        let not_after = Some(Instant::now() + Duration::from_secs(600));
        holding.rollback().await.unwrap();
        let sent = join_all(appends.into_iter().map(|append| {
            let append = Append {
                not_after,
                ..append
            };
            world.store.append(append)
        }));
        for outcome in sent.await {
            outcome.unwrap();
        }
        assert_eq!(world.count("events").await, expected);
    }
}
