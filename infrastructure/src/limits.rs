//! Limits on guessing, kept in memory.
//!
//! Every node counts for itself and forgets when it restarts: what a limit buys is that guessing is slow, and it stays
//! slow by a factor of as many nodes as there are.

mod bucket;

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{Attempt, AttemptLimiter, Clock};

use bucket::{Buckets, Quota};

/// Failed sign-ins as one account from one address. A person who is looking for the right password finds it, or the
/// reset link, within ten attempts; a guesser has 2,880 a day. Requests that were let in side by side, before the
/// first of them had failed, are paid for afterwards, by up to an hour.
const GUESSES: Quota = Quota {
    at_once: 10,
    then_one_per: Duration::from_secs(30),
    longest_wait: Duration::from_secs(60 * 60),
};

/// Failed sign-ins as one account from anywhere, against guessers with many addresses (NIST SP 800-63B-4 §3.2.2 asks
/// for no more than 100 in a row). It makes those wait who have guessed wrong themselves, and one address alone cannot
/// use it up, because only what [`GUESSES`] allows is counted: nobody gets locked out by somebody else.
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
/// Identifiers and addresses are personal data: they are kept as keyed hashes, under a key that dies with the process.
/// Neighbouring IPv6 addresses (one /64, the least that a subscriber gets, RFC 6177) count as one. Where no address is
/// known, only the limits that need none apply. Memory is bounded, about 11 MB in all: of each limit's 100,000 buckets
/// the emptiest are forgotten first, so that no flood of other names or addresses hides a guesser.
pub struct GcraAttemptLimiter {
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    guesses: Buckets,
    guesses_from_anywhere: Buckets,
    failures: Buckets,
    registrations: Buckets,
    resets: Buckets,
}

impl GcraAttemptLimiter {
    /// A limiter that has seen nothing yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            hasher: RandomState::new(),
            guesses: Buckets::new(GUESSES),
            guesses_from_anywhere: Buckets::new(GUESSES_FROM_ANYWHERE),
            failures: Buckets::new(FAILURES_FROM_ADDRESS),
            registrations: Buckets::new(REGISTRATIONS_FROM_ADDRESS),
            resets: Buckets::new(RESETS_FROM_ADDRESS),
        }
    }

    fn identifier_key(&self, identifier: &str) -> u64 {
        self.hasher.hash_one(identifier)
    }

    fn address_key(&self, address: IpAddr) -> u64 {
        self.hasher.hash_one(network_of(address))
    }

    fn guess_key(&self, identifier: &str, address: Option<IpAddr>) -> u64 {
        self.hasher.hash_one((identifier, address.map(network_of)))
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
        let now = self.clock.now().unix_millis();
        let guess = self.guess_key(identifier, address);
        if self.guesses.count(guess, now).is_ok() {
            let identifier = self.identifier_key(identifier);
            // Nothing is waiting for the answer: the next check reads it from the bucket.
            let _ = self.guesses_from_anywhere.count(identifier, now);
        }
        if let Some(address) = address {
            let _ = self.failures.count(self.address_key(address), now);
        }
    }
}

/// The address, or the /64 that it lies in.
fn network_of(address: IpAddr) -> IpAddr {
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
