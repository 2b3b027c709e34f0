//! A guess in progress: the places that it reserves in the buckets until its password has been checked.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{Guess, GuessOutcome, ReservedGuess};
use authlog_domain::UserId;

use super::Limits;
use super::bucket::{Buckets, UNTIL_SETTLED};
use super::key::{Kind, Network};
use super::remote_guesses::GuessId;
use super::update::{Update, UpdateKind};

/// The reservations of one guess: at the typed name and, once that was looked up, at the account.
pub(super) struct HeldGuess {
    limits: Arc<Limits>,
    network: Network,
    /// The key of the typed name and the network, at which a place is held.
    name: u64,
    /// The key of the typed name.
    identifier: u64,
    /// The key of the network, if it is held.
    from_network: Option<u64>,
    /// Whether the person signed in with this name from here before.
    signed_in_before: bool,
    at_account: Option<AtAccount>,
    /// The key of the account's codes, if a place for one is held.
    code: Option<u64>,
}

/// The places that are held at an account.
struct AtAccount {
    /// The key of the account and the network.
    guess: u64,
    /// The key of the account, if it is held.
    from_anywhere: Option<u64>,
    /// The announcement of the guess to other nodes, if one was sent.
    announced: Option<Announced>,
}

/// The announcement of a guess to other nodes.
#[derive(Clone, Copy)]
struct Announced {
    guess: Option<GuessId>,
    at: i64,
}

impl HeldGuess {
    /// Holds a place for the typed name and one for the network.
    pub fn reserve(limits: &Arc<Limits>, guess: Guess<'_>) -> Result<Self, Duration> {
        let now = limits.clock.now();
        let network = Network::of(guess.address);
        let name = limits.name_key(guess.identifier, &network);
        let signed_in_before = limits.signed_in.holds(name, now);
        limits.guesses_at_name.hold(name, now)?;
        let from_network = limits
            .network_key(&network)
            .and_then(|network| hold(&limits.failures, network, signed_in_before, now).transpose())
            .transpose()
            .inspect_err(|_| limits.guesses_at_name.give_back(name, now))?;
        let parts = [guess.identifier.as_bytes(), b""];
        Ok(Self {
            identifier: limits.key.hash(Kind::Identifier, parts),
            limits: Arc::clone(limits),
            network,
            name,
            from_network,
            signed_in_before,
            at_account: None,
            code: None,
        })
    }

    /// Holds a place for a guess at the account from here, and one for a guess at it from anywhere.
    fn hold_at_account(&self, account: u64, guess: u64, now: i64) -> Result<AtAccount, Duration> {
        let limits = &*self.limits;
        let in_use = limits.guesses.hold(guess, now);
        let in_use = in_use.inspect_err(|wait| self.close_name(*wait, now))?;
        let persistent = limits.persistent_guesses.hold(guess, now);
        persistent.inspect_err(|wait| {
            limits.guesses.give_back(guess, now);
            self.close_name(*wait, now);
        })?;
        // The first guess from a network does not wait because of guesses from other networks.
        let is_exempt = !in_use || self.signed_in_before;
        let from_anywhere = hold(&limits.guesses_from_anywhere, account, is_exempt, now);
        let from_anywhere = from_anywhere.inspect_err(|_| {
            limits.guesses.give_back(guess, now);
            limits.persistent_guesses.give_back(guess, now);
        })?;
        // Most sign-ins are one right password, so the first guess is not announced to other nodes.
        let announced = in_use.then(|| Announced {
            guess: limits.guess_ids.next(),
            at: now,
        });
        if let Some(Announced { guess: id, .. }) = announced {
            limits.send(Update {
                guess: id,
                ..Update::new(UpdateKind::Guess, guess)
            });
        }
        Ok(AtAccount {
            guess,
            from_anywhere,
            announced,
        })
    }

    /// Refuses the typed name without a look-up for as long as its account would be refused. A wait that only guesses
    /// in progress cause is left out, because they may be given back.
    fn close_name(&self, wait: Duration, now: i64) {
        if wait > UNTIL_SETTLED {
            self.limits.guesses_at_name.close(self.name, wait, now);
        }
    }

