//! Which rows a rebuild writes: those that are not as they should be, and no other.

use super::{PostgresWorld, open_unsequenced};
use crate::store_behaviour::World;
use crate::store_behaviour::clients::{client, does, registration};
use crate::store_behaviour::people::Person;
use crate::store_behaviour::read_models::{a_person_with_everything, rebuild};

/// The rows of a table as text, with all of its columns.
async fn rows(world: &PostgresWorld, table: &str) -> Vec<String> {
    texts(world, &format!("SELECT t::text FROM {table} t ORDER BY 1")).await
}

/// Where the rows of a table lie, who wrote them and who locked them.
async fn writes(world: &PostgresWorld, table: &str) -> Vec<String> {
    let sql = format!("SELECT concat(ctid, ' ', xmin, ' ', xmax) FROM {table} ORDER BY ctid");
    texts(world, &sql).await
}

async fn texts(world: &PostgresWorld, sql: &str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(&world.sql).await.unwrap()
}

#[tokio::test]
async fn a_rebuild_writes_no_row_that_is_as_it_should_be() {
    let world = open_unsequenced().await;
    for name in ["ada", "eve", "joe"] {
        let person = Person::called(name);
        person.registers(&*world.store).await;
        person.signs_in(&*world.store).await;
        does(&*world.store, &client(name), registration(name)).await;
    }
    for table in ["accounts", "sessions", "clients"] {
        let before = writes(&world, table).await;
        rebuild(&*world.store, 10).await;
        assert_eq!(writes(&world, table).await, before, "{table}");
    }

    world
        .execute("UPDATE accounts SET phone = NULL WHERE username = 'eve'")
        .await;
    let before = writes(&world, "accounts").await;
    rebuild(&*world.store, 10).await;
    let after = writes(&world, "accounts").await;
    let untouched = after.iter().filter(|row| before.contains(row)).count();
    assert_eq!((after.len(), untouched), (3, 2));
}

#[tokio::test]
async fn a_row_that_was_damaged_in_any_column_is_repaired() {
    let world = open_unsequenced().await;
    a_person_with_everything(&*world.store).await;
    does(&*world.store, &client("shop"), registration("Shop")).await;
    for (table, key, columns) in [
        ("accounts", "user_id", 24),
        ("sessions", "session_id", 19),
        ("clients", "client_id", 4),
    ] {
        let whole = rows(&world, table).await;
        let damages = format!(
            r"
            SELECT format('UPDATE {table} SET %1$I = ' || CASE data_type
                              WHEN 'text' THEN '%1$I || ''?'''
                              WHEN 'uuid' THEN 'gen_random_uuid()'
                              WHEN 'bigint' THEN '%1$I - 1'
                              WHEN 'bytea' THEN '%1$I || ''\x00'''
                              WHEN 'boolean' THEN 'NOT %1$I'
                              WHEN 'timestamp with time zone' THEN '%1$I + interval ''1 ms'''
                          END, column_name)
              FROM information_schema.columns
             WHERE table_name = '{table}' AND column_name <> '{key}'"
        );
        let damages = texts(&world, &damages).await;
        assert_eq!(damages.len(), columns - 1);
        for damage in damages {
            world.execute(&damage).await;
            assert_ne!(rows(&world, table).await, whole, "{damage}");
            rebuild(&*world.store, 10).await;
            assert_eq!(rows(&world, table).await, whole, "{damage}");
        }
    }
}
