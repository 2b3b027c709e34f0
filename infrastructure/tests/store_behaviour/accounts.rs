//! Tests of changes of address, locks and live sessions.

use std::time::Duration;

use authlog_application::ports::{Append, AppendError, Identifier, IdentifierKind, LiveSessions};
use authlog_domain::user::{
    ChangePassword, ChangeRole, ConfirmEmail, Lock, RequestEmailVerification, UserCommand,
    VerificationLink,
};
use authlog_domain::{CredentialId, Email, Role, SessionId, VerificationId};
use authlog_infrastructure::Store;
use tokio::task::JoinSet;

use super::World;
use super::people::{ADDRESS, LIFETIME, Person, USER_AGENT, append, proved};
use super::system::{now, random};

const MINUTE: Duration = Duration::from_secs(60);

/// The address in `text`.
pub fn address(text: &str) -> Email {
    Email::parse(text).unwrap()
}

/// Asks for another address, and returns the request.
pub async fn asks_for(store: &dyn Store, person: &Person, email: &str) -> VerificationId {
    let verification = VerificationId::new(random());
    let command = UserCommand::RequestEmailVerification(RequestEmailVerification {
        at: now(),
        link: VerificationLink {
            verification,
            expires_at: now().plus(LIFETIME),
        },
        email: Some(address(email)),
        proved: person.proof(store).await,
    });
    person.does(store, command).await.unwrap();
    verification
}

/// Follows the link of that request.
pub async fn confirm(
    store: &dyn Store,
    person: &Person,
    verification: VerificationId,
) -> UserCommand {
    UserCommand::ConfirmEmail(ConfirmEmail {
        at: now(),
        verification,
        proved: person.proof(store).await,
        kept: None,
    })
}

pub async fn a_changed_address_is_claimed_and_the_one_before_is_free(world: &impl World) {
    let store = world.store();
    let (ada, bob) = (Person::called("ada"), Person::called("bob"));
    ada.registers(&*store).await;
    bob.registers(&*store).await;
    let before = Identifier::Email(ada.email());
    let after = Identifier::Email(address("ADA@elsewhere.example"));
    let asked = asks_for(&*store, &ada, "ada@elsewhere.example").await;
    // A requested address is not claimed yet.
    assert!(store.find_account(&after).await.unwrap().is_none());
    ada.does(&*store, confirm(&*store, &ada, asked).await)
        .await
        .unwrap();
    let found = store.find_account(&after).await.unwrap().unwrap();
    assert_eq!(found.id, ada.user);
    assert!(found.email_verified);
    assert!(store.find_account(&before).await.unwrap().is_none());
    // Another spelling of an address is the same address.
    let asked = asks_for(&*store, &ada, "Ada@Elsewhere.Example").await;
    ada.does(&*store, confirm(&*store, &ada, asked).await)
        .await
        .unwrap();
    assert!(store.find_account(&after).await.unwrap().is_some());
    // Another account can claim the previous one, and no account the one that is taken.
    let asked = asks_for(&*store, &bob, ada.email().as_str()).await;
    bob.does(&*store, confirm(&*store, &bob, asked).await)
        .await
        .unwrap();
    let asked = asks_for(&*store, &bob, "ada@elsewhere.example").await;
    let staged = bob
        .decides(&*store, confirm(&*store, &bob, asked).await)
        .await
        .unwrap();
    let refused = append(&*store, vec![staged]).await;
    assert!(matches!(
        refused,
        Err(AppendError::IdentifierTaken(IdentifierKind::Email))
    ));
    let bobs = store.find_account(&before).await.unwrap().unwrap();
    assert_eq!(bobs.id, bob.user);
    let diagnosis = store.examine(false, now(), &|_| ()).await.unwrap();
    assert!(diagnosis.is_well(), "{diagnosis:?}");
}

