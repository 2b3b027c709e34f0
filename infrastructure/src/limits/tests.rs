//! Tests of the limits, from the point of view of users and of guessers.

use std::sync::Mutex;

use authlog_domain::{ClientId, SessionId, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::system::SystemEntropy;

struct SetClock {
    wall: Mutex<Timestamp>,
    passed: Mutex<Duration>,
}

impl SetClock {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            wall: Mutex::new(Timestamp::from_unix_millis(1_000_000)),
            passed: Mutex::default(),
        })
    }

    fn pass(&self, duration: Duration) {
        self.set_ahead(duration);
        *self.passed.lock().unwrap() += duration;
    }

    fn set_ahead(&self, duration: Duration) {
        let mut wall = self.wall.lock().unwrap();
        *wall = wall.plus(duration);
    }

    fn set_back(&self, duration: Duration) {
        let mut wall = self.wall.lock().unwrap();
        *wall = wall.minus(duration);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.wall.lock().unwrap()
    }

    fn monotonic(&self) -> Duration {
        *self.passed.lock().unwrap()
    }
}

const OFFICE: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.7";

/// A wait that only reservations cause, which end within seconds.
const UNTIL_SETTLED: Duration = Duration::from_secs(1);

fn account(number: u128) -> UserId {
    UserId::new(Uuid::from_u128(number))
}

fn session(number: u128) -> SessionId {
    SessionId::new(Uuid::from_u128(number))
}

fn guess<'a>(address: &str, identifier: &'a str) -> Guess<'a> {
    Guess {
        address: Some(address.parse().unwrap()),
        identifier,
    }
}

/// Reserves a guess at a name that is looked up and found to be `user`'s, or of no account.
fn start(
    limiter: &dyn AttemptLimiter,
    guess: Guess<'_>,
    user: Option<UserId>,
) -> Result<Reservation, Duration> {
    limiter.reserve(guess)?.at_account(user)
}

/// Signs in with a wrong password at a name of no account, if that is allowed.
fn fail(limiter: &dyn AttemptLimiter, guess: Guess<'_>) -> bool {
    let reserved = start(limiter, guess, None);
    reserved.map(Reservation::was_wrong).is_ok()
}

fn wait(limiter: &dyn AttemptLimiter, guess: Guess<'_>) -> Option<Duration> {
    let reserved = start(limiter, guess, None);
    reserved.map(Reservation::give_back).err()
}

#[test]
fn a_guesser_is_slowed_down_to_one_guess_in_half_a_minute() {
    let clock = SetClock::new();
    let limiter = GcraAttemptLimiter::new(clock.clone(), &SystemEntropy);
    let jo = guess(OFFICE, "jo");
    let allowed = (0..50).filter(|_| fail(&limiter, jo)).count();
    assert_eq!(allowed, 10);
    assert_eq!(wait(&limiter, jo), Some(Duration::from_secs(30)));
    clock.pass(Duration::from_secs(30));
    assert!(fail(&limiter, jo));
    assert!(!fail(&limiter, jo));
}

#[test]
fn concurrent_guesses_share_one_budget_like_sequential_guesses() {
    let clock = SetClock::new();
    let limiter = GcraAttemptLimiter::new(clock.clone(), &SystemEntropy);
    let jo = guess(OFFICE, "jo");
    let mut checked = 0;
    for hour in 0..30 {
        let tries = (0..220).map(|_| start(&limiter, jo, Some(account(1))));
        let burst: Vec<_> = tries.filter_map(Result::ok).collect();
        // After a hundred guesses, four an hour are admitted.
        let most = if hour < 20 { 10 } else { 4 };
        assert!(burst.len() <= most, "{} in hour {hour}", burst.len());
        checked += burst.len();
        burst.into_iter().for_each(Reservation::was_wrong);
        clock.pass(Duration::from_secs(60 * 60));
    }
    assert!((100..=100 + 4 * 30).contains(&checked), "{checked}");
}

#[test]
fn a_request_that_is_cancelled_counts_as_a_wrong_password() {
    let limiter = GcraAttemptLimiter::new(SetClock::new(), &SystemEntropy);
    let jo = guess(OFFICE, "jo");
    for _ in 0..10 {
        drop(start(&limiter, jo, Some(account(1))).unwrap());
    }
    assert_eq!(wait(&limiter, jo), Some(Duration::from_secs(30)));
}

#[test]
fn a_guess_that_was_not_checked_does_not_count() {
    let limiter = GcraAttemptLimiter::new(SetClock::new(), &SystemEntropy);
    for _ in 0..1_000 {
        start(&limiter, guess(OFFICE, "jo"), Some(account(1)))
            .unwrap()
            .give_back();
        limiter.reserve(guess(OFFICE, "al")).unwrap().give_back();
    }
    assert_eq!(limiter.0.guesses.len(), 0);
    assert_eq!(limiter.0.guesses_at_name.len(), 0);
    assert_eq!(limiter.0.failures.len(), 0);
    assert_eq!(limiter.0.sign_ins.len(), 0);
}

