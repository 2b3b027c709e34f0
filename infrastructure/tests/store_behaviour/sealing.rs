//! Tests that personal fields are encrypted in stored events.

use authlog_application::ports::StoreError;
use serde_json::json;

use super::World;
use super::people::{ADDRESS, Person, USER_AGENT};

pub async fn personal_fields_are_nowhere_in_the_stored_events_and_are_read_back(
    world: &impl World,
) {
    let store = world.store();
    let ada = Person::called("adalovelace");
    ada.registers(&*store).await;
    ada.signs_in(&*store).await;
    let stored = world.stored_events().await;
    assert_eq!(stored.len(), 2);
    for event in &stored {
        let bytes = format!("{} {}", event.payload, event.metadata).to_lowercase();
        for secret in [
            "adalovelace",
            "people.example",
            "fullname",
            "4915112345678",
            ADDRESS,
            &USER_AGENT.to_lowercase(),
            "argon2",
        ] {
            assert!(!bytes.contains(secret), "{secret} in {bytes}");
        }
        // An auditor who may not read names still sees whose event it is, by which request and through what.
        for plain in ["user_id", "request_id", "api-auth"] {
            assert!(bytes.contains(plain), "no {plain} in {bytes}");
        }
    }
    let events = world
        .another_node()
        .await
        .load(&ada.stream())
        .await
        .unwrap();
    let payload = &events[0].payload["UserRegistered"];
    assert_eq!(payload["username"], "adalovelace");
    assert_eq!(payload["email"], "adalovelace@people.example");
    assert_eq!(payload["name"], "adalovelace Fullname");
    assert_eq!(payload["phone"], "+4915112345678");
}

pub async fn a_swapped_ciphertext_is_not_opened(world: &impl World) {
    let store = world.store();
    let (ada, eve) = (Person::called("ada"), Person::called("eve"));
    ada.registers(&*store).await;
    eve.registers(&*store).await;
    let stored = world.stored_events().await;
    let payload_of = |person: &Person| -> serde_json::Value {
        let id = person.user.to_string();
        let event = stored.iter().find(|event| event.aggregate_id == id);
        serde_json::from_str(&event.unwrap().payload).unwrap()
    };

    // Another account's field, then another field of the same account.
    let mut foreign = payload_of(&ada);
    foreign["UserRegistered"]["email"] = payload_of(&eve)["UserRegistered"]["email"].clone();
    let mut moved = payload_of(&ada);
    moved["UserRegistered"]["name"] = moved["UserRegistered"]["username"].clone();
    for swapped in [foreign, moved] {
        world
            .overwrite_payload(&ada.stream(), 1, &swapped.to_string())
            .await;
        let read = world.another_node().await.load(&ada.stream()).await;
        assert!(matches!(read, Err(StoreError::Unreadable(_))), "{read:?}");
    }
}

pub async fn without_its_key_a_stream_reads_as_erased(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    world.execute("DELETE FROM subject_keys").await;
    let node = world.another_node().await;
    let events = node.load(&ada.stream()).await.unwrap();
    let payload = &events[0].payload["UserRegistered"];
    for field in ["username", "email", "name", "phone"] {
        assert_eq!(payload[field], json!({ "erased": true }), "{field}");
    }
}
