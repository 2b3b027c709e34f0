//! The stream of revocations when transactions commit late.

use authlog_application::ports::{Revocation, RevocationSource as _};
use authlog_domain::SessionId;

use super::open_unsequenced;
use crate::store_behaviour::people::Person;
use crate::store_behaviour::revocations::revocations_since;
use crate::store_behaviour::system::{now, random};

#[tokio::test]
async fn a_logout_that_commits_late_is_reported_after_later_ones() {
    let world = open_unsequenced().await;
    let ada = Person::called("ada");
    ada.registers(&*world.store).await;
    let (_, mut reader) = revocations_since(&*world.store, now()).await;

    let slow = SessionId::new(random());
    let mut open = world.sql.begin().await.unwrap();
    sqlx::query(
        r"
        INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
        VALUES ('session', $1, 1, 'LoggedOut', '1', '{}', '{}')",
    )
    .bind(slow.to_string())
    .execute(&mut *open)
    .await
    .unwrap();
    let quick = ada.signs_in(&*world.store).await;
    ada.signs_out(&*world.store, quick).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        told.extend(reader.read_new().await.unwrap());
    }
    // Once, although a transaction from before is still open.
    assert_eq!(told, [Revocation::Session(quick)]);

    open.commit().await.unwrap();
    assert_eq!(
        reader.read_new().await.unwrap(),
        [Revocation::Session(slow)]
    );
    assert_eq!(reader.read_new().await.unwrap(), []);
}

#[tokio::test]
async fn nodes_of_the_version_before_find_revocations_by_the_new_indexes() {
    const BEFORE: &str = "event_type IN ('LoggedOut', 'RefreshTokenReused', 'SessionRevoked', 'PasswordReset', 'PasswordChanged', 'SessionsRevoked', 'RoleChanged', 'UserLocked', 'UserErased')";
    let world = open_unsequenced().await;
    let mut connection = world.sql.acquire().await.unwrap();
    // Of an empty table the planner would read all of it.
    sqlx::query("SET enable_seqscan TO off")
        .execute(&mut *connection)
        .await
        .unwrap();
    for (condition, index) in [
        (
            "txid >= '3' AND txid < '9'",
            "events_ending_sessions_by_transaction",
        ),
        ("recorded_at >= now()", "events_ending_sessions_by_time"),
    ] {
        let explain = format!("EXPLAIN SELECT position FROM events WHERE {BEFORE} AND {condition}");
        let plan: Vec<String> = sqlx::query_scalar(&explain)
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        assert!(plan.join("\n").contains(index), "{plan:?}");
    }
}

#[tokio::test]
async fn a_reader_whose_connection_is_lost_does_not_continue_on_another() {
    let world = open_unsequenced().await;
    let (_, mut reader) = revocations_since(&*world.store, now()).await;
    assert_eq!(reader.read_new().await.unwrap(), []);
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&world.sql)
    .await
    .unwrap();
    for _ in 0..3 {
        assert!(reader.read_new().await.is_err());
    }
    // Another reader can be made at once.
    let mut reader = world.store.follow_revocations().await.unwrap();
    assert_eq!(reader.read_new().await.unwrap(), []);
}