#[test]
fn a_refused_guess_holds_no_place() {
    let clock = SetClock::new();
    let limiter = GcraAttemptLimiter::new(clock.clone(), &SystemEntropy);
    let names: Vec<String> = (0..300).map(|number| format!("jo{number}")).collect();
    let try_all = |address: &str, user: Option<UserId>| {
        let tries = names
            .iter()
            .map(|name| start(&limiter, guess(address, name), user));
        tries
            .filter_map(Result::ok)
            .map(Reservation::was_wrong)
            .count()
    };
    // Refused for guesses at the account, for guesses in the long run, for guesses from anywhere, and by the network.
    assert_eq!(try_all(OFFICE, Some(account(1))), 10);
    for _ in 0..150 {
        clock.pass(Duration::from_secs(5 * 60));
        try_all(OFFICE, Some(account(1)));
    }
    for number in 0..200 {
        let address = format!("198.18.0.{number}");
        try_all(&address, Some(account(2)));
    }
    assert_eq!(try_all(ELSEWHERE, None), 100);
    clock.pass(Duration::from_secs(7 * 24 * 60 * 60));
    for (address, user) in [(OFFICE, 1), ("198.18.0.1", 2), (ELSEWHERE, 3)] {
        let names = names.iter().take(100);
        let tries = names.map(|name| start(&limiter, guess(address, name), Some(account(user))));
        let under_way: Vec<_> = tries.filter_map(Result::ok).collect();
        assert_eq!(under_way.len(), 10, "{address}");
        under_way.into_iter().for_each(Reservation::was_right);
        let tries = (0..100).map(|_| start(&limiter, guess(address, "jo"), Some(account(user))));
        let signed_in = tries.filter_map(Result::ok).map(Reservation::was_right);
        assert_eq!(signed_in.count(), 50, "{address}");
    }
    let held = |buckets: &Buckets| buckets.held();
    let limits = &limiter.0;
    let all = [
        &limits.guesses_at_name,
        &limits.guesses,
        &limits.persistent_guesses,
        &limits.guesses_from_anywhere,
        &limits.codes_from_anywhere,
        &limits.failures,
        &limits.sign_ins,
    ];
    assert_eq!(all.map(held), [0; 7]);
}

#[test]
fn concurrent_right_passwords_wait_only_for_guesses_in_progress() {
    let limiter = GcraAttemptLimiter::new(SetClock::new(), &SystemEntropy);
    let jo = guess(OFFICE, "jo");
    let under_way: Vec<_> = (0..10)
        .map(|_| start(&limiter, jo, Some(account(1))).unwrap())
        .collect();
    let refused = start(&limiter, jo, Some(account(1)));
    assert_eq!(refused.map(drop).unwrap_err(), UNTIL_SETTLED);
    under_way.into_iter().for_each(Reservation::was_right);
    assert!(start(&limiter, jo, Some(account(1))).is_ok());
}

#[test]
fn sign_ins_have_a_generous_budget_by_account_and_network() {
    let clock = SetClock::new();
    let limiter = GcraAttemptLimiter::new(clock.clone(), &SystemEntropy);
    let sign_in = |address, user| {
        let reserved = start(&limiter, guess(address, "jo"), Some(account(user)));
        reserved.map(Reservation::was_right)
    };
    let signed_in = (0..500).filter(|_| sign_in(OFFICE, 1).is_ok()).count();
    assert_eq!(signed_in, 60);
    // A refusal for this reason counts against no other limit.
    assert_eq!(sign_in(OFFICE, 1), Err(Duration::from_secs(1)));
    clock.pass(Duration::from_secs(1));
    assert_eq!(sign_in(OFFICE, 1), Ok(()));
    // It limits neither other accounts at the address nor this account at another address.
    assert_eq!(sign_in(OFFICE, 2), Ok(()));
    assert_eq!(sign_in(ELSEWHERE, 1), Ok(()));
}

#[test]
fn all_names_of_an_account_share_one_budget() {
    let limiter = GcraAttemptLimiter::new(SetClock::new(), &SystemEntropy);
    let guesses = |name: &str, user: Option<UserId>| {
        let tries = (0..20).map(|_| start(&limiter, guess(OFFICE, name), user));
        tries
            .filter_map(Result::ok)
            .map(Reservation::was_wrong)
            .count()
    };
    assert_eq!(guesses("jo", Some(account(1))), 10);
    assert_eq!(guesses("jo@example.com", Some(account(1))), 0);
    assert_eq!(guesses("al", Some(account(2))), 10);
    // Names without an account count as one account each.
    assert_eq!(guesses("nemo", None), 10);
    assert_eq!(guesses("nemo@example.com", None), 10);
}

