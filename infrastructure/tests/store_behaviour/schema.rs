//! The objects of the schema.

use authlog_application::ports::Check;

use super::World;
use super::system::now;

async fn faults(world: &impl World) -> Vec<String> {
    world.store().schema_faults(false).await.unwrap()
}

pub async fn a_schema_as_this_program_makes_it_has_no_fault(world: &impl World) {
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
