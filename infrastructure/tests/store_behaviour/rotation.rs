//! Replacing the master key.

use std::sync::Arc;

use authlog_application::ports::{AppendError, Identifier};
use authlog_infrastructure::sealing::{MasterKey, MasterKeys};
use authlog_infrastructure::{OpenError, Store};

use super::World;
use super::people::Person;
use super::system::SystemEntropy;

/// A new key, and the store opened with both keys.
pub async fn with_both(world: &impl World) -> (MasterKey, Arc<dyn Store>) {
    let new = MasterKey::generate(&SystemEntropy);
    let keys = MasterKeys::of_rotation(world.master(), new.clone());
    (new, world.open_with(keys).await.unwrap())
}

async fn register(store: &dyn Store, name: &str, count: usize) -> Vec<Person> {
    let mut people = Vec::new();
    for number in 0..count {
        let person = Person::called(&format!("{name}{number}"));
        person.registers(store).await;
        people.push(person);
    }
    people
}

/// Runs a rotation to the end, and returns how many keys were sealed under the new key.
pub async fn rotate(store: &dyn Store) -> u64 {
    store.begin_rotation().await.unwrap();
    let (mut reached, mut rewrapped) = (None, 0);
    while let Some(step) = store.rewrap_after(reached, 3).await.unwrap() {
        assert!(step.seen <= 3);
        rewrapped += step.rewrapped;
        reached = Some(step.user);
    }
    store.finish_rotation().await.unwrap();
    rewrapped
}

async fn refused(world: &impl World, keys: impl Into<MasterKeys>) -> OpenError {
    let opened = world.open_with(keys.into()).await;
    opened.err().unwrap()
}

/// Asserts that all people are found and every personal field can be decrypted.
async fn all_are_known(store: &dyn Store, people: &[Person]) {
    for person in people {
        let found = store.find_account(&Identifier::Email(person.email())).await;
        assert_eq!(found.unwrap().unwrap().id, person.user);
        let events = store.load(&person.stream()).await.unwrap();
        let registered = &events[0].payload["UserRegistered"];
        assert_eq!(registered["username"], person.name.as_str());
        assert_eq!(registered["phone"], person.phone().as_str());
    }
}

pub async fn after_a_rotation_the_new_key_opens_everything_and_the_old_one_nothing(
    world: &impl World,
) {
    let store = world.store();
    let people = register(&*store, "ada", 10).await;
    let secret = store.shared_secret("signing-key", &[7; 32]).await.unwrap();
    let (new, both) = with_both(world).await;
    assert_eq!(rotate(&*both).await, 10);

    let error = refused(world, world.master()).await;
    assert!(matches!(error, OpenError::WrongMasterKey), "{error:?}");
    let opened = world.open_with(new.into()).await.unwrap();
    all_are_known(&*opened, &people).await;
    let same = opened.shared_secret("signing-key", &[8; 32]).await.unwrap();
    assert_eq!(same.as_slice(), secret.as_slice());
    let more = register(&*opened, "eve", 2).await;
    all_are_known(&*opened, &more).await;
    // A node that still has both keys continues with the new one.
    all_are_known(&*both, &people).await;
    register(&*both, "mallory", 1).await;
}

pub async fn an_interrupted_rotation_needs_both_keys_and_can_be_resumed(world: &impl World) {
    let people = register(&*world.store(), "ada", 10).await;
    let (new, both) = with_both(world).await;
    both.begin_rotation().await.unwrap();
    let step = both.rewrap_after(None, 4).await.unwrap().unwrap();
    assert_eq!((step.seen, step.rewrapped), (4, 4));
    drop(both);

    for only in [world.master(), new.clone()] {
        let error = refused(world, only).await;
        assert!(matches!(error, OpenError::RotationUnderWay), "{error:?}");
    }
    let another = MasterKey::generate(&SystemEntropy);
    let error = refused(world, another).await;
    assert!(matches!(error, OpenError::WrongMasterKey), "{error:?}");

    let keys = MasterKeys::of_rotation(world.master(), new.clone());
    let both = world.open_with(keys).await.unwrap();
    all_are_known(&*both, &people).await;
    let more = register(&*both, "eve", 2).await;
    assert_eq!(rotate(&*both).await, 6);
    drop(both);
    let opened = world.open_with(new.into()).await.unwrap();
    all_are_known(&*opened, &people).await;
    all_are_known(&*opened, &more).await;
}

pub async fn a_rotation_changes_no_stored_event(world: &impl World) {
    register(&*world.store(), "ada", 3).await;
    let before = world.stored_events().await;
    let (_, both) = with_both(world).await;
    rotate(&*both).await;
    let after = world.stored_events().await;
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
}

pub async fn nodes_with_both_keys_register_while_a_rotation_goes_on(world: &impl World) {
    let mut people = register(&*world.store(), "ada", 5).await;
    let (new, both) = with_both(world).await;
    let keys = MasterKeys::of_rotation(world.master(), new.clone());
    let node = world.open_with(keys).await.unwrap();
    both.begin_rotation().await.unwrap();
    // The node learns of the rotation from the conflict, and then decides again.
    let eve = Person::called("eve");
    let refused = node.append(eve.registration(&*node).await).await;
    assert!(matches!(refused, Err(AppendError::Conflict)), "{refused:?}");
    people.extend(register(&*node, "eve", 5).await);
    assert_eq!(rotate(&*both).await, 5);
    all_are_known(&*world.open_with(new.into()).await.unwrap(), &people).await;
}

/// Otherwise the data that it stores could never be decrypted again.
pub async fn a_node_without_the_new_key_stores_nothing(world: &impl World) {
    let old = world.store();
    register(&*old, "ada", 2).await;
    let (new, both) = with_both(world).await;
    rotate(&*both).await;
    let eve = Person::called("eve");
    let refused = old.append(eve.registration(&*old).await).await;
    assert!(matches!(refused, Err(AppendError::Store(_))), "{refused:?}");
    assert!(old.shared_secret("late", &[1; 32]).await.is_err());
    let opened = world.open_with(new.into()).await.unwrap();
    assert_eq!(world.count("subject_keys").await, 2);
    opened.shared_secret("late", &[2; 32]).await.unwrap();
}

pub async fn an_erasure_during_a_rotation_is_kept(world: &impl World) {
    let people = register(&*world.store(), "ada", 4).await;
    let (new, both) = with_both(world).await;
    both.begin_rotation().await.unwrap();
    people[0].erases_account(&*both).await;
    assert_eq!(rotate(&*both).await, 3);
    assert_eq!(world.count("subject_keys").await, 3);
    let opened = world.open_with(new.into()).await.unwrap();
    all_are_known(&*opened, &people[1..]).await;
}

pub async fn a_rotation_can_be_reversed(world: &impl World) {
    let people = register(&*world.store(), "ada", 4).await;
    let (new, both) = with_both(world).await;
    both.begin_rotation().await.unwrap();
    both.rewrap_after(None, 2).await.unwrap();
    let back = MasterKeys::of_rotation(new, world.master());
    let back = world.open_with(back).await.unwrap();
    assert_eq!(rotate(&*back).await, 2);
    let opened = world.open_with(world.master().into()).await.unwrap();
    all_are_known(&*opened, &people).await;
}