#[test]
fn a_guesser_does_not_lock_out_the_owner_of_the_account() {
    let limiter = GcraAttemptLimiter::new(SetClock::new(), &SystemEntropy);
    for _ in 0..1_000 {
        fail(&limiter, guess(OFFICE, "jo"));
    }
    assert!(wait(&limiter, guess(OFFICE, "jo")).is_some());
    assert_eq!(wait(&limiter, guess(ELSEWHERE, "jo")), None);
}

#[test]
fn a_guesser_with_many_addresses_is_slowed_down_too_and_locks_no_one_out() {
    let limiter = GcraAttemptLimiter::new(SetClock::new(), &SystemEntropy);
    let guess_from = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let attempt = Guess {
            address: Some(IpAddr::from([198, 18, high, low])),
            identifier: "jo",
        };
        fail(&limiter, attempt)
    };
    // Every address has its first guess; by then there were more than a hundred, and all that guessed wrong wait.
    assert_eq!(
        (0..5_000).filter(|number| guess_from(*number)).count(),
        5_000
    );
    assert_eq!((0..5_000).filter(|number| guess_from(*number)).count(), 0);
    let waits = wait(&limiter, guess("198.18.0.1", "jo")).unwrap();
    assert!(waits <= Duration::from_secs(30), "{waits:?}");
    // An address that has not guessed is let in, for one guess at a time.
    let jo = guess(ELSEWHERE, "jo");
    let first = start(&limiter, jo, None).unwrap();
    assert!(start(&limiter, jo, None).is_err());
    first.give_back();
    // As is the owner, mistaken once, where they have signed in before.
    limiter.remember_sign_in(jo.address, &["jo".to_owned()]);
    assert!(fail(&limiter, jo));
    assert!(fail(&limiter, jo));
}

#[test]
fn the_delay_grows_and_stays_bounded() {
    let clock = SetClock::new();
    let limiter = GcraAttemptLimiter::new(clock.clone(), &SystemEntropy);
    let jo = guess(OFFICE, "jo");
    let mut waits = Vec::new();
    for _ in 0..200 {
        if let Some(wait) = wait(&limiter, jo) {
            waits.push(wait.as_secs());
            clock.pass(wait);
        }
        assert!(fail(&limiter, jo));
    }
    assert_eq!(waits.first(), Some(&30));
    assert_eq!(waits.last(), Some(&(15 * 60)));
    assert!(waits.is_sorted(), "{waits:?}");
    assert_eq!(wait(&limiter, guess(ELSEWHERE, "jo")), None);
}

#[test]
fn a_clock_that_is_set_back_lengthens_no_wait() {
    let clock = SetClock::new();
    let limiter = GcraAttemptLimiter::new(clock.clone(), &SystemEntropy);
    let jo = guess(OFFICE, "jo");
    while fail(&limiter, jo) {}
    clock.set_back(Duration::from_secs(300_000));
    assert_eq!(wait(&limiter, jo), Some(Duration::from_secs(30)));
    clock.pass(Duration::from_secs(30));
    assert!(fail(&limiter, jo));
}

#[test]
fn a_clock_that_is_set_ahead_forgives_no_guess() {
    let clock = SetClock::new();
    let limiter = GcraAttemptLimiter::new(clock.clone(), &SystemEntropy);
    let jo = guess(OFFICE, "jo");
    while fail(&limiter, jo) {}
    clock.set_ahead(Duration::from_secs(26 * 60 * 60));
    assert_eq!(wait(&limiter, jo), Some(Duration::from_secs(30)));
}

#[test]
fn others_at_an_address_do_not_keep_out_accounts_that_have_signed_in_there() {
    let clock = SetClock::new();
    let limiter = GcraAttemptLimiter::new(clock.clone(), &SystemEntropy);
    let [jo, al] = ["jo", "al"].map(|name| guess(OFFICE, name));
    limiter.remember_sign_in(jo.address, &["jo".to_owned()]);
    let names: Vec<String> = (0..300).map(|number| format!("user{number}")).collect();
    for name in &names {
        fail(&limiter, guess(OFFICE, name));
    }
    assert_eq!(wait(&limiter, al), Some(Duration::from_secs(1)));
    // Their own guesses are limited as ever.
    assert_eq!((0..50).filter(|_| fail(&limiter, jo)).count(), 10);
    // They signed in at this address, and not for ever.
    for name in &names {
        fail(&limiter, guess(ELSEWHERE, name));
    }
    assert!(wait(&limiter, guess(ELSEWHERE, "jo")).is_some());
    clock.pass(Duration::from_secs(5 * 7 * 24 * 60 * 60));
    for name in &names {
        fail(&limiter, guess(OFFICE, name));
    }
    assert!(wait(&limiter, jo).is_some());
}

/// Applies the updates that wait in `told` to `there`, and returns their number.
fn deliver(told: &mut mpsc::Receiver<Update>, there: &GcraAttemptLimiter) -> usize {
    let updates: Vec<Update> = std::iter::from_fn(|| told.try_recv().ok()).collect();
    let count = updates.len();
    for update in updates {
        there.apply(update);
    }
    count
}

