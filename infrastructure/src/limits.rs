//! Limits on guessing, kept in memory.
//!
//! A node forgets when it restarts: what a limit buys is that guessing is slow. Nodes that share a store tell each other
//! of the guesses that they saw ([`Failure`]), of those at names that nobody has as well: an account would give itself
//! away if it alone were protected on every node.

mod bucket;
mod failure;

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{Attempt, AttemptLimiter, Clock};

use aws_lc_rs::hmac;
use tokio::sync::mpsc;

use bucket::{Buckets, Quota};
pub use failure::Failure;

/// Failed sign-ins as one account from one address. A person who is looking for the right password finds it, or the
/// reset link, within ten attempts; a guesser has 2,880 a day. Requests that were let in side by side, before the
/// first of them had failed, are paid for afterwards, by up to an hour.
const GUESSES: Quota = Quota {
    at_once: 10,
    then_one_per: Duration::from_secs(30),
    longest_wait: Duration::from_secs(60 * 60),
};

/// The same over a longer time: whoever has guessed a hundred times (NIST SP 800-63B-4 §3.2.2) has 96 guesses a day left. So
/// the delay grows, from none to half a minute to a quarter of an hour, and no further: the owner may be behind the same
/// address.
const PERSISTENT_GUESSES: Quota = Quota {
    at_once: 100,
    then_one_per: Duration::from_secs(15 * 60),
    longest_wait: Duration::from_secs(15 * 60),
};

/// Failed sign-ins as one account from anywhere, against guessers with many addresses. It makes those wait who have
/// guessed wrong themselves, and one address alone cannot use it up, because only what [`GUESSES`] allows is counted:
/// nobody gets locked out by somebody else. So an address that is new has a guess at once, and whoever has thousands of
/// them thousands: the hundred in a row of NIST SP 800-63B-4 §3.2.2 could be kept only by locking the owner out.
const GUESSES_FROM_ANYWHERE: Quota = Quota {
    at_once: 100,
    then_one_per: Duration::from_secs(30),
    longest_wait: Duration::from_secs(30),
};

/// Failed sign-ins from one address as anybody, against one common password tried on every account. A whole office or
/// mobile network may stand behind the address.
const FAILURES_FROM_ADDRESS: Quota = Quota {
    at_once: 100,
    then_one_per: Duration::from_secs(1),
    longest_wait: Duration::from_secs(60 * 60),
};

/// Registrations from one address: a class may register together, a script fills nothing.
const REGISTRATIONS_FROM_ADDRESS: Quota = Quota {
    at_once: 100,
    then_one_per: Duration::from_secs(2),
    longest_wait: Duration::from_secs(2),
};

/// Requests for a reset mail from one address. How many mails one account is sent is the domain's business.
const RESETS_FROM_ADDRESS: Quota = Quota {
    at_once: 30,
    then_one_per: Duration::from_secs(10),
    longest_wait: Duration::from_secs(10),
};

/// The generic cell rate algorithm (ITU-T I.371) over identifiers and addresses.
///
/// Identifiers and addresses are personal data: they are kept as keyed hashes, under a key that dies with the process or
/// that nodes share.
/// Neighbouring IPv6 addresses (one /64, the least that a subscriber gets, RFC 6177) count as one. Where no address is
/// known, only the limits that need none apply. Memory is bounded, about 13 MB in all: of each limit's 100,000 buckets
/// the emptiest are forgotten first, so that no flood of other names or addresses hides a guesser.
pub struct GcraAttemptLimiter {
    clock: Arc<dyn Clock>,
    key: Key,
    news: Option<mpsc::Sender<Failure>>,
    guesses: Buckets,
    persistent_guesses: Buckets,
    guesses_from_anywhere: Buckets,
    failures: Buckets,
    registrations: Buckets,
    resets: Buckets,
}

