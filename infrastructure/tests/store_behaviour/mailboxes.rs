//! Addresses that are spelt in several ways and lead to one mailbox.

use std::time::Duration;

use authlog_application::ports::{AppendError, Identifier, IdentifierKind};
use authlog_domain::Email;
use authlog_infrastructure::Store;
use authlog_infrastructure::claim_upgrade::ClaimUpgrader;
use tokio::sync::watch;
use tokio::time::timeout;

use super::World;
use super::accounts::{address, asks_for, confirm};
use super::people::Person;
use super::system::now;

/// One mailbox: as its person writes it, and as browsers send it.
const WRITTEN: &str = "mo@b\u{fc}cher.example";
const SENT: &str = "mo@xn--bcher-kva.example";

/// The window in which nodes of the previous version may run.
const WINDOW: Duration = Duration::from_secs(3600);

async fn registers(store: &dyn Store, name: &str, email: &str) -> Result<Person, AppendError> {
    let person = Person::called(name);
    let number = store.next_account_number().await.unwrap();
    let registration = person.registration_with(number.get(), address(email)).await;
    store.append(registration).await.map(|_| person)
}

/// The owner of the account that is found by this spelling of its address.
async fn owner(store: &dyn Store, spelling: &str) -> Option<Person> {
    let identifier = Identifier::Email(Email::parse_existing(spelling).unwrap());
    let account = store.find_account(&identifier).await.unwrap();
    let to_sign_in = store.find_for_sign_in(&identifier).await.unwrap();
    assert_eq!(account, to_sign_in.map(|record| record.account));
    account.map(|account| Person {
        user: account.id,
        credential: account.credential,
        name: account.username.unwrap().as_str().to_owned(),
    })
}

async fn name_of_owner(store: &dyn Store, spelling: &str) -> Option<String> {
    owner(store, spelling).await.map(|person| person.name)
}

/// Registers an account with the address [`WRITTEN`], and leaves only the claims that the previous version made.
async fn registers_with_the_previous_version(world: &impl World, name: &str) -> Person {
    let store = world.store();
    // The digest of the mailbox, taken from an account whose address has no other spelling.
    let shown = registers(&*store, "shown", SENT).await.unwrap();
    world
        .execute(&format!(
            "CREATE TABLE shown AS SELECT digest FROM identifier_claims WHERE kind = 'email' AND owner = '{}'",
            shown.user
        ))
        .await;
    shown.erases_account(&*store).await;
    let person = registers(&*store, name, WRITTEN).await.unwrap();
    world
        .execute("DELETE FROM identifier_claims WHERE digest IN (SELECT digest FROM shown)")
        .await;
    world.execute("DELETE FROM finished_upgrades").await;
    world.execute("DROP TABLE shown").await;
    person
}

/// Runs the upgrade until it has nothing left to do.
async fn run_claim_upgrade(world: &impl World) {
    let (_leads, leads) = watch::channel(true);
    let mut upgrader = ClaimUpgrader::new(world.store(), leads, Duration::ZERO);
    upgrader.run().await;
    assert!(world.store().mailboxes_are_claimed().await.unwrap());
}

pub async fn an_account_is_found_by_every_spelling_of_its_mailbox(world: &impl World) {
    let store = world.store();
    registers(&*store, "mo", WRITTEN).await.unwrap();
    registers(&*store, "jose", "jose\u{301}@example.com")
        .await
        .unwrap();
    registers(&*store, "eve", "eve@xn--bcher-kva.example")
        .await
        .unwrap();
    for (spelling, name) in [
        (WRITTEN, Some("mo")),
        (SENT, Some("mo")),
        ("Mo@B\u{dc}CHER.Example", Some("mo")),
        ("mo@bu\u{308}cher.example", Some("mo")),
        ("jos\u{e9}@example.com", Some("jose")),
        ("JOSE\u{301}@EXAMPLE.com", Some("jose")),
        ("eve@b\u{fc}cher.example", Some("eve")),
        ("\"eve\"@b\u{fc}cher.example", Some("eve")),
        ("mo@bucher.example", None),
    ] {
        let found = name_of_owner(&*store, spelling).await;
        assert_eq!(found.as_deref(), name, "{spelling}");
    }
    let diagnosis = store.examine(false, now(), &|_| ()).await.unwrap();
    assert!(diagnosis.is_well(), "{diagnosis:?}");
    assert_eq!(diagnosis.shared_mailboxes, []);
}

pub async fn a_mailbox_is_one_account_however_it_is_spelt(world: &impl World) {
    let store = world.store();
    for (number, [first, second]) in [
        [WRITTEN, SENT],
        ["eve@xn--bcher-kva.example", "eve@b\u{fc}cher.example"],
        ["jos\u{e9}@example.com", "jose\u{301}@example.com"],
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("first{number}");
        registers(&*store, &name, first).await.unwrap();
        let wanted = [Identifier::Email(address(second))];
        let taken = store.taken(&wanted).await.unwrap();
        assert_eq!(taken, [IdentifierKind::Email], "{second}");
        let refused = registers(&*store, "second", second).await.err();
        assert!(
            matches!(
                refused,
                Some(AppendError::IdentifierTaken(IdentifierKind::Email))
            ),
            "{second}"
        );
    }
}