const NODES: &[u8] = b"a key of two nodes";

#[test]
fn nodes_with_one_key_count_together_and_others_apart() {
    let (one, mut told) = GcraAttemptLimiter::shared(SetClock::new(), NODES, &SystemEntropy);
    let (other, _untold) = GcraAttemptLimiter::shared(SetClock::new(), NODES, &SystemEntropy);
    let (stranger, _unheard) =
        GcraAttemptLimiter::shared(SetClock::new(), b"another key", &SystemEntropy);
    let jo = guess(OFFICE, "jo");
    while fail(&one, jo) {}
    while let Ok(update) = told.try_recv() {
        other.apply(update);
        stranger.apply(update);
    }
    assert!(wait(&other, jo).is_some());
    assert_eq!(wait(&other, guess(OFFICE, "al")), None);
    assert_eq!(wait(&other, guess(ELSEWHERE, "jo")), None);
    assert_eq!(wait(&stranger, jo), None);
}

#[test]
fn wrong_codes_share_one_budget_on_all_networks_and_nodes() {
    let clock = SetClock::new();
    let (one, mut told) = GcraAttemptLimiter::shared(clock.clone(), NODES, &SystemEntropy);
    let (other, _untold) = GcraAttemptLimiter::shared(clock.clone(), NODES, &SystemEntropy);
    let code = |limiter: &GcraAttemptLimiter, address: &str, user| {
        let user = account(user);
        let reserved = start(limiter, guess(address, "jo"), Some(user)).unwrap();
        reserved.at_second_factor(user)
    };
    one.remember_sign_in(Some(OFFICE.parse().unwrap()), &["jo".to_owned()]);
    let wrong = (0..200)
        .filter(|number| {
            let address = format!("198.18.0.{number}");
            code(&one, &address, 1).map(Reservation::was_wrong).is_ok()
        })
        .count();
    assert_eq!(wrong, 100);
    deliver(&mut told, &other);
    for node in [&one, &other] {
        let wait = code(node, "198.18.1.1", 1).map(Reservation::give_back);
        assert_eq!(wait.unwrap_err(), Duration::from_secs(15 * 60));
        // The account's passwords, the codes of other accounts, and the owner do not wait.
        let password = start(node, guess("198.18.1.2", "jo"), Some(account(1)));
        password.unwrap().give_back();
        code(node, "198.18.1.3", 2).unwrap().give_back();
        code(node, OFFICE, 1).unwrap().was_right();
    }
    clock.pass(Duration::from_secs(15 * 60));
    // A right code does not count.
    code(&one, "198.18.1.4", 1).unwrap().was_right();
    code(&one, "198.18.1.5", 1).unwrap().was_wrong();
    assert!(code(&one, "198.18.1.6", 1).is_err());
}

#[test]
fn guesses_in_progress_on_one_node_count_on_the_other() {
    let (one, mut told) = GcraAttemptLimiter::shared(SetClock::new(), NODES, &SystemEntropy);
    let (other, _untold) = GcraAttemptLimiter::shared(SetClock::new(), NODES, &SystemEntropy);
    let jo = guess(OFFICE, "jo");
    let jo_is = Some(account(1));
    let under_way: Vec<_> = (0..10).map(|_| start(&one, jo, jo_is).unwrap()).collect();
    deliver(&mut told, &other);
    // All but the first guess, which is usually a right password and not announced.
    let admitted: Vec<_> = (0..10)
        .filter_map(|_| start(&other, jo, jo_is).ok())
        .collect();
    assert_eq!(admitted.len(), 1);
    drop((admitted, under_way));
    deliver(&mut told, &other);
    // The guesses that both admitted before the updates arrived count.
    let by_other_name = start(&other, guess(OFFICE, "jo@example.com"), jo_is);
    assert_eq!(by_other_name.err(), Some(Duration::from_secs(2 * 30)));
}

#[test]
fn concurrent_bursts_on_several_nodes_count_on_each_of_them() {
    let clock = SetClock::new();
    let nodes = [(); 4].map(|()| GcraAttemptLimiter::shared(clock.clone(), NODES, &SystemEntropy));
    let (limiters, mut told): (Vec<_>, Vec<_>) = nodes.into_iter().unzip();
    let jo_is = Some(account(1));
    for limiter in &limiters {
        let tries = (0..50).map(|_| start(limiter, guess(OFFICE, "jo"), jo_is));
        let burst: Vec<_> = tries.filter_map(Result::ok).collect();
        assert_eq!(burst.len(), 10);
    }
    for (number, told) in told.iter_mut().enumerate() {
        while let Ok(update) = told.try_recv() {
            let others = limiters.iter().enumerate();
            let others = others.filter(|(other, _)| *other != number);
            others.for_each(|(_, other)| other.apply(update));
        }
    }
    for limiter in &limiters {
        let by_other_name = start(limiter, guess(OFFICE, "jo@example.com"), jo_is);
        assert_eq!(by_other_name.err(), Some(Duration::from_secs(31 * 30)));
    }
}

