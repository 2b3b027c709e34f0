//! News of sessions that ended.

use authlog_application::ports::{EventStore, Revocation, RevocationSource};
use authlog_domain::{SessionId, Timestamp};
use uuid::Uuid;

use super::server::open;
use super::world::{OsEntropy, Person, logged_out};

const FOREVER: i64 = 0;

#[tokio::test]
async fn a_logout_and_a_reset_are_told_from_the_start_and_as_they_come() {
    let it = open().await;
    let ann = Person::new();
    it.store.append(ann.registers("ann", 1)).await.unwrap();
    let since = Timestamp::from_unix_millis(FOREVER);
    let (news, cursor) = it.store.revocations_since(since).await.unwrap();
    assert_eq!(news, []);

    let append = ann.session_grows(&*it.store, logged_out()).await;
    it.store.append(append).await.unwrap();
    let append = ann.resets(&*it.store, 4).await;
    it.store.append(append).await.unwrap();
    let expected = [
        Revocation::Session(ann.session),
        Revocation::Epoch {
            user: ann.user,
            epoch: 4,
        },
    ];
    let (later, _) = it.store.revocations_after(cursor).await.unwrap();
    let (all, _) = it.store.revocations_since(since).await.unwrap();
    for news in [later, all] {
        assert_eq!(news.len(), 2);
        assert!(expected.iter().all(|it| news.contains(it)), "{news:?}");
    }
    let now: i64 = sqlx::query_scalar("SELECT extract(epoch FROM now())::bigint + 600")
        .fetch_one(&it.sql)
        .await
        .unwrap();
    let (none, _) = it
        .store
        .revocations_since(Timestamp::from_unix_millis(now * 1000))
        .await
        .unwrap();
    assert_eq!(none, []);
}

#[tokio::test]
async fn a_logout_that_commits_late_is_told_although_later_ones_were_told_before() {
    let it = open().await;
    let ann = Person::new();
    it.store.append(ann.registers("ann", 1)).await.unwrap();
    let since = Timestamp::from_unix_millis(FOREVER);
    let (_, mut cursor) = it.store.revocations_since(since).await.unwrap();

    let slow = SessionId::new(Uuid::from_u128(OsEntropy::number()));
    let mut open = it.sql.begin().await.unwrap();
    sqlx::query(
        r"
        INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
        VALUES ('session', $1, 1, 'LoggedOut', '1', '{}', '{}')",
    )
    .bind(slow.to_string())
    .execute(&mut *open)
    .await
    .unwrap();
    let append = ann.session_grows(&*it.store, logged_out()).await;
    it.store.append(append).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..3 {
        let (news, next) = it.store.revocations_after(cursor).await.unwrap();
        told.extend(news);
        cursor = next;
    }
    assert!(told.contains(&Revocation::Session(ann.session)));
    assert!(!told.contains(&Revocation::Session(slow)));

    open.commit().await.unwrap();
    let (news, next) = it.store.revocations_after(cursor).await.unwrap();
    assert!(news.contains(&Revocation::Session(slow)), "{news:?}");
    assert!(next.0 > cursor.0, "the cursor moves on");
}
