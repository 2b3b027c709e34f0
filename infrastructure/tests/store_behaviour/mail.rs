//! Tests of the mail queue, and of the gate that limits the mail to each mailbox.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{Admission, DueMail, MailKind, QueuedMail};
use authlog_domain::user::{Lock, Unlock, UserCommand};
use authlog_domain::{Email, Timestamp};
use authlog_infrastructure::Store;
use tokio::task::JoinSet;

use super::World;
use super::accounts::{address, asks_for, confirm};
use super::people::Person;
use super::reset_requests::request;
use super::system::now;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A person who has registered.
async fn registered(store: &dyn Store, name: &str) -> Person {
    let person = Person::called(name);
    person.registers(store).await;
    person
}

/// Locks the account so many times, and unlocks it in between. Each lock sends a notification mail.
async fn lock_times(store: &dyn Store, person: &Person, times: usize) {
    for _ in 0..times {
        let at = now();
        for command in [
            UserCommand::Unlock(Unlock { at }),
            UserCommand::Lock(Lock { at }),
        ] {
            person.does(store, command).await.unwrap();
        }
    }
}

/// Takes the mail that is due at `at`, with a lease of one minute.
async fn take(store: &dyn Store, at: Timestamp) -> Vec<DueMail> {
    store
        .take_due_mail(at, at.plus(MINUTE), 1000)
        .await
        .unwrap()
}

/// Queues a request for a reset, and returns its entry.
async fn reset_entry(store: &dyn Store) -> QueuedMail {
    let request = request(now());
    store.enqueue(&request).await.unwrap();
    QueuedMail::Reset(request.reset)
}

/// Asks the gate to admit this number of new entries to `to`, and returns how many it admits.
async fn admitted(
    store: &dyn Store,
    to: &Email,
    kind: MailKind,
    entries: usize,
    at: Timestamp,
) -> usize {
    let mut admitted = 0;
    for _ in 0..entries {
        let entry = reset_entry(store).await;
        let answer = store.admit(entry, to, kind, at).await.unwrap();
        admitted += usize::from(answer == Admission::Admitted);
    }
    admitted
}

pub async fn mail_is_due_with_its_event_and_handled_by_one_node_at_a_time(world: &impl World) {
    let (store, other) = (world.store(), world.another_node().await);
    let ada = registered(&*store, "ada").await;
    let bob = registered(&*store, "bob").await;
    assert_eq!(world.count("mail_queue").await, 0);
    lock_times(&*store, &ada, 1).await;
    lock_times(&*store, &bob, 1).await;
    let at = now();
    let mut taken = take(&*other, at).await;
    taken.sort_by_key(|mail| mail.user != ada.user);
    assert_eq!(taken.len(), 2);
    let of_ada = DueMail {
        id: taken[0].id,
        user: ada.user,
        kind: MailKind::AccountLocked,
        address: None,
        happened: 1,
        happened_at: taken[0].happened_at,
        attempts: 1,
        unacknowledged: 0,
    };
    assert_eq!(taken[0], of_ada);
    assert!(take(&*store, at).await.is_empty());
    // An entry that was neither completed nor postponed comes back.
    let later = at.plus(MINUTE);
    let mut again = take(&*store, later).await;
    again.sort_by_key(|mail| mail.user != ada.user);
    assert_eq!(again.len(), 2);
    store.complete_mail(&again[1]).await.unwrap();
    let much_later = later.plus(HOUR);
    store.postpone_mail(&again[0], much_later).await.unwrap();
    assert!(take(&*store, later.plus(MINUTE)).await.is_empty());
    assert_eq!(take(&*store, much_later).await.len(), 1);
    // The owner of an erased account gets no mail.
    ada.erases_account(&*store).await;
    assert_eq!(world.count("mail_queue").await, 0);
}