#[test]
fn right_passwords_leave_no_trace_on_other_nodes() {
    let (one, mut told) = GcraAttemptLimiter::shared(SetClock::new(), NODES, &SystemEntropy);
    let (other, _untold) = GcraAttemptLimiter::shared(SetClock::new(), NODES, &SystemEntropy);
    let jo = guess(OFFICE, "jo");
    // Single sign-ins send no update.
    for _ in 0..20 {
        start(&one, jo, Some(account(1))).unwrap().was_right();
    }
    assert_eq!(deliver(&mut told, &other), 0);
    for _ in 0..5 {
        let under_way: Vec<_> = (0..8)
            .map(|_| start(&one, jo, Some(account(1))).unwrap())
            .collect();
        under_way.into_iter().for_each(Reservation::was_right);
        assert!(deliver(&mut told, &other) > 0);
    }
    assert_eq!(other.0.guesses.len(), 0);
    assert_eq!(other.0.persistent_guesses.len(), 0);
}

#[test]
fn a_guess_whose_update_was_lost_is_not_taken_back() {
    let (one, mut told) = GcraAttemptLimiter::shared(SetClock::new(), NODES, &SystemEntropy);
    let (other, _untold) = GcraAttemptLimiter::shared(SetClock::new(), NODES, &SystemEntropy);
    let (jo, jo_is) = (guess(OFFICE, "jo"), Some(account(1)));
    let _first = start(&one, jo, jo_is).unwrap();
    for end in [Reservation::was_right, Reservation::give_back] {
        // These updates arrive.
        let wrong = start(&one, jo, jo_is).unwrap();
        assert_eq!(deliver(&mut told, &other), 1);
        wrong.was_wrong();
        let by_name = deliver(&mut told, &other);
        assert!(by_name > 0, "others count the failures");
        // The update that announces these guesses is lost.
        let lost: Vec<_> = (0..3).map(|_| start(&one, jo, jo_is).unwrap()).collect();
        while told.try_recv().is_ok() {}
        lost.into_iter().for_each(end);
        assert_eq!(deliver(&mut told, &other), 3);
    }
    let allowed = || start(&other, guess(OFFICE, "jo"), jo_is).map(Reservation::was_wrong);
    assert_eq!((0..50).filter(|_| allowed().is_ok()).count(), 10 - 2);
}

#[test]
fn unchecked_guesses_on_one_node_admit_no_further_guesses_on_another() {
    let clock = SetClock::new();
    let (one, mut told) = GcraAttemptLimiter::shared(clock.clone(), NODES, &SystemEntropy);
    let (other, _untold) = GcraAttemptLimiter::shared(clock.clone(), NODES, &SystemEntropy);
    let jo = guess(OFFICE, "jo");
    while fail(&other, jo) {}
    let held: Vec<_> = (0..8).map(|_| start(&one, jo, None).unwrap()).collect();
    deliver(&mut told, &other);
    clock.pass(Duration::from_secs(60));
    held.into_iter().for_each(Reservation::give_back);
    deliver(&mut told, &other);
    // Within the minute two guesses have leaked; no more than two may be admitted.
    assert!((0..10).filter(|_| fail(&other, jo)).count() <= 2);
}

#[test]
fn a_sign_in_is_sent_to_other_nodes_once() {
    let (one, mut told) = GcraAttemptLimiter::shared(SetClock::new(), NODES, &SystemEntropy);
    let (other, _untold) = GcraAttemptLimiter::shared(SetClock::new(), NODES, &SystemEntropy);
    let jo = guess(OFFICE, "jo");
    for _ in 0..100 {
        one.remember_sign_in(jo.address, &["jo".to_owned(), "jo@example.com".to_owned()]);
    }
    assert_eq!(deliver(&mut told, &other), 2);
    for number in 0..300 {
        fail(&other, guess(OFFICE, &format!("user{number}")));
    }
    assert_eq!(wait(&other, jo), None);
    assert_eq!(wait(&other, guess(OFFICE, "jo@example.com")), None);
}

#[test]
fn changes_of_ones_own_account_have_a_budget_on_all_nodes() {
    let clock = SetClock::new();
    let (one, mut told) = GcraAttemptLimiter::shared(clock.clone(), NODES, &SystemEntropy);
    let (other, _untold) = GcraAttemptLimiter::shared(clock.clone(), NODES, &SystemEntropy);
    let change = |limiter: &GcraAttemptLimiter, number| {
        limiter.count(Attempt::ChangeOwnAccount {
            account: account(number),
        })
    };
    assert_eq!((0..500).filter(|_| change(&one, 1).is_ok()).count(), 60);
    deliver(&mut told, &other);
    for limiter in [&one, &other] {
        assert_eq!(change(limiter, 1), Err(Duration::from_secs(60)));
        assert_eq!(change(limiter, 2), Ok(()));
    }
    clock.pass(Duration::from_secs(60));
    assert_eq!(change(&one, 1), Ok(()));
}

