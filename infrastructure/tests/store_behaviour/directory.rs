//! Tests of look-ups and lists.

use std::collections::HashSet;
use std::time::Duration;

use authlog_application::ports::{
    Append, CredentialRecord, Identifier, IdentifierKind, OpaqueTokenRecord, PasswordHash,
    TokenDigest,
};
use authlog_domain::{AccountNumber, CredentialId, Role, SessionId, UserId};
use authlog_infrastructure::Store;
use tokio::task::JoinSet;

use super::World;
use super::people::{LIFETIME, Person};
use super::system::{now, random};

pub async fn an_account_is_found_by_username_and_by_email_however_they_are_spelt(
    world: &impl World,
) {
    let store = world.store();
    let ada = Person::called("Ada");
    ada.registers(&*store).await;
    Person::called("eve").registers(&*store).await;
    for spelling in [
        "Ada",
        "ada",
        "ADA",
        "Ada@People.Example",
        "ada@people.example",
    ] {
        let identifier = Identifier::parse(spelling).unwrap();
        let record = store.find_for_sign_in(&identifier).await.unwrap().unwrap();
        assert!(record.hash.unwrap().as_stored() == ada.hash(), "{spelling}");
        let account = store.find_account(&identifier).await.unwrap().unwrap();
        assert_eq!(account, record.account);
        assert_eq!(
            Some(account.clone()),
            store.account(ada.user).await.unwrap()
        );
        assert_eq!(account.id, ada.user);
        assert_eq!(account.version, 1);
        assert_eq!(account.username, Some(ada.username()));
        assert_eq!(account.email, Some(ada.email()));
        assert_eq!(account.name, Some(ada.full_name()));
        assert_eq!(account.phone, Some(ada.phone()));
        assert_eq!(account.role, Role::User);
        assert_eq!(account.credential, ada.credential);
    }
}

pub async fn only_identifiers_that_an_account_has_are_taken(world: &impl World) {
    use IdentifierKind::{Email, Username};
    let store = world.store();
    Person::called("ada").registers(&*store).await;
    let identifiers = |texts: [&str; 2]| texts.map(|text| Identifier::parse(text).unwrap());
    let taken = |texts| {
        let store = world.store();
        async move { store.taken(&identifiers(texts)).await.unwrap() }
    };
    assert_eq!(
        taken(["ADA", "Ada@people.example"]).await,
        [Username, Email]
    );
    assert_eq!(taken(["eve", "ada@people.example"]).await, [Email]);
    assert_eq!(taken(["ada", "eve@people.example"]).await, [Username]);
    assert!(taken(["eve", "eve@people.example"]).await.is_empty());
    assert!(store.taken(&[]).await.unwrap().is_empty());
}

pub async fn a_password_replaces_the_one_before(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let renewed = CredentialId::new(random());
    ada.resets_password(&*store, renewed, "$argon2id$new").await;
    let name = Identifier::Username(ada.username());
    let record = store.find_for_sign_in(&name).await.unwrap().unwrap();
    assert!(record.hash.unwrap().as_stored() == "$argon2id$new");
    assert_eq!(record.account.credential, renewed);
    assert_eq!(record.account.session_epoch, 1);
    assert_eq!(world.count("credentials").await, 1);
}

pub async fn sign_in_knows_only_the_password_that_the_account_names(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    let mut registration = ada.registration(&*store).await;
    registration.credential = Some(CredentialRecord {
        user: ada.user,
        credential: CredentialId::new(random()),
        hash: PasswordHash::from_stored("$argon2id$of-nemo".to_owned()),
    });
    store.append(registration).await.unwrap();
    let name = Identifier::Username(ada.username());
    assert!(store.find_for_sign_in(&name).await.unwrap().is_none());
    assert!(store.find_account(&name).await.unwrap().is_some());
}

pub async fn account_numbers_start_at_one_and_never_repeat(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    let first = nodes[0].next_account_number().await.unwrap();
    assert_eq!(first.get(), 1);
    let mut race = JoinSet::new();
    for runner in 0..100 {
        let store = nodes[runner % nodes.len()].clone();
        race.spawn(async move { store.next_account_number().await.unwrap() });
    }
    let numbers: HashSet<_> = race.join_all().await.into_iter().collect();
    assert_eq!(numbers.len(), 100);
    assert!(numbers.iter().all(|number| *number > first));
}

