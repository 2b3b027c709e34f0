//! Limits on attempts: guesses at passwords, registrations, requests for mail, refreshes, changes of one's
//! own account.

use std::net::IpAddr;
use std::time::Duration;

use authlog_domain::{SessionId, UserId};

/// An attempt that counts however it ends.
#[derive(Clone, Copy, Debug)]
pub enum Attempt<'a> {
    /// To have mail sent to the account or the address called `identifier` (in its comparable form).
    RequestMail {
        /// From where.
        address: Option<IpAddr>,
        /// To whom.
        identifier: &'a str,
    },
    /// To refresh a session that goes on. It is counted on this node alone.
    Refresh {
        /// The session.
        session: SessionId,
        /// Its account.
        account: UserId,
    },
    /// To change one's own account or to end its sessions.
    ChangeOwnAccount {
        /// The account.
        account: UserId,
    },
}

/// A password that is about to be checked.
#[derive(Clone, Copy, Debug)]
pub struct Guess<'a> {
    /// From where.
    pub address: Option<IpAddr>,
    /// The name that was typed, in its comparable form.
    pub identifier: &'a str,
}

/// Decides whether an attempt may be made now. Memory is bounded however many addresses and names are tried.
pub trait AttemptLimiter: Send + Sync {
    /// Counts an attempt.
    ///
    /// # Errors
    /// It is too early for it by as much as the error says, and nothing was counted.
    fn count(&self, attempt: Attempt<'_>) -> Result<(), Duration>;

    /// Reserves the right to register once from this address.
    ///
    /// # Errors
    /// It is too early for it by as much as the error says, and nothing was reserved.
    fn reserve_registration(
        &self,
        address: Option<IpAddr>,
    ) -> Result<ReservedRegistration, Duration>;

    /// Reserves the right to check one password, before anything is looked up. Requests that are under way side by side
    /// count as requests that were refused one after the other.
    ///
    /// # Errors
    /// It is too early for it by as much as the error says, and nothing was reserved.
    fn reserve(&self, guess: Guess<'_>) -> Result<Reservation, Duration>;

    /// Remembers that the person with these names (in their comparable form) signed in from `address`: the wrong
    /// passwords of others at that address do not make them wait there.
    fn remember_sign_in(&self, address: Option<IpAddr>, names: &[String]);
}

/// The right to register once. It counts when it is dropped, however the registration ended.
#[must_use = "a reservation that is dropped counts"]
pub struct ReservedRegistration(Option<Settle>);

/// Counts what was reserved (`true`), or gives it back (`false`).
type Settle = Box<dyn FnOnce(bool) + Send + Sync>;

impl ReservedRegistration {
    /// A reservation that `settle` counts (`true`) or gives back (`false`).
    pub fn new(settle: impl FnOnce(bool) + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(settle)))
    }

    /// The registration was refused for overload: it does not count.
    pub fn give_back(mut self) {
        if let Some(settle) = self.0.take() {
            settle(false);
        }
    }
}

impl Drop for ReservedRegistration {
    fn drop(&mut self) {
        if let Some(settle) = self.0.take() {
            settle(true);
        }
    }
}

/// How a reserved guess ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuessOutcome {
    /// The password was right. The guess does not count; the sign-in does.
    Right,
    /// The password was wrong, or the person must not learn that it was right.
    Wrong,
    /// No password was checked. Nothing counts.
    Unchecked,
}

/// What a limiter keeps of a guess that is under way.
pub trait ReservedGuess: Send + Sync {
    /// As [`Reservation::at_account`]. After an error there is nothing left to settle.
    ///
    /// # Errors
    /// As [`Reservation::at_account`].
    fn at_account(&mut self, account: Option<UserId>) -> Result<(), Duration>;

    /// Counts what is to count and gives back the rest. It is called once.
    fn settle(&mut self, outcome: GuessOutcome);
}

/// The right to check one password. One that is dropped counts as a wrong password: a request that ends in an unforeseen
/// way may have had its password checked.
#[must_use = "a reservation that is dropped counts as a wrong password"]
pub struct Reservation(Option<Box<dyn ReservedGuess>>);

impl Reservation {
    /// A reservation of what `guess` holds.
    pub fn new(guess: impl ReservedGuess + 'static) -> Self {
        Self(Some(Box::new(guess)))
    }

    /// Reserves at the account itself as well: all its names share one budget. A name that no
    /// account has is given a budget of its own, by the same work, so that neither time nor limits tell which exist.
    ///
    /// # Errors
    /// It is too early by as much as the error says; for wrong passwords, or for right ones that were too many. Nothing is
    /// reserved any more, and nothing counts.
    pub fn at_account(mut self, account: Option<UserId>) -> Result<Self, Duration> {
        if let Some(guess) = &mut self.0
            && let Err(wait) = guess.at_account(account)
        {
            self.0 = None;
            return Err(wait);
        }
        Ok(self)
    }

    /// The password was right, and the person is signed in or may do what it was asked for.
    pub fn was_right(self) {
        self.settle(GuessOutcome::Right);
    }

    /// The password was wrong, or the person must not learn that it was right.
    pub fn was_wrong(self) {
        self.settle(GuessOutcome::Wrong);
    }

    /// No password was checked.
    pub fn give_back(self) {
        self.settle(GuessOutcome::Unchecked);
    }

    fn settle(mut self, outcome: GuessOutcome) {
        if let Some(mut guess) = self.0.take() {
            guess.settle(outcome);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(mut guess) = self.0.take() {
            guess.settle(GuessOutcome::Wrong);
        }
    }
}