#[test]
fn refreshes_have_a_budget_by_session_and_by_account_and_other_nodes_are_sent_nothing() {
    let clock = SetClock::new();
    let (limiter, mut told) = GcraAttemptLimiter::shared(clock.clone(), NODES, &SystemEntropy);
    let refresh = |owner, number| {
        limiter.count(Attempt::Refresh {
            session: session(number),
            account: account(owner),
            client: None,
        })
    };
    assert_eq!((0..500).filter(|_| refresh(1, 1).is_ok()).count(), 60);
    assert_eq!(refresh(1, 1), Err(Duration::from_secs(1)));
    clock.pass(Duration::from_secs(1));
    assert_eq!(refresh(1, 1), Ok(()));
    // Sixty of each of its sessions, until the account has used up its own budget.
    let others = (2..50).flat_map(|number| [number; 60]);
    let admitted = others.filter(|number| refresh(1, *number).is_ok()).count();
    assert_eq!(admitted, 600 - 60);
    assert_eq!(refresh(1, 60), Err(Duration::from_secs(1)));
    assert_eq!(refresh(2, 61), Ok(()));
    assert!(told.try_recv().is_err());
}

#[test]
fn logins_with_a_passkey_alone_have_a_budget_by_account() {
    let clock = SetClock::new();
    let limiter = GcraAttemptLimiter::new(clock.clone(), &SystemEntropy);
    let sign_in = |owner| {
        limiter.count(Attempt::PasskeySignIn {
            account: account(owner),
        })
    };
    assert_eq!((0..900).filter(|_| sign_in(1).is_ok()).count(), 600);
    assert_eq!(sign_in(1), Err(Duration::from_secs(1)));
    assert_eq!(sign_in(2), Ok(()));
    clock.pass(Duration::from_secs(1));
    assert_eq!(sign_in(1), Ok(()));
}

#[test]
fn an_application_uses_up_what_an_account_has_with_it_alone() {
    let limiter = GcraAttemptLimiter::new(SetClock::new(), &SystemEntropy);
    let [shop, photos] = ["shop", "photos"].map(ClientId::from_stored);
    let redeem = |owner, client| {
        limiter.count(Attempt::RedeemCode {
            account: account(owner),
            client,
        })
    };
    assert_eq!((0..900).filter(|_| redeem(1, &shop).is_ok()).count(), 600);
    assert_eq!(redeem(1, &shop), Err(Duration::from_secs(1)));
    assert_eq!(redeem(1, &photos), Ok(()));
    assert_eq!(redeem(2, &shop), Ok(()));
    let refresh = |number, client| {
        limiter.count(Attempt::Refresh {
            session: session(number),
            account: account(1),
            client,
        })
    };
    let sessions = (1..50).flat_map(|number| [number; 60]);
    let admitted = sessions.filter(|number| refresh(*number, Some(&shop)).is_ok());
    assert_eq!(admitted.count(), 600);
    assert_eq!(refresh(60, Some(&photos)), Ok(()));
    assert_eq!(refresh(61, None), Ok(()));
}

#[test]
fn devices_of_one_address_do_not_use_up_what_their_application_has() {
    let clock = SetClock::new();
    let limiter = GcraAttemptLimiter::new(clock.clone(), &SystemEntropy);
    let [tv, radio] = ["tv", "radio"].map(ClientId::from_stored);
    let request = |client, address: Option<&str>| {
        limiter.count(Attempt::RequestDeviceCode {
            client,
            address: address.map(|it| it.parse().unwrap()),
        })
    };
    let here = Some("192.0.2.1");
    let admitted = (0..900).filter(|_| request(&tv, here).is_ok()).count();
    assert_eq!(admitted, 60);
    assert_eq!(request(&radio, here), Err(Duration::from_secs(10)));
    // What was refused counts against nothing.
    let admitted = (0..2000).filter(|_| request(&tv, None).is_ok()).count();
    assert_eq!(admitted, 1000 - 60);
    let elsewhere = Some("192.0.2.2");
    assert_eq!(request(&tv, elsewhere), Err(Duration::from_millis(200)));
    assert_eq!(request(&radio, elsewhere), Ok(()));
    clock.pass(Duration::from_millis(200));
    assert_eq!(request(&tv, elsewhere), Ok(()));
}