pub async fn people_who_race_for_one_address_get_it_once(world: &impl World) {
    let (store, other) = (world.store(), world.another_node().await);
    let mut racing = JoinSet::new();
    for number in 0..8 {
        let person = Person::called(&format!("person{number}"));
        person.registers(&*store).await;
        let asked = asks_for(&*store, &person, "wanted@people.example").await;
        let staged = person
            .decides(&*store, confirm(&*store, &person, asked).await)
            .await
            .unwrap();
        let node = if number % 2 == 0 { &store } else { &other };
        let node = node.clone();
        racing.spawn(async move { append(&*node, vec![staged]).await.is_ok() });
    }
    let won = racing.join_all().await.into_iter().filter(|won| *won);
    assert_eq!(won.count(), 1);
}

pub async fn an_append_that_would_leave_no_administrator_is_refused(world: &impl World) {
    let (store, other) = (world.store(), world.another_node().await);
    let people = [Person::called("ada"), Person::called("bob")];
    for person in &people {
        person.registers(&*store).await;
        let command = UserCommand::ChangeRole(ChangeRole {
            at: now(),
            role: Role::Admin,
        });
        person.does(&*store, command).await.unwrap();
    }
    let mut racing = JoinSet::new();
    for (person, node) in people.iter().zip([store.clone(), other]) {
        let lock = UserCommand::Lock(Lock { at: now() });
        let staged = person.decides(&*store, lock).await.unwrap();
        let append = Append {
            streams: vec![staged],
            requires_other_admin_than: Some(person.user),
            ..Append::default()
        };
        racing.spawn(async move { node.append(append).await });
    }
    let outcomes = racing.join_all().await;
    assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), 1);
    let refused = outcomes.into_iter().find_map(Result::err);
    assert!(matches!(refused, Some(AppendError::LastAdministrator)));
    let mut locked = 0;
    for person in &people {
        let account = store.account(person.user).await.unwrap().unwrap();
        locked += usize::from(account.locked);
    }
    assert_eq!(locked, 1);
}

pub async fn live_sessions_are_listed_in_pages_with_their_origins(world: &impl World) {
    let store = world.store();
    let (ada, bob) = (Person::called("ada"), Person::called("bob"));
    ada.registers(&*store).await;
    bob.registers(&*store).await;
    bob.signs_in(&*store).await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(ada.signs_in(&*store).await);
    }
    let ended = sessions.swap_remove(2);
    ada.signs_out(&*store, ended).await;
    sessions.sort_unstable();
    let live = async |after, limit| {
        let live = store.live_sessions(ada.user, now(), after, limit).await;
        let live = live.unwrap();
        let is_full = live.sessions.len() == limit as usize;
        let last = live.sessions.last().map(|it| it.id);
        assert_eq!(live.next, last.filter(|_| is_full));
        live.sessions.iter().map(|it| it.id).collect::<Vec<_>>()
    };
    assert_eq!(live(None, 10).await, sessions);
    assert_eq!(live(None, 3).await, sessions[..3]);
    assert_eq!(live(Some(sessions[2]), 3).await, sessions[3..]);
    let later = now().plus(LIFETIME).plus(MINUTE);
    let expired = store.live_sessions(ada.user, later, None, 10).await;
    assert_eq!(expired.unwrap(), LiveSessions::default());

    let origins = store.origins(ada.user, &sessions).await.unwrap();
    assert_eq!(origins.len(), sessions.len());
    for origin in origins {
        assert_eq!(origin.event.event_type, "LoggedIn");
        assert_eq!(origin.event.metadata["ip"], ADDRESS);
        assert_eq!(origin.event.metadata["user_agent"], USER_AGENT);
    }
    // The origins of sessions are shown to their own account only.
    assert!(store.origins(bob.user, &sessions).await.unwrap().is_empty());

    let kept = sessions[1];
    let command = UserCommand::ChangePassword(ChangePassword {
        at: now(),
        credential: CredentialId::new(random()),
        session: kept,
        proved: proved(0),
    });
    ada.does(&*store, command).await.unwrap();
    assert_eq!(live(None, 10).await, [kept]);
    let standing = store.session(kept).await.unwrap().unwrap();
    assert!(standing.is_live(now()));
}

