//! Constraints on events and rows that the database itself enforces.

use std::sync::Arc;

use authlog_application::ports::{
    AppendError, Directory, EventStore, Rebuild, ResetRequest, ResetRequests, StoreError,
};
use authlog_application::{ClientPresence, RequestContext};
use authlog_domain::{ContractName, ResetId};
use tokio::task::JoinSet;

use super::open_unsequenced;
use crate::store_behaviour::people::Person;
use crate::store_behaviour::system::{now, random};
use crate::store_behaviour::{World, footprint};

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_people_who_register_one_name_one_gets_it_and_the_others_leave_nothing() {
    let world = super::open().await;
    let mut race = JoinSet::new();
    for _ in 0..100 {
        let store = Arc::clone(&world.store);
        race.spawn(async move {
            let registration = Person::called("everybody").registration(&*store).await;
            store.append(registration).await
        });
    }
    let outcomes = race.join_all().await;
    assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), 1);
    let refused = outcomes.iter().filter_map(|it| it.as_ref().err());
    for refusal in refused {
        let taken = matches!(refusal, AppendError::IdentifierTaken(_));
        assert!(taken, "{refusal:?}");
    }
    let expected = [
        ("events", 1),
        ("identifier_claims", 2),
        ("credentials", 1),
        ("opaque_tokens", 0),
        ("subject_keys", 1),
        ("accounts", 1),
        ("sessions", 0),
        ("clients", 0),
        ("mail_queue", 0),
        ("event_log", 1),
    ];
    assert_eq!(footprint(&world).await, expected);
}

#[tokio::test]
async fn a_number_that_another_account_has_is_a_conflict() {
    let world = super::open().await;
    Person::called("ada").registers(&*world.store).await;
    let before = footprint(&world).await;
    let eve = Person::called("eve").registration_as(1).await;
    let outcome = world.store.append(eve).await;
    assert!(matches!(outcome, Err(AppendError::Conflict)), "{outcome:?}");
    assert_eq!(footprint(&world).await, before);
}

#[tokio::test]
async fn what_was_recorded_cannot_be_changed_even_by_a_superuser() {
    let world = open_unsequenced().await;
    Person::called("ada").registers(&*world.store).await;
    for change in [
        "UPDATE events SET event_type = 'Else'",
        "DELETE FROM events",
        "TRUNCATE events CASCADE",
        "SET session_replication_role = replica; DELETE FROM events",
        "UPDATE event_log SET sequence = 2",
        "DELETE FROM event_log",
        "TRUNCATE event_log",
    ] {
        let refused = sqlx::raw_sql(change).execute(&world.sql).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("is refused"), "{change}: {error}");
    }
    assert_eq!(world.count("events").await, 1);
}

#[tokio::test]
async fn an_event_that_does_not_decode_is_an_error_and_no_panic() {
    let world = open_unsequenced().await;
    let ada = Person::called("ada");
    ada.registers(&*world.store).await;
    // PostgreSQL takes it for JSON, and serde does not: no float is that large.
    world.overwrite_payload(&ada.stream(), 1, "1e999").await;
    let error = world.store.load(&ada.stream()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreadable(_)), "{error:?}");
    assert!(world.store.account(ada.user).await.unwrap().is_some());
}

#[tokio::test]
async fn a_rebuild_leaves_a_later_row_alone() {
    let world = open_unsequenced().await;
    let ada = Person::called("ada");
    ada.registers(&*world.store).await;
    let session = ada.signs_in(&*world.store).await;
    world
        .execute("UPDATE sessions SET version = 5, generation = 4")
        .await;
    let stretch = world.store.range_after(None, 10).await.unwrap().unwrap();
    world.store.rebuild(&stretch, now()).await.unwrap();
    let rows = world.store.live_sessions(ada.user, now(), None, 10).await;
    let row = &rows.unwrap().sessions[0];
    assert_eq!((row.id, row.version, row.generation), (session, 5, 4));
}

#[tokio::test]
async fn a_request_for_a_reset_keeps_what_text_cannot_hold() {
    let world = open_unsequenced().await;
    let request = ResetRequest {
        reset: ResetId::new(random()),
        identifier: "ada\u{0}".to_owned(),
        at: now(),
        context: RequestContext {
            request: random(),
            contract: ContractName::Users,
            address: "2001:db8::1".parse().ok(),
            user_agent: Some("curl\u{0}".to_owned()),
            presence: ClientPresence::default(),
        },
        attempts: 0,
        unacknowledged: 0,
    };
    world.store.enqueue(&request).await.unwrap();
    let taken = world.store.take_due(request.at, request.at, 1).await;
    let taken = taken.unwrap().remove(0);
    assert_eq!(taken.identifier, request.identifier);
    assert_eq!(taken.context.user_agent, request.context.user_agent);
    assert_eq!(taken.context.address, request.context.address);
    assert_eq!((taken.at, taken.attempts), (request.at, 1));
}