#[test]
fn user_codes_are_limited_by_account_and_by_address() {
    let limiter = GcraAttemptLimiter::new(SetClock::new(), &SystemEntropy);
    let enter = |owner, address: Option<&str>| {
        limiter.count(Attempt::EnterUserCode {
            account: account(owner),
            address: address.map(|it| it.parse().unwrap()),
        })
    };
    let here = Some("192.0.2.1");
    assert_eq!((0..900).filter(|_| enter(1, here).is_ok()).count(), 30);
    assert_eq!(enter(1, Some("192.0.2.2")), Err(Duration::from_secs(20)));
    assert_eq!(enter(1, None), Err(Duration::from_secs(20)));
    // An attacker with many accounts at one address.
    let accounts = (2..20).flat_map(|owner| [owner; 20]);
    let admitted = accounts.filter(|owner| enter(*owner, here).is_ok());
    assert_eq!(admitted.count(), 200 - 30);
    assert_eq!(enter(90, here), Err(Duration::from_secs(5)));
    assert_eq!(enter(90, Some("192.0.2.2")), Ok(()));
}

#[test]
fn a_spray_from_millions_of_addresses_fills_no_memory_and_hides_no_guesser() {
    let limiter = GcraAttemptLimiter::new(SetClock::new(), &SystemEntropy);
    let guesser = guess(OFFICE, "jo");
    while fail(&limiter, guesser) {}
    for number in 0..250_000_u128 {
        let network = (0x2001_0db8 << 96) | (number << 64);
        let attempt = Guess {
            address: Some(std::net::Ipv6Addr::from_bits(network).into()),
            identifier: "al",
        };
        assert!(fail(&limiter, attempt));
        limiter.remember_sign_in(attempt.address, &["al".to_owned()]);
    }
    let limits = &limiter.0;
    for buckets in [
        &limits.guesses_at_name,
        &limits.guesses,
        &limits.persistent_guesses,
        &limits.guesses_from_anywhere,
        &limits.codes_from_anywhere,
        &limits.failures,
        &limits.sign_ins,
    ] {
        assert!(buckets.len() <= Buckets::MOST, "{}", buckets.len());
    }
    assert!(limits.signed_in.len() <= 100_000);
    assert!(
        wait(&limiter, guesser).is_some(),
        "the guesser is remembered"
    );
}

#[test]
fn one_password_tried_on_every_account_is_slowed_down() {
    let limiter = GcraAttemptLimiter::new(SetClock::new(), &SystemEntropy);
    let names: Vec<String> = (0..300).map(|number| format!("user{number}")).collect();
    let allowed = names
        .iter()
        .filter(|name| fail(&limiter, guess(OFFICE, name)))
        .count();
    assert_eq!(allowed, 100);
    // Concurrent guesses are limited in the same way.
    let under_way = names
        .iter()
        .filter_map(|name| limiter.reserve(guess(ELSEWHERE, name)).ok());
    assert_eq!(under_way.collect::<Vec<_>>().len(), 100);
}

#[test]
fn the_addresses_of_one_ipv6_subscriber_count_as_one() {
    let limiter = GcraAttemptLimiter::new(SetClock::new(), &SystemEntropy);
    for last in 0..10 {
        let address = format!("2001:db8:1:2::{last}");
        assert!(fail(&limiter, guess(&address, "jo")));
    }
    assert!(wait(&limiter, guess("2001:db8:1:2:ffff::1", "jo")).is_some());
    assert_eq!(wait(&limiter, guess("2001:db8:1:3::1", "jo")), None);
}

#[test]
fn an_ipv4_mapped_ipv6_address_counts_as_the_ipv4_address() {
    let limiter = GcraAttemptLimiter::new(SetClock::new(), &SystemEntropy);
    for _ in 0..10 {
        assert!(fail(&limiter, guess("::ffff:192.0.2.1", "jo")));
    }
    assert!(wait(&limiter, guess("192.0.2.1", "jo")).is_some());
    assert_eq!(wait(&limiter, guess("192.0.2.2", "jo")), None);
}

#[test]
fn registrations_and_requests_for_mail_have_limits_of_their_own_by_address() {
    let limiter = GcraAttemptLimiter::new(SetClock::new(), &SystemEntropy);
    let address: IpAddr = OFFICE.parse().unwrap();
    let register = || limiter.reserve_registration(Some(address));
    let mail = Attempt::RequestMail {
        address: Some(address),
        identifier: "jo",
    };
    let allowed = |attempt| (0..200).filter(|_| limiter.count(attempt).is_ok()).count();
    assert_eq!((0..200).filter(|_| register().is_ok()).count(), 100);
    assert_eq!(allowed(mail), 30);
    assert_eq!(register().err(), Some(Duration::from_secs(2)));
    assert_eq!(limiter.count(mail), Err(Duration::from_secs(10)));
    let elsewhere = Some("192.0.2.2".parse().unwrap());
    assert!(limiter.reserve_registration(elsewhere).is_ok());
}

#[test]
fn registrations_that_are_given_back_do_not_count_and_those_under_way_do() {
    let limiter = GcraAttemptLimiter::new(SetClock::new(), &SystemEntropy);
    let register = || limiter.reserve_registration(Some(OFFICE.parse().unwrap()));
    for _ in 0..200 {
        register().unwrap().give_back();
    }
    let under_way: Vec<_> = (0..200).filter_map(|_| register().ok()).collect();
    assert_eq!(under_way.len(), 100);
    for registration in under_way {
        registration.give_back();
    }
    assert_eq!((0..200).filter(|_| register().is_ok()).count(), 100);
}

