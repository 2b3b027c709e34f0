//! Tests of the schema check, and of triggers that suppress rows.

use authlog_application::ports::{Append, Check, OpaqueTokenRecord, TokenDigest};
use authlog_domain::SessionId;
use authlog_domain::user::{Lock, UserCommand};
use futures_util::future::join_all;

use super::people::{LIFETIME, Person, append, refresh};
use super::system::{now, random};
use super::{World, footprint};

async fn faults(world: &impl World) -> Vec<String> {
    world.store().schema_faults(false).await.unwrap()
}

pub async fn the_schema_of_this_program_has_no_fault(world: &impl World) {
    assert_eq!(faults(world).await, Vec::<String>::new());
    let diagnosis = world.store().examine(false, now(), &|_| {}).await.unwrap();
    assert!(diagnosis.is_well(), "{diagnosis:?}");
    for sql in [
        "CREATE TABLE notes (text text)",
        "CREATE INDEX accounts_by_name ON accounts (name)",
    ] {
        world.execute(sql).await;
    }
    assert_eq!(faults(world).await, Vec::<String>::new());
}

pub async fn a_foreign_trigger_is_named(world: &impl World) {
    world
        .execute_own(
            "CREATE TRIGGER undo AFTER UPDATE ON accounts BEGIN DELETE FROM sessions; END",
            "CREATE TRIGGER undo BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        )
        .await;
    let named = ["the trigger undo on accounts is not of this program"];
    assert_eq!(faults(world).await, named);
    let diagnosis = world.store().examine(false, now(), &|_| {}).await.unwrap();
    assert_eq!(diagnosis.divergences[&Check::Schema].count, 1);
}

pub async fn a_dropped_guard_is_named(world: &impl World) {
    world.drop_guards().await;
    let named = faults(world).await;
    assert!(!named.is_empty());
    assert!(
        named.iter().all(|fault| fault.contains("trigger")),
        "{named:?}"
    );
}

/// The changed code runs on every insertion, under an expected name.
pub async fn a_changed_body_is_named(world: &impl World) {
    world
        .execute_own(
            "DROP TRIGGER accounts_have_places;
             CREATE TRIGGER accounts_have_places AFTER INSERT ON accounts BEGIN DELETE FROM sessions; END",
            "CREATE OR REPLACE FUNCTION place_account() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN DELETE FROM sessions; RETURN NEW; END $$",
        )
        .await;
    let is_named = [
        ["the trigger accounts_have_places is missing or was changed"],
        ["the function place_account is missing or was changed"],
    ];
    let named = faults(world).await;
    assert!(is_named.iter().any(|it| *it == *named), "{named:?}");
}

/// A trigger that the owner of the database has created suppresses the rows.
pub async fn an_append_whose_rows_do_not_stay_is_refused_and_leaves_nothing(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let session = ada.signs_in(&*store).await;
    world
        .execute_own(
            "SELECT 1",
            "CREATE FUNCTION keep_back() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        )
        .await;
    for (table, operation) in [
        ("events", "INSERT"),
        ("sessions", "INSERT"),
        ("sessions", "UPDATE"),
        ("accounts", "UPDATE"),
        ("accounts", "INSERT"),
        ("subject_keys", "INSERT"),
        ("identifier_claims", "INSERT"),
        ("credentials", "INSERT"),
        ("opaque_tokens", "INSERT"),
        ("mail_queue", "INSERT"),
    ] {
        world
            .execute_own(
                &format!("CREATE TRIGGER undo BEFORE {operation} ON {table} BEGIN SELECT RAISE(IGNORE); END"),
                &format!("CREATE TRIGGER undo BEFORE {operation} ON {table} FOR EACH ROW EXECUTE FUNCTION keep_back()"),
            )
            .await;
        let before = footprint(world).await;
        let refused = match (table, operation) {
            ("events" | "sessions", "INSERT") => {
                // Alone and together with others, which PostgreSQL writes by other statements.
                let login = || ada.login(SessionId::new(random()), 0);
                let several = join_all((0..6).map(|_| login())).await;
                let appends = several.into_iter().map(|it| append(&*store, vec![it]));
                let outcomes = join_all(appends).await;
                assert!(outcomes.iter().all(Result::is_err), "{table}: {outcomes:?}");
                append(&*store, vec![login().await]).await
            }
            ("sessions", _) => {
                let staged = ada.decides_in(&*store, session, refresh(0, 0)).await;
                append(&*store, vec![staged.unwrap()]).await
            }
            ("opaque_tokens", _) => {
                let with_token = SessionId::new(random());
                let append = Append {
                    streams: vec![ada.login(with_token, 0).await],
                    opaque_token: Some(OpaqueTokenRecord {
                        digest: TokenDigest([7; 32]),
                        session: with_token,
                        expires_at: now().plus(LIFETIME),
                    }),
                    ..Append::default()
                };
                store.append(append).await.map(drop)
            }
            ("accounts", "UPDATE") | ("mail_queue", _) => {
                let lock = UserCommand::Lock(Lock { at: now() });
                let staged = ada.decides(&*store, lock).await;
                append(&*store, vec![staged.unwrap()]).await
            }
            _ => store
                .append(Person::called("eve").registration(&*store).await)
                .await
                .map(drop),
        };
        assert!(refused.is_err(), "{operation} {table}");
        assert_eq!(footprint(world).await, before, "{operation} {table}");
        world
            .execute_own(
                "DROP TRIGGER undo",
                &format!("DROP TRIGGER undo ON {table}"),
            )
            .await;
    }
    ada.signs_in(&*store).await;
    Person::called("eve").registers(&*store).await;
}
