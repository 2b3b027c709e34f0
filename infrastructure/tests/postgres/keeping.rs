//! Opening, secrets, the reset queue, and rebuilding.

use std::collections::HashSet;
use std::sync::Arc;

use authlog_application::RequestContext;
use authlog_application::ports::{
    Directory, EventStore, Rebuild, ResetRequest, ResetRequests, SessionStanding,
};
use authlog_domain::{ContractName, ResetId};
use authlog_infrastructure::postgres::PostgresStore;
use authlog_infrastructure::sealing::MasterKey;
use authlog_infrastructure::{OpenError, SharedSecrets};
use uuid::Uuid;

use super::server::{Server, open, open_at};
use super::world::{OsEntropy, Person, at, refreshed};

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_start_at_once_on_an_empty_database_agree() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let url = server.url(&server.database().await);
    let master = MasterKey::generate(&OsEntropy);
    let (one, other) = tokio::join!(
        tokio::spawn({
            let (url, master) = (url.clone(), master.clone());
            async move { open_at(&url, &master).await }
        }),
        open_at(&url, &master),
    );
    let one = one.unwrap();
    one.append(Person::new().registers("ann", 1)).await.unwrap();
    let refused = other.append(Person::new().registers("ann", 2)).await;
    assert!(refused.is_err(), "both know the same pepper");
    let (a, b) = tokio::join!(
        one.shared_secret("signing", b"one"),
        other.shared_secret("signing", b"other")
    );
    assert_eq!(a.unwrap(), b.unwrap());
}

#[tokio::test]
async fn a_database_without_the_schema_is_refused_with_what_to_do() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let url = server.url(&server.database().await);
    let master = MasterKey::generate(&OsEntropy);
    let open = |migrate, master: &MasterKey| {
        PostgresStore::open(&url, migrate, master.clone(), Arc::new(OsEntropy))
    };
    let Err(OpenError::Schema(why)) = open(false, &master).await else {
        panic!("it has no schema");
    };
    assert!(why.to_string().contains("authlog migrate"), "{why}");
    assert!(open(true, &master).await.is_ok());
    assert!(open(false, &master).await.is_ok());
    let wrong = open(true, &MasterKey::generate(&OsEntropy)).await;
    assert!(matches!(wrong, Err(OpenError::WrongMasterKey)));
    let nowhere = "postgres://postgres@127.0.0.1:1/none";
    let nowhere = PostgresStore::open(nowhere, true, master, Arc::new(OsEntropy)).await;
    assert!(matches!(nowhere, Err(OpenError::Unreachable(_))));
}

fn request(number: u128, seconds: i64) -> ResetRequest {
    ResetRequest {
        reset: ResetId::new(Uuid::from_u128(number)),
        identifier: format!("ann\u{0}{number}"),
        at: at(seconds),
        context: RequestContext {
            request: Uuid::from_u128(number),
            contract: ContractName::Users,
            address: "2001:db8::1".parse().ok(),
            user_agent: Some("curl\u{0}".to_owned()),
        },
        attempts: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_for_a_reset_is_taken_by_one_node_at_a_time_oldest_first() {
    let it = open().await;
    for number in (0..60).rev() {
        let seconds = i64::try_from(number).unwrap();
        it.store.enqueue(&request(number, seconds)).await.unwrap();
    }
    let first = it.store.take_due(at(100), at(200), 2).await.unwrap();
    let numbers: Vec<u128> = first
        .iter()
        .map(|it| it.reset.as_uuid().as_u128())
        .collect();
    assert_eq!(numbers, [0, 1]);
    assert_eq!(first[1].identifier, "ann\u{0}1");
    assert_eq!(first[1].context.user_agent.as_deref(), Some("curl\u{0}"));
    assert_eq!((first[1].at, first[1].attempts), (at(1), 1));

    let take = || it.store.take_due(at(100), at(200), 10);
    let taken = tokio::join!(take(), take(), take(), take(), take(), take());
    let taken = [taken.0, taken.1, taken.2, taken.3, taken.4, taken.5].map(Result::unwrap);
    let all: Vec<ResetId> = taken.iter().flatten().map(|it| it.reset).collect();
    let distinct: HashSet<ResetId> = all.iter().copied().collect();
    assert_eq!(all.len(), distinct.len(), "nobody took what another had");
    assert!(taken.iter().all(|taken| taken.len() <= 10));

    it.store.complete(request(0, 0).reset).await.unwrap();
    it.store
        .postpone(request(1, 0).reset, at(300))
        .await
        .unwrap();
    let again = it.store.take_due(at(250), at(400), 100).await.unwrap();
    assert_eq!(
        again.len(),
        58,
        "leases have ended; one is done and one postponed"
    );
    assert_eq!(again[0].attempts, 2);
    let postponed = it.store.take_due(at(300), at(400), 100).await.unwrap();
    assert_eq!(postponed.len(), 1);
}

#[tokio::test]
async fn a_rebuild_repairs_damaged_rows_adds_missing_ones_and_removes_orphans() {
    let it = open().await;
    let people: Vec<Person> = (0..25).map(|_| Person::new()).collect();
    for (number, person) in (0..).zip(&people) {
        let name = format!("p{number}");
        it.store
            .append(person.registers(&name, number))
            .await
            .unwrap();
        let append = person.session_grows(&*it.store, refreshed(1)).await;
        it.store.append(append).await.unwrap();
    }
    let before = standings(&it.store, &people).await;
    sqlx::raw_sql(
        r#"
        UPDATE accounts SET role = 'admin', email = NULL WHERE number < 10;
        DELETE FROM accounts WHERE number = 11;
        UPDATE sessions SET generation = 9, ended_at = now();
        INSERT INTO accounts SELECT (jsonb_populate_record(a, '{
            "user_id": "00000000-0000-4000-8000-000000000000", "number": 99}')).* FROM accounts a LIMIT 1"#,
    )
    .execute(&it.sql)
    .await
    .unwrap();
    // A fresh store has no key in memory.
    let store = open_at(&it.url, &it.master).await;
    assert_ne!(standings(&store, &people).await, before);

    let streams = store.count_streams().await.unwrap();
    assert_eq!(streams, 50);
    let (mut after, mut rebuilt) = (None, 0);
    while let Some(step) = store.rebuild_after(after.as_ref(), 7).await.unwrap() {
        assert!(step.count <= 7);
        rebuilt += step.count;
        after = Some(step.stream);
    }
    assert_eq!(rebuilt, streams);
    assert_eq!(store.remove_orphans().await.unwrap(), 1);
    assert_eq!(store.remove_orphans().await.unwrap(), 0);
    assert_eq!(standings(&store, &people).await, before);
}

#[tokio::test]
async fn a_rebuild_leaves_a_later_row_alone() {
    let it = open().await;
    let ann = Person::new();
    it.store.append(ann.registers("ann", 1)).await.unwrap();
    sqlx::query("UPDATE sessions SET version = 5, generation = 4")
        .execute(&it.sql)
        .await
        .unwrap();
    it.store.rebuild_after(None, 10).await.unwrap();
    let standing = it.store.session(ann.session).await.unwrap().unwrap();
    assert_eq!(
        (standing.session.version, standing.session.generation),
        (5, 4)
    );
}

async fn standings(store: &PostgresStore, people: &[Person]) -> Vec<Option<SessionStanding>> {
    let mut standings = Vec::new();
    for person in people {
        standings.push(store.session(person.session).await.unwrap());
    }
    standings
}