#[test]
fn many_addresses_that_ask_for_one_mailbox_are_slowed_down() {
    let limiter = GcraAttemptLimiter::new(SetClock::new(), &SystemEntropy);
    let ask = |last: u8, identifier| {
        limiter.count(Attempt::RequestMail {
            address: Some(IpAddr::from([192, 0, 2, last])),
            identifier,
        })
    };
    assert_eq!(
        (0..=255).filter(|last| ask(*last, "jo").is_ok()).count(),
        60
    );
    assert_eq!(ask(1, "jo"), Err(Duration::from_secs(60)));
    assert_eq!(ask(1, "al"), Ok(()));
    // A request that is refused for its address does not count against the name.
    assert_eq!((0..200).filter(|_| ask(9, "bo").is_ok()).count(), 29);
    assert_eq!(
        (10..=255).filter(|last| ask(*last, "bo").is_ok()).count(),
        31
    );
}

#[test]
fn guesses_from_an_unknown_address_are_limited_by_account() {
    let limiter = GcraAttemptLimiter::new(SetClock::new(), &SystemEntropy);
    let jo = Guess {
        address: None,
        identifier: "jo",
    };
    assert_eq!((0..50).filter(|_| fail(&limiter, jo)).count(), 10);
}

#[test]
fn without_limits_nothing_is_refused() {
    let jo = guess(OFFICE, "jo");
    let under_way: Vec<_> = (0..1_000)
        .filter_map(|_| start(&NoAttemptLimits, jo, None).ok())
        .collect();
    assert_eq!(under_way.len(), 1_000);
    let change = Attempt::ChangeOwnAccount {
        account: account(1),
    };
    let refresh = Attempt::Refresh {
        session: session(1),
        account: account(1),
        client: None,
    };
    for attempt in [change, refresh].repeat(1_000) {
        assert_eq!(NoAttemptLimits.count(attempt), Ok(()));
    }
}

/// The next action of a client. Networks and names are given by their numbers.
#[derive(Clone, Debug)]
enum Step {
    Start {
        network: u8,
        name: usize,
    },
    End {
        which: prop::sample::Index,
        how: Ending,
    },
    Pass(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Right,
    Wrong,
    Unchecked,
    Cancelled,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let how = prop_oneof![
        1 => Just(Ending::Right),
        3 => Just(Ending::Wrong),
        1 => Just(Ending::Unchecked),
        1 => Just(Ending::Cancelled),
    ];
    let step = prop_oneof![
        6 => (0..2_u8, 0..NAMES.len()).prop_map(|(network, name)| Step::Start { network, name }),
        4 => (any::<prop::sample::Index>(), how).prop_map(|(which, how)| Step::End { which, how }),
        1 => (0..90_u64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..400)
}

/// Names with the account that each is of.
const NAMES: [(&str, Option<u128>); 4] = [
    ("jo", Some(1)),
    ("jo@example.com", Some(1)),
    ("al", Some(2)),
    ("nemo", None),
];

proptest! {
    #[test]
    fn however_guesses_overlap_no_window_holds_more_wrong_ones_than_the_quota(steps in steps()) {
        let clock = SetClock::new();
        let limiter = GcraAttemptLimiter::new(clock.clone(), &SystemEntropy);
        let mut under_way = Vec::new();
        let mut wrong: Vec<((u8, Option<u128>), u64)> = Vec::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Start { network, name } => {
                    let (name, user) = NAMES[name];
                    let attempt = Guess {
                        address: Some(IpAddr::from([192, 0, 2, network])),
                        identifier: name,
                    };
                    if let Ok(reserved) = start(&limiter, attempt, user.map(account)) {
                        under_way.push((reserved, (network, user)));
                    }
                }
                Step::End { which, how } => if !under_way.is_empty() {
                    let (reserved, who) = under_way.swap_remove(which.index(under_way.len()));
                    match how {
                        Ending::Right => reserved.was_right(),
                        Ending::Wrong => reserved.was_wrong(),
                        Ending::Unchecked => reserved.give_back(),
                        Ending::Cancelled => drop(reserved),
                    }
                    if matches!(how, Ending::Wrong | Ending::Cancelled) {
                        wrong.push((who, now));
                    }
                },
                Step::Pass(seconds) => {
                    now += seconds;
                    clock.pass(Duration::from_secs(seconds));
                }
            }
        }
        for (first, (who, start)) in wrong.iter().enumerate() {
            let mut count = 0;
            for (_, end) in wrong.iter().skip(first).filter(|(other, _)| other == who) {
                count += 1;
                prop_assert!(count <= 10 + (end - start) / 30, "{wrong:?}");
            }
        }
    }
}