pub async fn events_while_a_mail_waits_are_counted_in_its_entry(world: &impl World) {
    let store = world.store();
    let ada = registered(&*store, "ada").await;
    lock_times(&*store, &ada, 12).await;
    for wanted in ["a@example.com", "b@example.com", "A@Example.com"] {
        asks_for(&*store, &ada, wanted).await;
    }
    for _ in 0..3 {
        let asked = store.enqueue_mail(ada.user, MailKind::AddressWanted, now());
        asked.await.unwrap();
    }
    let taken = take(&*store, now()).await;
    let mut counts: Vec<_> = taken
        .iter()
        .map(|mail| (mail.kind.as_str(), mail.happened))
        .collect();
    counts.sort_unstable();
    let expected = [
        ("account-locked", 12),
        ("address-wanted", 3),
        ("verification-link", 1),
        ("verification-link", 2),
    ];
    assert_eq!(counts, expected);
}

pub async fn events_while_a_mail_is_sent_are_due_afterwards(world: &impl World) {
    let store = world.store();
    let ada = registered(&*store, "ada").await;
    lock_times(&*store, &ada, 2).await;
    let at = now();
    let sent = take(&*store, at).await.remove(0);
    lock_times(&*store, &ada, 3).await;
    store.complete_mail(&sent).await.unwrap();
    let rest = take(&*store, now()).await.remove(0);
    assert_eq!(rest.happened, 3);
    // A second completion removes nothing, and a late postponement does not delay the rest.
    store.complete_mail(&sent).await.unwrap();
    store
        .postpone_mail(&sent, now().plus(24 * HOUR))
        .await
        .unwrap();
    // The rest is still due after both.
    let again = take(&*store, now().plus(HOUR)).await.remove(0);
    assert_eq!(again.happened, 3);
    store.complete_mail(&rest).await.unwrap();
    assert_eq!(world.count("mail_queue").await, 1);
    store.complete_mail(&again).await.unwrap();
    assert_eq!(world.count("mail_queue").await, 0);
}

pub async fn a_verified_previous_address_is_notified_and_queued_sealed(world: &impl World) {
    let store = world.store();
    let ada = registered(&*store, "ada").await;
    let told = async || {
        let mut taken = take(&*store, now().plus(HOUR)).await;
        taken.retain(|mail| mail.kind == MailKind::EmailChanged);
        taken
    };
    let moves_to = async |email: &str| {
        let asked = asks_for(&*store, &ada, email).await;
        ada.does(&*store, confirm(&*store, &ada, asked).await)
            .await
            .unwrap();
    };
    // The first address was never verified.
    moves_to("ada@first.example").await;
    assert_eq!(told().await, []);
    // Another spelling is no other address.
    moves_to("ADA@first.example").await;
    assert_eq!(told().await, []);
    moves_to("ada@second.example").await;
    moves_to("ada@third.example").await;
    let mut addresses: Vec<_> = told()
        .await
        .into_iter()
        .map(|mail| mail.address.unwrap().to_string())
        .collect();
    addresses.sort_unstable();
    assert_eq!(addresses, ["ADA@first.example", "ada@second.example"]);
    // Without the account's key the addresses cannot be read.
    world.execute("DELETE FROM subject_keys").await;
    let unreadable = take(&*store, now().plus(HOUR).plus(HOUR)).await;
    let unreadable = unreadable
        .iter()
        .filter(|it| it.kind == MailKind::EmailChanged);
    assert!(unreadable.clone().count() == 2 && unreadable.clone().all(|it| it.address.is_none()));
}

pub async fn of_a_hundred_concurrent_mails_the_gate_admits_exactly_its_quota(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    let mut entries = Vec::new();
    for _ in 0..100 {
        entries.push(reset_entry(&*nodes[0]).await);
    }
    let at = now();
    let mut race = JoinSet::new();
    for (number, entry) in entries.into_iter().enumerate() {
        let node = Arc::clone(&nodes[number % 2]);
        race.spawn(async move {
            let to = address("victim@example.com");
            let answer = node.admit(entry, &to, MailKind::ResetLink, at).await;
            answer.unwrap()
        });
    }
    let answers = race.join_all().await;
    let quota = MailKind::ResetLink.quota();
    let admitted = answers.iter().filter(|it| **it == Admission::Admitted);
    assert_eq!(admitted.count(), quota.at_once as usize);
    let until = at.plus(quota.then_one_per);
    let refused = answers
        .iter()
        .filter(|it| **it == Admission::Refused { until });
    assert_eq!(refused.count(), 100 - quota.at_once as usize);
}