pub async fn mailboxes_of_the_previous_version_are_claimed_and_accounts_that_share_one_continue(
    world: &impl World,
) {
    let store = world.store();
    let ann = registers_with_the_previous_version(world, "ann").await;
    assert_eq!(
        name_of_owner(&*store, WRITTEN).await.as_deref(),
        Some("ann")
    );
    assert_eq!(name_of_owner(&*store, SENT).await, None);
    // Until the upgrade is finished, a mailbox that is not claimed is no damage.
    let diagnosis = store.examine(true, now(), &|_| ()).await.unwrap();
    assert!(diagnosis.divergences.is_empty(), "{diagnosis:?}");
    run_claim_upgrade(world).await;
    assert_eq!(name_of_owner(&*store, SENT).await.as_deref(), Some("ann"));
    let diagnosis = store.examine(false, now(), &|_| ()).await.unwrap();
    assert!(diagnosis.is_well(), "{diagnosis:?}");

    // The previous version did not claim mailboxes, so another person could register with it.
    ann.erases_account(&*store).await;
    let ann = registers_with_the_previous_version(world, "ann").await;
    let bob = registers(&*store, "bob", SENT).await.unwrap();
    run_claim_upgrade(world).await;
    for (spelling, name) in [
        (WRITTEN, "ann"),
        ("MO@B\u{dc}CHER.example", "ann"),
        (SENT, "bob"),
        ("mo@bu\u{308}cher.example", "bob"),
    ] {
        let found = name_of_owner(&*store, spelling).await;
        assert_eq!(found.as_deref(), Some(name), "{spelling}");
    }
    for repair in [false, true] {
        let diagnosis = store.examine(repair, now(), &|_| ()).await.unwrap();
        assert!(diagnosis.divergences.is_empty(), "{diagnosis:?}");
        assert_eq!(diagnosis.shared_mailboxes, [(ann.user, bob.user)]);
    }
    let refused = registers(&*store, "eve", "mo@bu\u{308}cher.example").await;
    assert!(matches!(refused, Err(AppendError::IdentifierTaken(_))));
}

pub async fn mailboxes_are_claimed_again_after_the_upgrade_window(world: &impl World) {
    let store = world.store();
    registers_with_the_previous_version(world, "ann").await;
    let (leads, is_led) = watch::channel(false);
    let mut upgrader = ClaimUpgrader::new(world.store(), is_led, WINDOW);
    let running = tokio::spawn(async move { upgrader.run().await });
    leads.send(true).unwrap();
    let is_found = async {
        let sent = Identifier::Email(address(SENT));
        while store.find_account(&sent).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), is_found).await.unwrap();
    // On SQLite no other program can serve the store meanwhile, and the worker is done.
    if store.since_mailbox_claims().await.unwrap().is_none() {
        running.await.unwrap();
    } else {
        assert!(!store.mailboxes_are_claimed().await.unwrap());
        running.abort();
    }
    // An old node registered this account after the mailboxes were claimed, and the window has passed since.
    world.execute("DELETE FROM finished_upgrades").await;
    owner(&*store, WRITTEN)
        .await
        .unwrap()
        .erases_account(&*store)
        .await;
    registers_with_the_previous_version(world, "bob").await;
    world
        .execute_own(
            "SELECT 1",
            "UPDATE _sqlx_migrations SET installed_on = installed_on - interval '2 hours'",
        )
        .await;
    let (_leads, is_led) = watch::channel(true);
    ClaimUpgrader::new(world.store(), is_led, WINDOW)
        .run()
        .await;
    assert_eq!(name_of_owner(&*store, SENT).await.as_deref(), Some("bob"));
    assert!(store.mailboxes_are_claimed().await.unwrap());
}

pub async fn an_account_that_shares_a_mailbox_leaves_it_to_the_other(world: &impl World) {
    let store = world.store();
    let ann = registers_with_the_previous_version(world, "ann").await;
    registers(&*store, "bob", SENT).await.unwrap();
    run_claim_upgrade(world).await;
    let asked = asks_for(&*store, &ann, "ann@elsewhere.example").await;
    ann.does(&*store, confirm(&*store, &ann, asked).await)
        .await
        .unwrap();
    for (spelling, name) in [
        (SENT, "bob"),
        (WRITTEN, "bob"),
        ("ann@elsewhere.example", "ann"),
    ] {
        let found = name_of_owner(&*store, spelling).await;
        assert_eq!(found.as_deref(), Some(name), "{spelling}");
    }
    let diagnosis = store.examine(false, now(), &|_| ()).await.unwrap();
    assert!(diagnosis.is_well(), "{diagnosis:?}");
    assert_eq!(diagnosis.shared_mailboxes, []);
}