    fn settle_at_account(&self, held: &AtAccount, outcome: GuessOutcome, now: i64) {
        let limits = &*self.limits;
        let counts = outcome == GuessOutcome::Wrong;
        let signed_in = outcome == GuessOutcome::Right;
        for buckets in [&limits.guesses, &limits.persistent_guesses] {
            if let Some(wait) = settle(buckets, held.guess, counts, now) {
                self.close_name(wait, now);
            }
        }
        settle(&limits.sign_ins, held.guess, signed_in, now);
        if let Some(account) = held.from_anywhere {
            settle(&limits.guesses_from_anywhere, account, counts, now);
            if counts {
                limits.send(Update::new(UpdateKind::FailedAtAccount, account));
            }
        }
        match held.announced {
            None if counts => limits.send(Update::new(UpdateKind::Guess, held.guess)),
            Some(Announced { guess, at }) if !counts => limits.send(Update {
                guess,
                // A right password takes back the whole count; a guesser has no right passwords to exploit this, and codes have
                // a limit of their own.
                // Otherwise the part that has leaked on other nodes meanwhile is not taken back again.
                age: if signed_in { 0 } else { age(at, now) },
                ..Update::new(UpdateKind::TakenBack, held.guess)
            }),
            _ => {}
        }
    }
}

impl ReservedGuess for HeldGuess {
    fn at_account(&mut self, account: Option<UserId>) -> Result<(), Duration> {
        let limits = Arc::clone(&self.limits);
        let now = limits.clock.now();
        let account = match account {
            Some(account) => limits.account_key(account),
            None => {
                let parts = [&self.identifier.to_be_bytes()[..], b""];
                limits.key.hash(Kind::Unknown, parts)
            }
        };
        let parts = [&account.to_be_bytes()[..], self.network.as_bytes()];
        let guess = limits.key.hash(Kind::Guess, parts);
        let sign_in = limits.sign_ins.hold(guess, now);
        sign_in.inspect_err(|_| self.settle(GuessOutcome::Unchecked))?;
        match self.hold_at_account(account, guess, now) {
            Ok(held) => {
                self.at_account = Some(held);
                Ok(())
            }
            Err(wait) => {
                limits.sign_ins.give_back(guess, now);
                self.settle(GuessOutcome::Unchecked);
                Err(wait)
            }
        }
    }

    fn at_second_factor(&mut self, account: UserId) -> Result<(), Duration> {
        let limits = Arc::clone(&self.limits);
        let account = account.as_uuid();
        let parts = [&account.as_bytes()[..], b""];
        let code = limits.key.hash(Kind::Code, parts);
        let now = limits.clock.now();
        let held = hold(
            &limits.codes_from_anywhere,
            code,
            self.signed_in_before,
            now,
        );
        self.code = held.inspect_err(|_| self.settle(GuessOutcome::Right))?;
        Ok(())
    }

    fn settle(&mut self, outcome: GuessOutcome) {
        let limits = &*self.limits;
        let now = limits.clock.now();
        let counts = outcome == GuessOutcome::Wrong;
        settle(&limits.guesses_at_name, self.name, counts, now);
        if let Some(network) = self.from_network {
            settle(&limits.failures, network, counts, now);
            if counts {
                limits.send(Update::new(UpdateKind::FailedFromNetwork, network));
            }
        }
        if let Some(code) = self.code {
            settle(&limits.codes_from_anywhere, code, counts, now);
            if counts {
                limits.send(Update::new(UpdateKind::WrongCode, code));
            }
        }
        if let Some(held) = &self.at_account {
            self.settle_at_account(held, outcome, now);
        }
    }
}

/// Reserves a place. `None` if the quota has no room and the guess is exempt from it.
fn hold(buckets: &Buckets, key: u64, is_exempt: bool, now: i64) -> Result<Option<u64>, Duration> {
    match buckets.hold(key, now) {
        Ok(_) => Ok(Some(key)),
        Err(_) if is_exempt => Ok(None),
        Err(wait) => Err(wait),
    }
}

/// Counts a reserved attempt and returns the wait before the next one, or gives the place back.
pub(super) fn settle(buckets: &Buckets, key: u64, counts: bool, now: i64) -> Option<Duration> {
    if counts {
        return buckets.settle(key, now);
    }
    buckets.give_back(key, now);
    None
}

/// The milliseconds since `then`, at most 65,535. No guess is in progress for longer.
fn age(then: i64, now: i64) -> u16 {
    u16::try_from(now.saturating_sub(then)).unwrap_or(u16::MAX)
}