pub async fn a_page_of_sessions_examines_a_bounded_number(world: &impl World) {
    const MANY: usize = 2500;
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let early = ada.signs_in(&*store).await;
    for _ in 0..MANY / 100 {
        let mut logins = Vec::new();
        for _ in 0..100 {
            logins.push(ada.login(SessionId::new(random()), 0).await);
        }
        append(&*store, logins).await.unwrap();
    }
    let ends = format!("UPDATE sessions SET ended_at = started_at WHERE session_id <> '{early}'");
    world.execute(&ends).await;
    let (mut found, mut after, mut pages) = (vec![], None, 0);
    loop {
        let page = store.live_sessions(ada.user, now(), after, 10).await;
        let page = page.unwrap();
        found.extend(page.sessions.iter().map(|it| it.id));
        pages += 1;
        assert!(page.next.is_none() || page.next > after);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, [early]);
    assert_eq!(pages, 3);

    // The session that is kept from an earlier epoch stays in its place, wherever the others are.
    let command = UserCommand::ChangePassword(ChangePassword {
        at: now(),
        credential: CredentialId::new(random()),
        session: early,
        proved: proved(0),
    });
    ada.does(&*store, command).await.unwrap();
    world.execute("UPDATE sessions SET epoch = 1").await;
    let keeps = format!("UPDATE sessions SET epoch = 0 WHERE session_id = '{early}'");
    world.execute(&keeps).await;
    let (mut found, mut after) = (vec![], None);
    loop {
        let page = store.live_sessions(ada.user, now(), after, 10).await;
        let page = page.unwrap();
        found.extend(page.sessions.iter().map(|it| it.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, [early]);
}

pub async fn other_sessions_are_those_of_the_current_epoch_and_the_one_that_was_kept(
    world: &impl World,
) {
    let store = world.store();
    let (ada, bob) = (Person::called("ada"), Person::called("bob"));
    let others = async |kept| {
        let others = store.may_have_other_sessions(ada.user, kept).await;
        others.unwrap()
    };
    assert!(!others(None).await);
    for person in [&ada, &bob] {
        person.registers(&*store).await;
    }
    bob.signs_in(&*store).await;
    assert!(!others(None).await);
    let first = ada.signs_in(&*store).await;
    assert!(others(None).await);
    assert!(!others(Some(first)).await);
    let second = ada.signs_in(&*store).await;
    assert!(others(Some(first)).await);
    ada.signs_out(&*store, second).await;
    assert!(!others(Some(first)).await);

    // The first goes on in an epoch that is not its own, and the second has ended with its own.
    ada.signs_in(&*store).await;
    let command = UserCommand::ChangePassword(ChangePassword {
        at: now(),
        credential: CredentialId::new(random()),
        session: first,
        proved: proved(0),
    });
    ada.does(&*store, command).await.unwrap();
    assert!(others(None).await);
    assert!(!others(Some(first)).await);
    let third = SessionId::new(random());
    let login = ada.login(third, 1).await;
    append(&*store, vec![login]).await.unwrap();
    assert!(others(Some(first)).await);
    assert!(others(Some(third)).await);
    ada.signs_out(&*store, first).await;
    assert!(!others(Some(third)).await);
    // An expired session still counts: the clocks of nodes differ.
    world
        .execute("UPDATE sessions SET expires_at = started_at")
        .await;
    assert!(others(None).await);
    let lock = UserCommand::Lock(Lock { at: now() });
    ada.does(&*store, lock).await.unwrap();
    assert!(!others(None).await);
}

pub async fn an_account_with_many_sessions_is_assumed_to_have_a_live_one(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    // A hundred sessions are examined.
    for (visits, others) in [(99, false), (1, true)] {
        for _ in 0..visits {
            append(&*store, vec![ada.visit().await]).await.unwrap();
        }
        let told = store.may_have_other_sessions(ada.user, None).await;
        assert_eq!(told.unwrap(), others);
    }
}