pub async fn an_admission_belongs_to_its_entry(world: &impl World) {
    let store = world.store();
    let ada = registered(&*store, "ada").await;
    let (to, kind) = (ada.email(), MailKind::AccountLocked);
    lock_times(&*store, &ada, 1).await;
    let at = now();
    let due = take(&*store, at).await.remove(0);
    let asks = async |id| {
        let answer = store.admit(QueuedMail::Due(id), &to, kind, at).await;
        answer.unwrap()
    };
    for _ in 0..20 {
        assert_eq!(asks(due.id).await, Admission::Admitted);
    }
    let left = kind.quota().at_once as usize - 1;
    assert_eq!(admitted(&*store, &to, kind, 20, at).await, left);
    // Events after the mail was composed need an admission of their own.
    lock_times(&*store, &ada, 1).await;
    store.complete_mail(&due).await.unwrap();
    assert!(matches!(asks(due.id).await, Admission::Refused { .. }));
    let rest = take(&*store, now()).await.remove(0);
    store.complete_mail(&rest).await.unwrap();
    assert_eq!(asks(due.id).await, Admission::Gone);
}

pub async fn the_quota_of_a_mailbox_refills_over_time(world: &impl World) {
    let store = world.store();
    let (to, kind, at) = (
        address("ada@example.com"),
        MailKind::VerificationLink,
        now(),
    );
    let quota = kind.quota();
    let at_once = quota.at_once as usize;
    assert_eq!(admitted(&*store, &to, kind, 10, at).await, at_once);
    // The same mailbox under other spellings, and another one.
    for spelling in ["ADA@example.com", "ada+more@EXAMPLE.com"] {
        let more = admitted(&*store, &address(spelling), kind, 3, at).await;
        assert_eq!(more, 0, "{spelling}");
    }
    let bob = address("bob@example.com");
    assert_eq!(admitted(&*store, &bob, kind, 10, at).await, at_once);
    // Another kind has a budget of its own.
    let other = admitted(&*store, &to, MailKind::ResetLink, 10, at).await;
    assert_eq!(other, at_once);
    let early = at.plus(quota.then_one_per - Duration::from_secs(1));
    assert_eq!(admitted(&*store, &to, kind, 3, early).await, 0);
    let later = at.plus(quota.then_one_per);
    assert_eq!(admitted(&*store, &to, kind, 3, later).await, 1);
    let next_day = at.plus(24 * HOUR);
    assert_eq!(admitted(&*store, &to, kind, 10, next_day).await, at_once);
}

pub async fn requested_links_leave_room_for_notices(world: &impl World) {
    let store = world.store();
    let to = address("ada@example.com");
    // Strangers request links all day, more than are sent.
    let mut at = now();
    let mut links = 0;
    for _ in 0..48 {
        for kind in [
            MailKind::AddressWanted,
            MailKind::ResetLink,
            MailKind::VerificationLink,
        ] {
            links += admitted(&*store, &to, kind, 6, at).await;
        }
        at = at.plus(30 * MINUTE);
    }
    // Twenty at once, and one in half an hour.
    assert!((20..=20 + 48).contains(&links), "{links}");
    for kind in [
        MailKind::PasswordChanged,
        MailKind::EmailChanged,
        MailKind::RefreshTokenReused,
    ] {
        assert_eq!(admitted(&*store, &to, kind, 10, at).await, 3, "{kind:?}");
    }
}

pub async fn notices_of_all_kinds_share_the_limit_of_a_mailbox(world: &impl World) {
    let store = world.store();
    let to = address("ada@example.com");
    let (mut at, mut sent) = (now(), 0);
    // For half a day, every kind of notice is to be sent as often as its own limit permits.
    for _ in 0..12 {
        for kind in MailKind::ALL {
            if kind.quota() == MailKind::PasswordChanged.quota() {
                sent += admitted(&*store, &to, kind, 4, at).await;
            }
        }
        at = at.plus(HOUR);
    }
    // Forty at once, and one in half an hour.
    assert!((40..=40 + 24).contains(&sent), "{sent}");
}

