//! The limits as people and guessers meet them.

use std::sync::Mutex;

use authlog_domain::Timestamp;

use super::*;

struct SetClock(Mutex<Timestamp>);

impl SetClock {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Timestamp::from_unix_millis(1_000_000))))
    }

    fn pass(&self, duration: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.plus(duration);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

fn from(address: &str, identifier: &'static str) -> Attempt<'static> {
    Attempt::SignIn {
        address: Some(address.parse().unwrap()),
        identifier,
    }
}

/// Signs in with a wrong password, if that is allowed.
fn fail(limiter: &dyn AttemptLimiter, attempt: Attempt<'_>) -> bool {
    let allowed = limiter.check(attempt).is_ok();
    if allowed {
        limiter.failed(attempt);
    }
    allowed
}

#[test]
fn a_guesser_is_slowed_down_to_one_guess_in_half_a_minute() {
    let clock = SetClock::new();
    let limiter = GcraAttemptLimiter::new(clock.clone());
    let guess = from("192.0.2.1", "jo");
    let allowed = (0..50).filter(|_| fail(&limiter, guess)).count();
    assert_eq!(allowed, 10);
    assert_eq!(limiter.check(guess), Err(Duration::from_secs(30)));
    clock.pass(Duration::from_secs(30));
    assert!(fail(&limiter, guess));
    assert!(!fail(&limiter, guess));
}

#[test]
fn signing_in_with_the_right_password_is_never_limited() {
    let limiter = GcraAttemptLimiter::new(SetClock::new());
    for _ in 0..10_000 {
        assert_eq!(limiter.check(from("192.0.2.1", "jo")), Ok(()));
    }
}

#[test]
fn a_guesser_does_not_lock_out_the_owner_of_the_account() {
    let limiter = GcraAttemptLimiter::new(SetClock::new());
    for _ in 0..1_000 {
        limiter.failed(from("192.0.2.1", "jo"));
    }
    assert!(limiter.check(from("192.0.2.1", "jo")).is_err());
    assert_eq!(limiter.check(from("198.51.100.7", "jo")), Ok(()));
}

#[test]
fn guesses_let_in_side_by_side_are_paid_for_afterwards() {
    let limiter = GcraAttemptLimiter::new(SetClock::new());
    let guess = from("192.0.2.1", "jo");
    for _ in 0..60 {
        assert_eq!(limiter.check(guess), Ok(()));
    }
    for _ in 0..60 {
        limiter.failed(guess);
    }
    let wait = limiter.check(guess).unwrap_err();
    assert_eq!(wait, Duration::from_secs(51 * 30));
}

#[test]
fn a_guesser_with_many_addresses_is_slowed_down_too_and_locks_nobody_out() {
    let limiter = GcraAttemptLimiter::new(SetClock::new());
    let guess = |last: u8| {
        let attempt = Attempt::SignIn {
            address: Some(IpAddr::from([192, 0, 2, last])),
            identifier: "jo",
        };
        fail(&limiter, attempt)
    };
    // Every address has its first guess; by then there were more than a hundred, and all that guessed wrong wait.
    assert_eq!((0..=255).filter(|last| guess(*last)).count(), 256);
    assert_eq!((0..=255).filter(|last| guess(*last)).count(), 0);
    let wait = limiter.check(from("192.0.2.1", "jo")).unwrap_err();
    assert!(wait <= Duration::from_secs(30), "{wait:?}");
    // Whoever has not is let in.
    assert!(limiter.check(from("198.51.100.7", "jo")).is_ok());
}

#[test]
fn the_delay_grows_and_stays_bounded() {
    let clock = SetClock::new();
    let limiter = GcraAttemptLimiter::new(clock.clone());
    let guess = from("192.0.2.1", "jo");
    let mut waits = Vec::new();
    for _ in 0..200 {
        if let Err(wait) = limiter.check(guess) {
            waits.push(wait.as_secs());
            clock.pass(wait);
        }
        assert!(fail(&limiter, guess));
    }
    assert_eq!(waits.first(), Some(&30));
    assert_eq!(waits.last(), Some(&(15 * 60)));
    assert!(waits.is_sorted(), "{waits:?}");
    // Somebody else is not made to wait by it, and the owner behind the same address not for longer.
    assert!(limiter.check(guess).unwrap_err() <= Duration::from_secs(15 * 60));
    assert_eq!(limiter.check(from("198.51.100.7", "jo")), Ok(()));
}

#[test]
fn nodes_with_one_key_count_together_and_others_apart() {
    let (one, mut told) = GcraAttemptLimiter::shared(SetClock::new(), b"a key of two nodes");
    let (other, _untold) = GcraAttemptLimiter::shared(SetClock::new(), b"a key of two nodes");
    let (stranger, _unheard) = GcraAttemptLimiter::shared(SetClock::new(), b"another key");
    let guess = from("192.0.2.1", "jo");
    while fail(&one, guess) {}
    while let Ok(failure) = told.try_recv() {
        other.heed(failure);
        stranger.heed(failure);
    }
    assert!(other.check(guess).is_err());
    assert_eq!(other.check(from("192.0.2.1", "al")), Ok(()));
    assert_eq!(other.check(from("198.51.100.7", "jo")), Ok(()));
    assert_eq!(stranger.check(guess), Ok(()));
}

#[test]
fn a_spray_from_millions_of_addresses_fills_no_memory_and_hides_no_guesser() {
    let limiter = GcraAttemptLimiter::new(SetClock::new());
    let guesser = from("192.0.2.1", "jo");
    while fail(&limiter, guesser) {}
    for number in 0..2_000_000_u128 {
        let network = (0x2001_0db8 << 96) | (number << 64);
        let attempt = Attempt::SignIn {
            address: Some(Ipv6Addr::from_bits(network).into()),
            identifier: "al",
        };
        limiter.failed(attempt);
    }
    for buckets in [
        &limiter.guesses,
        &limiter.persistent_guesses,
        &limiter.guesses_from_anywhere,
        &limiter.failures,
    ] {
        assert!(buckets.len() <= Buckets::MOST, "{}", buckets.len());
    }
    assert!(limiter.check(guesser).is_err(), "the guesser is remembered");
}

#[test]
fn one_password_tried_on_every_account_is_slowed_down() {
    let limiter = GcraAttemptLimiter::new(SetClock::new());
    let names: Vec<String> = (0..300).map(|number| format!("user{number}")).collect();
    let allowed = names
        .iter()
        .filter(|name| {
            let attempt = Attempt::SignIn {
                address: Some(IpAddr::from([192, 0, 2, 1])),
                identifier: name,
            };
            fail(&limiter, attempt)
        })
        .count();
    assert_eq!(allowed, 100);
}

#[test]
fn the_addresses_of_one_ipv6_subscriber_count_as_one() {
    let limiter = GcraAttemptLimiter::new(SetClock::new());
    for last in 0..10 {
        let address = format!("2001:db8:1:2::{last}");
        assert!(fail(&limiter, from(&address, "jo")));
    }
    assert!(limiter.check(from("2001:db8:1:2:ffff::1", "jo")).is_err());
    assert_eq!(limiter.check(from("2001:db8:1:3::1", "jo")), Ok(()));
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_that_address() {
    let limiter = GcraAttemptLimiter::new(SetClock::new());
    for _ in 0..10 {
        assert!(fail(&limiter, from("::ffff:192.0.2.1", "jo")));
    }
    assert!(limiter.check(from("192.0.2.1", "jo")).is_err());
    assert_eq!(limiter.check(from("192.0.2.2", "jo")), Ok(()));
}

#[test]
fn registrations_and_reset_requests_have_limits_of_their_own_by_address() {
    let limiter = GcraAttemptLimiter::new(SetClock::new());
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    let register = Attempt::Register {
        address: Some(address),
    };
    let reset = Attempt::RequestReset {
        address: Some(address),
        identifier: "jo",
    };
    let allowed = |attempt| (0..200).filter(|_| limiter.check(attempt).is_ok()).count();
    assert_eq!(allowed(register), 100);
    assert_eq!(allowed(reset), 30);
    assert_eq!(limiter.check(register), Err(Duration::from_secs(2)));
    assert_eq!(limiter.check(reset), Err(Duration::from_secs(10)));
    let elsewhere = Attempt::Register {
        address: Some("192.0.2.2".parse().unwrap()),
    };
    assert_eq!(limiter.check(elsewhere), Ok(()));
}

#[test]
fn guesses_from_an_unknown_address_are_limited_by_account() {
    let limiter = GcraAttemptLimiter::new(SetClock::new());
    let guess = Attempt::SignIn {
        address: None,
        identifier: "jo",
    };
    assert_eq!((0..50).filter(|_| fail(&limiter, guess)).count(), 10);
}

#[test]
fn without_limits_nothing_is_refused() {
    let guess = from("192.0.2.1", "jo");
    assert!((0..1_000).all(|_| fail(&NoAttemptLimits, guess)));
}