impl GcraAttemptLimiter {
    /// A limiter that has seen nothing yet, and counts for itself.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with(clock, Key::OfProcess(RandomState::new()), None)
    }

    /// A limiter that tells of the guesses that it sees, for others with the same key to [`heed`](Self::heed). Of what
    /// nobody takes off the channel in time, no more is told.
    pub fn shared(clock: Arc<dyn Clock>, key: &[u8]) -> (Self, mpsc::Receiver<Failure>) {
        let (news, told) = mpsc::channel(UNTOLD);
        let key = Key::Shared(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key)));
        (Self::with(clock, key, Some(news)), told)
    }

    fn with(clock: Arc<dyn Clock>, key: Key, news: Option<mpsc::Sender<Failure>>) -> Self {
        Self {
            clock,
            key,
            news,
            guesses: Buckets::new(GUESSES),
            persistent_guesses: Buckets::new(PERSISTENT_GUESSES),
            guesses_from_anywhere: Buckets::new(GUESSES_FROM_ANYWHERE),
            failures: Buckets::new(FAILURES_FROM_ADDRESS),
            registrations: Buckets::new(REGISTRATIONS_FROM_ADDRESS),
            resets: Buckets::new(RESETS_FROM_ADDRESS),
        }
    }

    /// Counts a guess that another node saw.
    pub fn heed(&self, failure: Failure) {
        let now = self.clock.now().unix_millis();
        let _ = self.persistent_guesses.count(failure.guess, now);
        if self.guesses.count(failure.guess, now).is_ok() {
            // Nothing is waiting for the answer: the next check reads it from the bucket.
            let _ = self.guesses_from_anywhere.count(failure.identifier, now);
        }
        if let Some(network) = failure.network {
            let _ = self.failures.count(network, now);
        }
    }

    fn identifier_key(&self, identifier: &str) -> u64 {
        self.key.hash(&("identifier", identifier))
    }

    fn address_key(&self, address: IpAddr) -> u64 {
        self.key.hash(&("network", network_of(address)))
    }

    fn guess_key(&self, identifier: &str, address: Option<IpAddr>) -> u64 {
        self.key
            .hash(&("guess", identifier, address.map(network_of)))
    }
}

/// How many guesses may wait to be told: as many as a node hashes passwords in some seconds.
const UNTOLD: usize = 1024;

/// Under which names and addresses are hashed.
enum Key {
    OfProcess(RandomState),
    Shared(Box<hmac::Key>),
}

impl Key {
    fn hash(&self, value: &(impl Hash + std::fmt::Debug)) -> u64 {
        match self {
            Self::OfProcess(state) => state.hash_one(value),
            // Its `Debug` is the same on every node, which `Hash` need not be.
            Self::Shared(key) => {
                let tag = hmac::sign(key, format!("{value:?}").as_bytes());
                tag.as_ref()
                    .iter()
                    .take(8)
                    .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
            }
        }
    }
}

impl AttemptLimiter for GcraAttemptLimiter {
    fn check(&self, attempt: Attempt<'_>) -> Result<(), Duration> {
        let now = self.clock.now().unix_millis();
        match attempt {
            Attempt::SignIn {
                address,
                identifier,
            } => {
                let guess = self.guess_key(identifier, address);
                // Whoever has not guessed wrong from where they are is not made to wait for those who have.
                let from_anywhere = self
                    .guesses
                    .holds(guess, now)
                    .then(|| self.identifier_key(identifier))
                    .and_then(|key| self.guesses_from_anywhere.wait(key, now));
                let wait = [
                    self.guesses.wait(guess, now),
                    self.persistent_guesses.wait(guess, now),
                    from_anywhere,
                    address.and_then(|address| self.failures.wait(self.address_key(address), now)),
                ];
                wait.into_iter().flatten().max().map_or(Ok(()), Err)
            }
            Attempt::Register { address } => address.map_or(Ok(()), |address| {
                self.registrations.take(self.address_key(address), now)
            }),
            Attempt::RequestReset { address, .. } => address.map_or(Ok(()), |address| {
                self.resets.take(self.address_key(address), now)
            }),
        }
    }

    fn failed(&self, attempt: Attempt<'_>) {
        let Attempt::SignIn {
            address,
            identifier,
        } = attempt
        else {
            return;
        };
        let failure = Failure {
            guess: self.guess_key(identifier, address),
            identifier: self.identifier_key(identifier),
            network: address.map(|address| self.address_key(address)),
        };
        self.heed(failure);
        if let Some(news) = &self.news {
            // Whoever guesses faster than can be told is slowed down here all the same.
            let _ = news.try_send(failure);
        }
    }
}

/// The address, or the /64 that it lies in.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// No limits at all, for load tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAttemptLimits;

impl AttemptLimiter for NoAttemptLimits {
    fn check(&self, _: Attempt<'_>) -> Result<(), Duration> {
        Ok(())
    }

    fn failed(&self, _: Attempt<'_>) {}
}

#[cfg(test)]
mod tests;