pub async fn accounts_are_listed_in_the_order_in_which_they_were_registered(world: &impl World) {
    let store = world.store();
    for number in [5, 1, 4, 2, 3] {
        let person = Person::called(&format!("person{number}"));
        let registration = person.registration_as(number).await;
        store.append(registration).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.accounts(after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.number);
        seen.extend(page.iter().map(|account| account.number.get()));
    }
    assert_eq!(seen, [5, 1, 4, 2, 3]);
    let rest = async |after| numbers_after(&*store, after).await;
    assert_eq!(rest(Some(3)).await, [0_i64; 0]);
    // No account ever had these numbers.
    assert_eq!(rest(Some(0)).await, [5, 1, 4, 2, 3]);
    assert_eq!(rest(Some(6)).await, [1, 4, 2, 3]);
    assert_eq!(rest(Some(i64::MIN)).await, [5, 1, 4, 2, 3]);
    assert_eq!(rest(Some(i64::MAX)).await, [1, 4, 2, 3]);
}

async fn numbers_after(store: &dyn Store, after: Option<i64>) -> Vec<i64> {
    let page = store.accounts(after.map(AccountNumber::new), 10).await;
    let numbers = page.unwrap().into_iter().map(|it| it.number.get());
    numbers.collect()
}

/// Numbers are drawn before registrations are stored, and these overtake each other.
pub async fn a_reader_of_all_accounts_misses_none_that_is_registered_meanwhile(world: &impl World) {
    let store = world.store();
    let first = Person::called("first").registration(&*store).await;
    let second = Person::called("second").registration(&*store).await;
    store.append(second).await.unwrap();
    wait_for_list(&*store, None, &[2]).await;
    store.append(first).await.unwrap();
    wait_for_list(&*store, Some(2), &[1]).await;
    wait_for_list(&*store, None, &[2, 1]).await;
}

/// Waits until the list has these numbers. PostgreSQL leaves out the newest accounts while an older transaction is
/// open, which may be one of another database of the same server.
async fn wait_for_list(store: &dyn Store, after: Option<i64>, numbers: &[i64]) {
    for _ in 0..1000 {
        if numbers_after(store, after).await == numbers {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(numbers_after(store, after).await, numbers);
}

pub async fn a_reader_of_all_accounts_continues_after_an_erased_account(world: &impl World) {
    let store = world.store();
    let people = ["ada", "bob", "eve"].map(Person::called);
    for (person, number) in people.iter().zip([7, 9, 8]) {
        let registration = person.registration_as(number).await;
        store.append(registration).await.unwrap();
    }
    people[1].erases_account(&*store).await;
    assert_eq!(numbers_after(&*store, None).await, [7, 8]);
    assert_eq!(numbers_after(&*store, Some(9)).await, [8]);
    people[2].erases_account(&*store).await;
    assert_eq!(numbers_after(&*store, Some(8)).await, [0_i64; 0]);
    let late = Person::called("late").registration_as(4).await;
    store.append(late).await.unwrap();
    assert_eq!(numbers_after(&*store, Some(8)).await, [4]);
    assert_eq!(numbers_after(&*store, Some(7)).await, [4]);
}

pub async fn an_opaque_token_finds_its_session_until_it_expires(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let session = SessionId::new(random());
    let digest = TokenDigest([42; 32]);
    let expires_at = now().plus(LIFETIME);
    let append = Append {
        streams: vec![ada.login(session, 0).await],
        opaque_token: Some(OpaqueTokenRecord {
            digest: digest.clone(),
            session,
            expires_at,
        }),
        ..Append::default()
    };
    store.append(append).await.unwrap();
    let at = |instant| store.session_by_opaque_token(&digest, instant);
    let standing = at(now()).await.unwrap().unwrap();
    assert_eq!(standing.session.id, session);
    assert_eq!(Some(standing), store.session(session).await.unwrap());
    let last = expires_at.minus(Duration::from_millis(1));
    assert!(at(last).await.unwrap().is_some());
    assert!(at(expires_at).await.unwrap().is_none());
    let other = TokenDigest([43; 32]);
    let found = store.session_by_opaque_token(&other, now()).await;
    assert!(found.unwrap().is_none());
    // Housekeeping removes only tokens that have expired.
    assert_eq!(store.remove_expired_tokens(last).await.unwrap(), 0);
    assert!(at(last).await.unwrap().is_some());
    assert_eq!(store.remove_expired_tokens(expires_at).await.unwrap(), 1);
    assert!(at(last).await.unwrap().is_none());
}

pub async fn unknown_accounts_and_sessions_are_not_found(world: &impl World) {
    let store = world.store();
    let nemo = Identifier::parse("nemo").unwrap();
    assert!(store.find_for_sign_in(&nemo).await.unwrap().is_none());
    assert!(store.find_account(&nemo).await.unwrap().is_none());
    let account = store.account(UserId::new(random())).await;
    assert!(account.unwrap().is_none());
    let session = store.session(SessionId::new(random())).await;
    assert!(session.unwrap().is_none());
    assert!(store.accounts(None, 10).await.unwrap().is_empty());
}

pub async fn an_open_store_is_healthy(world: &impl World) {
    world.store().check().await.unwrap();
}