pub async fn the_quota_of_a_mailbox_outlives_the_account(world: &impl World) {
    let store = world.store();
    let (kind, at) = (MailKind::VerificationLink, now());
    let mut sent = 0;
    for _ in 0..8 {
        let ada = registered(&*store, "ada").await;
        asks_for(&*store, &ada, "ada@people.example").await;
        let due = take(&*store, now()).await.remove(0);
        let to = ada.email();
        let answer = store.admit(QueuedMail::Due(due.id), &to, kind, at).await;
        sent += u32::from(answer.unwrap() == Admission::Admitted);
        ada.erases_account(&*store).await;
    }
    assert_eq!(sent, kind.quota().at_once);
}

pub async fn mail_that_was_postponed_by_a_fast_clock_is_due_at_once(world: &impl World) {
    let store = world.store();
    let ada = registered(&*store, "ada").await;
    lock_times(&*store, &ada, 1).await;
    let at = now();
    let ahead = at.plus(26 * HOUR);
    let mail = take(&*store, ahead).await;
    assert_eq!(mail.len(), 1);
    let taken_again = take(&*store, at).await;
    assert_eq!(taken_again.len(), 1, "the lease of that clock is over");
    store.postpone_mail(&taken_again[0], ahead).await.unwrap();
    let put_off = take(&*store, at).await;
    assert_eq!(put_off.len(), 1);
    // The longest time for which the gate postpones a notice.
    store
        .postpone_mail(&put_off[0], at.plus(HOUR))
        .await
        .unwrap();
    assert_eq!(take(&*store, at).await.len(), 0);
}

pub async fn budgets_that_are_full_again_are_removed(world: &impl World) {
    let store = world.store();
    let (to, kind, at) = (address("ada@example.com"), MailKind::ResetLink, now());
    admitted(&*store, &to, kind, 2, at).await;
    assert_eq!(world.count("mail_budgets").await, 2);
    let remove = async |at| store.remove_unused_mail_budgets(at).await.unwrap();
    assert_eq!(remove(at.plus(11 * MINUTE)).await, 0);
    // First the budget of that kind is removed, then the budget of all kinds.
    assert_eq!(remove(at.plus(12 * MINUTE)).await, 1);
    assert_eq!(remove(at.plus(59 * MINUTE)).await, 0);
    assert_eq!(remove(at.plus(HOUR)).await, 1);
    assert_eq!(world.count("mail_budgets").await, 0);
}

pub async fn an_entry_that_cannot_be_read_delays_no_other(world: &impl World) {
    let store = world.store();
    for name in ["ada", "bob", "cyd"] {
        let person = registered(&*store, name).await;
        lock_times(&*store, &person, 1).await;
        // One of a later version, one that is damaged, and one as it should be.
        let damage = match name {
            "ada" => "kind = 'newsletter'",
            "bob" => "happened = -1",
            _ => continue,
        };
        let of_person = person.user;
        let sql = format!("UPDATE mail_queue SET {damage} WHERE user_id = '{of_person}'");
        world.execute(&sql).await;
    }
    assert_eq!(take(&*store, now()).await.len(), 1);
    assert_eq!(world.count("mail_queue WHERE attempts = 0").await, 1);
    assert_eq!(take(&*store, now()).await, []);
}

pub async fn a_clock_that_was_ahead_closes_a_mailbox_for_less_than_a_day(world: &impl World) {
    let store = world.store();
    let (to, kind, at) = (address("ada@example.com"), MailKind::ResetLink, now());
    let next_year = at.plus(365 * 24 * HOUR);
    let at_once = kind.quota().at_once as usize;
    assert_eq!(admitted(&*store, &to, kind, 10, next_year).await, at_once);
    // The clock was set right.
    assert_eq!(admitted(&*store, &to, kind, 10, at).await, 0);
    let next_day = at.plus(24 * HOUR);
    assert_eq!(admitted(&*store, &to, kind, 10, next_day).await, at_once);
}
