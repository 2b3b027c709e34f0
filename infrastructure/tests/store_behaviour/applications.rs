//! Sessions of applications, which end with the sessions in which people let them in.

use std::sync::Arc;

use authlog_application::ports::{AppendError, Check};
use authlog_domain::user::{GiveConsent, UserCommand};
use authlog_domain::{ClientId, Scopes, SessionId};
use authlog_infrastructure::Store;
use tokio::task::JoinSet;

use super::World;
use super::people::{Person, append, proved};
use super::seals::findings;
use super::system::{now, random};

/// A person with a session of their own, and a session of an application that ends with it.
pub async fn person_with_application(
    name: &str,
    store: &dyn Store,
) -> (Person, SessionId, SessionId) {
    let person = Person::called(name);
    person.registers(store).await;
    let own = person.signs_in(store).await;
    let application = SessionId::new(random());
    let started = person.lets_in(application, 0, own).await;
    append(store, vec![started]).await.unwrap();
    (person, own, application)
}

/// Whether the session is live by every look-up that finds it by its id, and by the list.
async fn is_live(store: &dyn Store, person: &Person, session: SessionId) -> bool {
    let mut found = Vec::new();
    for standing in [
        store.session(session).await.unwrap(),
        store.session_to_append_to(session).await.unwrap(),
    ] {
        found.push(standing.is_some_and(|it| it.is_live(now())));
    }
    let page = store.live_sessions(person.user, now(), None, 50).await;
    let listed = page.unwrap().sessions;
    found.push(listed.iter().any(|it| it.id == session));
    assert!(found.iter().all(|it| *it == found[0]), "{found:?}");
    found[0]
}

pub async fn a_session_of_an_application_is_live_only_while_its_parent_is(world: &impl World) {
    let store = world.store();
    let (ada, own, application) = person_with_application("ada", &*store).await;
    let (eve, of_eve, other) = person_with_application("eve", &*store).await;
    let another_node = world.another_node().await;
    for store in [&store, &another_node] {
        assert!(is_live(&**store, &ada, application).await);
    }
    ada.signs_out(&*store, own).await;
    for store in [&store, &another_node] {
        assert!(!is_live(&**store, &ada, application).await);
        assert!(is_live(&**store, &eve, other).await);
        assert!(is_live(&**store, &eve, of_eve).await);
    }
    // The row of the application's session says nothing of it: no event was appended to its stream.
    let standing = store.session(application).await.unwrap().unwrap();
    assert_eq!(standing.session.ended_at, None);
}

pub async fn a_parent_that_was_changed_or_removed_counts_as_ended(world: &impl World) {
    let store = world.store();
    let (ada, own, application) = person_with_application("ada", &*store).await;
    let revive = format!("UPDATE sessions SET ended_at = NULL WHERE session_id = '{own}'");
    let sweep = format!("DELETE FROM sessions WHERE session_id = '{own}'");
    let prolong = format!("UPDATE sessions SET epoch = 0, mac = NULL WHERE session_id = '{own}'");
    for change in [prolong, sweep] {
        world.execute(&change).await;
        let standing = store.session(application).await.unwrap().unwrap();
        assert!(!standing.is_live(now()), "{change}");
        findings(&*store, true).await;
        assert!(is_live(&*store, &ada, application).await, "{change}");
    }
    ada.signs_out(&*store, own).await;
    world.execute(&revive).await;
    let standing = store.session(application).await.unwrap().unwrap();
    assert!(!standing.is_live(now()));
}

/// The MAC of a row covers the columns of applications.
pub async fn a_changed_grant_or_consent_grants_nothing_until_it_is_repaired(world: &impl World) {
    let store = world.store();
    let (ada, _, application) = person_with_application("ada", &*store).await;
    let (_, of_eve, _) = person_with_application("eve", &*store).await;
    for change in [
        "client_id = 'other'".to_owned(),
        "client_id = NULL".to_owned(),
        "scopes = 'email openid profile'".to_owned(),
        "audience = NULL".to_owned(),
        "audience = '[\"https://other.example\"]'".to_owned(),
        "parent = NULL".to_owned(),
        "dpop_jkt = NULL".to_owned(),
        format!("dpop_jkt = '{}'", "A".repeat(43)),
        format!("parent = '{of_eve}'"),
    ] {
        let changes = format!("UPDATE sessions SET {change} WHERE session_id = '{application}'");
        world.execute(&changes).await;
        assert!(
            store.session(application).await.unwrap().is_none(),
            "{change}"
        );
        let found = findings(&*store, true).await;
        assert_eq!(found, [(Check::Sessions, true)], "{change}");
        assert!(is_live(&*store, &ada, application).await, "{change}");
    }
    let consent = UserCommand::GiveConsent(GiveConsent {
        at: now(),
        client: ClientId::from_stored("shop"),
        scopes: Scopes::from_stored("openid"),
        proved: proved(0),
    });
    ada.does(&*store, consent).await.unwrap();
    let given = store.account(ada.user).await.unwrap().unwrap();
    for consents in ["NULL", "'{}'", "replace(consents, 'openid', 'email')"] {
        let user = ada.user;
        let changes = format!("UPDATE accounts SET consents = {consents} WHERE user_id = '{user}'");
        world.execute(&changes).await;
        assert!(store.account(user).await.unwrap().is_none(), "{consents}");
        findings(&*store, true).await;
        let repaired = store.account(user).await.unwrap();
        assert_eq!(repaired.as_ref(), Some(&given), "{consents}");
    }
}

/// So a code, which names its session, is redeemed once.
pub async fn of_a_hundred_appends_that_start_one_session_one_succeeds(world: &impl World) {
    let store = world.store();
    let another_node = world.another_node().await;
    let (ada, own, _) = person_with_application("ada", &*store).await;
    let session = SessionId::new(random());
    let mut appends = JoinSet::new();
    for number in 0..100 {
        let started = ada.lets_in(session, 0, own).await;
        let node = if number % 2 == 0 {
            &store
        } else {
            &another_node
        };
        let node = Arc::clone(node);
        appends.spawn(async move { append(&*node, vec![started]).await });
    }
    let (mut started, mut conflicts) = (0, 0);
    for outcome in appends.join_all().await {
        match outcome {
            Err(AppendError::Conflict) => conflicts += 1,
            appended => {
                appended.unwrap();
                started += 1;
            }
        }
    }
    assert_eq!((started, conflicts), (1, 99));
    assert!(is_live(&*store, &ada, session).await);
}

/// Many look-ups at once become one statement, which also reads the parents.
pub async fn sessions_without_a_parent_are_not_affected_by_the_lookup_of_others(
    world: &impl World,
) {
    let store = world.store();
    let mut people = Vec::new();
    for number in 0..10 {
        people.push(person_with_application(&format!("person{number}"), &*store).await);
    }
    people[0].0.signs_out(&*store, people[0].1).await;
    let mut lookups = JoinSet::new();
    for (place, (_, own, application)) in people.iter().enumerate() {
        for session in [*own, *application] {
            let store = Arc::clone(&store);
            lookups.spawn(async move {
                let found = store.session(session).await.unwrap().unwrap();
                assert_eq!(found.session.id, session);
                assert_eq!(
                    found.parent.as_ref().map(|it| it.id),
                    found.session.parent()
                );
                (place, found.is_live(now()))
            });
        }
    }
    for (place, is_live) in lookups.join_all().await {
        assert_eq!(is_live, place > 0, "{place}");
    }
}
