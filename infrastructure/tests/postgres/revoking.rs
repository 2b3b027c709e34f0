//! News of sessions that ended, when commits take their time.

use authlog_application::ports::{Revocation, RevocationSource};
use authlog_domain::SessionId;

use super::open_unsequenced;
use crate::store_behaviour::people::Person;
use crate::store_behaviour::revocations::revocations_since;
use crate::store_behaviour::system::{now, random};

#[tokio::test]
async fn a_logout_that_commits_late_is_told_although_later_ones_were_told_before() {
    let world = open_unsequenced().await;
    let ada = Person::called("ada");
    ada.registers(&*world.store).await;
    let (_, mut cursor) = revocations_since(&*world.store, now()).await;

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
        let (news, next) = world.store.revocations_after(cursor).await.unwrap();
        told.extend(news);
        cursor = next;
    }
    assert!(told.contains(&Revocation::Session(quick)));
    assert!(!told.contains(&Revocation::Session(slow)));

    open.commit().await.unwrap();
    let (news, next) = world.store.revocations_after(cursor).await.unwrap();
    assert!(news.contains(&Revocation::Session(slow)), "{news:?}");
    assert!(next.0 > cursor.0, "the cursor moves on");
}
