//! What one append writes, and what it refuses.

use authlog_application::ports::{AppendError, Directory, EventStore, IdentifierKind, StoreError};
use authlog_domain::Timestamp;
use authlog_projections::{Row, row};
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::server::open;
use super::world::{Person, at, logged_out, refreshed, username};

#[tokio::test]
async fn what_was_appended_is_read_back_as_it_was() {
    let it = open().await;
    let ann = Person::new();
    let append = ann.registers("Ann", 7);
    it.store.append(append.clone()).await.unwrap();
    it.store
        .append(ann.session_grows(&*it.store, refreshed(1)).await)
        .await
        .unwrap();

    let events = it.store.load(&ann.user_stream()).await.unwrap();
    assert_eq!(events[0].payload, append.streams[0].new[0].payload);
    let found = it
        .store
        .find_for_sign_in(&username("ann"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.hash.as_stored(), ann.hash());
    let Some(Row::Account(account)) = row(ann.user_stream().kind, &events).unwrap() else {
        panic!("no account");
    };
    assert_eq!(found.account, *account);
    assert_eq!(found.account.name.as_ref().unwrap().as_str(), "Anné O’Neil");

    let events = it.store.load(&ann.session_stream()).await.unwrap();
    let Some(Row::Session(session)) = row(ann.session_stream().kind, &events).unwrap() else {
        panic!("no session");
    };
    let digest = ann.digest();
    let token = |now| it.store.session_by_opaque_token(&digest, now);
    let standing = token(at(1799)).await.unwrap().unwrap();
    assert_eq!(
        (&standing.session, &standing.account),
        (&*session, &*account)
    );
    assert!(token(at(1800)).await.unwrap().is_none(), "it has expired");

    let stored: String = sqlx::query_scalar("SELECT string_agg(events::text, ' ') FROM events")
        .fetch_one(&it.sql)
        .await
        .unwrap();
    for personal in ["Ann", "example.org", "192.0.2.1"] {
        assert!(
            !stored.contains(personal),
            "{personal} is stored in {stored}"
        );
    }
}

#[tokio::test]
async fn two_commands_on_one_stream_conflict() {
    let it = open().await;
    let ann = Person::new();
    it.store.append(ann.registers("ann", 1)).await.unwrap();
    let first = ann.session_grows(&*it.store, refreshed(1)).await;
    let second = ann.session_grows(&*it.store, logged_out()).await;
    it.store.append(first).await.unwrap();
    let refused = it.store.append(second).await.unwrap_err();
    assert!(matches!(refused, AppendError::Conflict), "{refused:?}");
    let standing = it.store.session(ann.session).await.unwrap().unwrap();
    assert_eq!(standing.session.generation, 1);
    assert_eq!(standing.session.ended_at, None);
}

#[tokio::test]
async fn of_a_hundred_who_register_one_name_exactly_one_gets_it() {
    let it = open().await;
    let mut registrations = JoinSet::new();
    for number in 0..100 {
        let store = it.store.clone();
        let append = Person::new().registers("everybody", number);
        registrations.spawn(async move { store.append(append).await });
    }
    let (mut won, mut taken) = (0, 0);
    while let Some(outcome) = registrations.join_next().await {
        match outcome.unwrap() {
            Ok(()) => won += 1,
            Err(AppendError::IdentifierTaken(IdentifierKind::Username | IdentifierKind::Email)) => {
                taken += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((won, taken), (1, 99));
    assert_eq!(counts(&it.sql).await, [2, 2, 1, 1, 1, 1, 1]);
}

#[tokio::test]
async fn a_claim_that_fails_leaves_nothing_behind() {
    let it = open().await;
    it.store
        .append(Person::new().registers("ann", 1))
        .await
        .unwrap();
    let before = counts(&it.sql).await;

    let other = Person::new();
    let mut append = other.registers("bob", 2);
    // Only the address is Ann's.
    append.streams[0].new[0].payload["UserRegistered"]["email"] = "ANN@example.org".into();
    let refused = it.store.append(append).await.unwrap_err();
    assert!(
        matches!(refused, AppendError::IdentifierTaken(IdentifierKind::Email)),
        "{refused:?}"
    );
    assert_eq!(counts(&it.sql).await, before);
    assert!(
        it.store
            .load(&other.user_stream())
            .await
            .unwrap()
            .is_empty()
    );
    let names = [
        username("bob"),
        username("ann"),
        username("ann@example.org"),
    ];
    assert_eq!(
        it.store.taken(&names).await.unwrap(),
        [IdentifierKind::Username, IdentifierKind::Email]
    );
}

/// Rows in the tables that an append writes.
async fn counts(sql: &PgPool) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in [
        "events",
        "identifier_claims",
        "credentials",
        "subject_keys",
        "opaque_tokens",
        "accounts",
        "sessions",
    ] {
        let query = format!("SELECT count(*) FROM {table}");
        counts.push(sqlx::query_scalar(&query).fetch_one(sql).await.unwrap());
    }
    counts
}

#[tokio::test]
async fn what_was_recorded_cannot_be_changed_even_by_a_superuser() {
    let it = open().await;
    it.store
        .append(Person::new().registers("ann", 1))
        .await
        .unwrap();
    for change in [
        "UPDATE events SET event_type = 'Else'",
        "DELETE FROM events",
        "TRUNCATE events",
        "TRUNCATE events CASCADE",
        "SET session_replication_role = replica; DELETE FROM events",
        "DELETE FROM event_log",
    ] {
        let mut connection = it.sql.acquire().await.unwrap();
        let refused = sqlx::raw_sql(change).execute(&mut *connection).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("is refused"), "{change}: {error}");
    }
    assert_eq!(counts(&it.sql).await[0], 2);
}

#[tokio::test]
async fn an_event_that_does_not_decode_is_an_error_and_no_panic() {
    let it = open().await;
    let ann = Person::new();
    it.store.append(ann.registers("ann", 1)).await.unwrap();
    sqlx::query(
        r"
        INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
        VALUES ('user', $1, 2, 'RoleChanged', '1', '1e999', '{}')",
    )
    .bind(ann.user.to_string())
    .execute(&it.sql)
    .await
    .unwrap();
    let error = it.store.load(&ann.user_stream()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreadable(_)), "{error:?}");
    let healthy = it.store.account(ann.user).await.unwrap().unwrap();
    assert!(healthy.updated_at < Timestamp::from_unix_millis(i64::MAX / 1_000_000));
}
