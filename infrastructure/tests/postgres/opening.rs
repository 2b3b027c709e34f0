//! Opening a database in every state.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{MailKind, MailQueue as _};
use authlog_domain::user::{Lock, UserCommand};
use authlog_infrastructure::OpenError;
use authlog_infrastructure::postgres::PostgresStore;
use authlog_infrastructure::sealing::MasterKey;

use super::server::Server;
use super::{open_unsequenced, open_url};
use crate::store_behaviour::World;
use crate::store_behaviour::people::Person;
use crate::store_behaviour::system::{SystemEntropy, now};

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_at_once_on_an_empty_database_agree() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let url = server.url(&server.database().await);
    let master = MasterKey::generate(&SystemEntropy);
    let open = || open_url(&url, &master);
    let (one, two, three) = tokio::join!(open(), open(), open());
    let stores = [one, two, three].map(Result::unwrap);
    Person::called("ada").registers(&*stores[0]).await;
    for store in &stores {
        use authlog_application::ports::{Directory, Identifier};
        let ada = Identifier::parse("ada").unwrap();
        let found = store.find_account(&ada).await.unwrap();
        assert!(found.is_some(), "all know the same pepper");
    }
}

#[tokio::test]
async fn a_schema_that_is_behind_or_ahead_is_refused_with_what_to_do() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let url = server.url(&server.database().await);
    let master = MasterKey::generate(&SystemEntropy);
    let open = |migrate| {
        let entropy = Arc::new(SystemEntropy);
        PostgresStore::open(&url, migrate, master.clone(), entropy)
    };
    assert_refused(open(false).await, "authlog migrate");
    assert!(open(true).await.is_ok());
    assert!(open(false).await.is_ok());

    let sql = sqlx::PgPool::connect(&url).await.unwrap();
    sqlx::raw_sql("UPDATE _sqlx_migrations SET checksum = '' WHERE version = 3")
        .execute(&sql)
        .await
        .unwrap();
    assert_refused(open(true).await, "development version");
    sqlx::raw_sql("UPDATE _sqlx_migrations SET version = 9999 WHERE version = 3")
        .execute(&sql)
        .await
        .unwrap();
    assert_refused(open(true).await, "newer");
}

fn assert_refused(outcome: Result<PostgresStore, OpenError>, word: &str) {
    let Err(OpenError::Schema(why)) = outcome else {
        panic!("{:?}", outcome.map(drop));
    };
    assert!(why.to_string().contains(word), "{why}");
}

#[tokio::test]
async fn a_store_without_a_server_is_unreachable() {
    let nowhere = "postgres://postgres@127.0.0.1:1/none";
    let outcome = open_url(nowhere, &MasterKey::generate(&SystemEntropy)).await;
    assert!(matches!(outcome, Err(OpenError::Unreachable(_))));
}

#[tokio::test]
async fn a_role_that_may_only_use_the_tables_can_open_and_write() {
    let world = open_unsequenced().await;
    let database = world.url.rsplit('/').next().unwrap();
    let role = format!("role_{database}");
    world
        .execute(&format!(
            "CREATE ROLE {role} LOGIN;
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
        ))
        .await;
    let url = world.url.replace("postgres@", &format!("{role}@"));
    let store = open_url(&url, &world.master).await.unwrap();
    Person::called("ada").registers(&*store).await;
}

/// An append locks accounts before sessions.
#[tokio::test]
async fn columns_are_added_while_an_append_waits_for_its_second_table() {
    let world = open_unsequenced().await;
    world
        .execute(
            "ALTER TABLE sessions DROP client_id, DROP scopes, DROP audience, DROP parent, DROP dpop_jkt;
             ALTER TABLE accounts DROP consents;
             DELETE FROM _sqlx_migrations WHERE version IN (40, 41, 42)",
        )
        .await;
    let mut append = world.sql.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE accounts IN ROW EXCLUSIVE MODE")
        .execute(&mut *append)
        .await
        .unwrap();
    let opening = tokio::spawn({
        let (url, master) = (world.url.clone(), world.master.clone());
        async move { open_url(&url, &master).await }
    });
    let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                    WHERE d.datname = current_database() AND l.relation = 'accounts'::regclass AND NOT l.granted";
    while world.number(waiting).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sqlx::raw_sql("LOCK TABLE sessions IN ROW EXCLUSIVE MODE")
        .execute(&mut *append)
        .await
        .unwrap();
    append.commit().await.unwrap();
    let store = opening.await.unwrap().unwrap();
    Person::called("ada").registers(&*store).await;
}

#[tokio::test]
async fn mail_that_an_old_node_queues_is_taken_from_the_new_queue() {
    let world = open_unsequenced().await;
    let ada = Person::called("ada");
    ada.registers(&*world.store).await;
    let lock = UserCommand::Lock(Lock { at: now() });
    ada.does(&*world.store, lock).await.unwrap();
    world
        .execute(
            "DELETE FROM mail_queue;
             INSERT INTO due_mail (aggregate_type, aggregate_id, sequence, user_id, due_at)
             SELECT aggregate_type, aggregate_id, sequence, user_id, recorded_at FROM events
              WHERE event_type = 'UserLocked'",
        )
        .await;
    let due = world.store.take_due_mail(now(), now(), 10).await.unwrap();
    let due: Vec<_> = due
        .iter()
        .map(|it| (it.user, it.kind, it.happened))
        .collect();
    assert_eq!(due, [(ada.user, MailKind::AccountLocked, 1)]);
    assert_eq!(world.count("due_mail").await, 0);
}
