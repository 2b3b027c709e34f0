//! Rate limits: on password guesses, registrations, requests for mail, refreshes, changes of one's own account, and devices.

use std::net::IpAddr;
use std::time::Duration;

use authlog_domain::{ClientId, SessionId, UserId};

/// An attempt that counts regardless of its outcome.
#[derive(Clone, Copy, Debug)]
pub enum Attempt<'a> {
    /// A request for mail to an account or an address.
    RequestMail {
        /// The client address, if it is known.
        address: Option<IpAddr>,
        /// The identifier of the account or the address, in its comparable form.
        identifier: &'a str,
    },
    /// A refresh of a live session. It is counted on this node only.
    Refresh {
        /// The session.
        session: SessionId,
        /// Its account.
        account: UserId,
        /// The application whose session it is: one cannot use up what the person and other applications need.
        client: Option<&'a ClientId>,
    },
    /// A login with a passkey alone that is right. No password is hashed for it. It is counted on this node only.
    PasskeySignIn {
        /// The account.
        account: UserId,
    },
    /// The exchange of an authorization code or a device code, which starts a session. It is counted on this node only.
    RedeemCode {
        /// The account.
        account: UserId,
        /// The application, which uses up only its own share.
        client: &'a ClientId,
    },
    /// A request of a device for its codes, which stores a row. It is counted on this node only.
    RequestDeviceCode {
        /// The application.
        client: &'a ClientId,
        /// The client address, if it is known and the application did not prove who it is.
        address: Option<IpAddr>,
    },
    /// A user code of a device that a person types, right or wrong. It is counted on this node only.
    EnterUserCode {
        /// The account of the person.
        account: UserId,
        /// The client address, if it is known.
        address: Option<IpAddr>,
    },
    /// A command of a person that changes their own account or ends its sessions.
    ChangeOwnAccount {
        /// The account.
        account: UserId,
    },
}

/// A password that is about to be checked.
#[derive(Clone, Copy, Debug)]
pub struct Guess<'a> {
    /// The client address, if it is known.
    pub address: Option<IpAddr>,
    /// The identifier as typed, in its comparable form.
    pub identifier: &'a str,
}

/// Decides whether an attempt is permitted now. Its memory is bounded, regardless of how many addresses and names are tried.
pub trait AttemptLimiter: Send + Sync {
    /// Counts an attempt.
    ///
    /// # Errors
    /// The time until the attempt is permitted. Nothing was counted.
    fn count(&self, attempt: Attempt<'_>) -> Result<(), Duration>;

    /// Reserves the right to register once from this address.
    ///
    /// # Errors
    /// The time until it is permitted. Nothing was reserved.
    fn reserve_registration(
        &self,
        address: Option<IpAddr>,
    ) -> Result<ReservedRegistration, Duration>;

    /// Reserves the right to check one password, before the account is looked up. Until it is settled, a reservation counts
    /// like a wrong password. So concurrent guesses are limited like sequential ones.
    ///
    /// # Errors
    /// The time until it is permitted. Nothing was reserved.
    fn reserve(&self, guess: Guess<'_>) -> Result<Reservation, Duration>;

    /// Remembers that the person with these identifiers (in their comparable form) signed in from `address`. Wrong passwords
    /// that others send from that address then do not delay this person there.
    fn remember_sign_in(&self, address: Option<IpAddr>, names: &[String]);
}

/// The right to register once. It counts when it is dropped, regardless of how the registration ended.
#[must_use = "a reservation that is dropped counts"]
pub struct ReservedRegistration(Option<Settle>);

/// Counts what was reserved (`true`), or gives it back (`false`).
type Settle = Box<dyn FnOnce(bool) + Send + Sync>;

impl ReservedRegistration {
    /// A reservation that `settle` counts (`true`) or gives back (`false`).
    pub fn new(settle: impl FnOnce(bool) + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(settle)))
    }

    /// Gives the right back, because the registration was refused for overload.
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

/// The outcome of a reserved guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuessOutcome {
    /// The password was right. It does not count as a guess, but as a sign-in.
    Right,
    /// The password was wrong, or the person must not learn that it was right.
    Wrong,
    /// The password was not checked. Nothing counts.
    Unchecked,
}

/// A limiter's part of a [`Reservation`].
pub trait ReservedGuess: Send + Sync {
    /// As [`Reservation::at_account`]. After an error, the guess must not be settled any more.
    ///
    /// # Errors
    /// As [`Reservation::at_account`].
    fn at_account(&mut self, account: Option<UserId>) -> Result<(), Duration>;

    /// As [`Reservation::at_second_factor`]. After an error, the guess must not be settled any more.
    ///
    /// # Errors
    /// As [`Reservation::at_second_factor`].
    fn at_second_factor(&mut self, account: UserId) -> Result<(), Duration>;

    /// Counts the guess by its outcome, and gives back the rest of the reservation. It is called once.
    fn settle(&mut self, outcome: GuessOutcome);
}

/// The right to check one password. If it is dropped, it counts as a wrong password, because a request that ends unexpectedly
/// may have checked it.
#[must_use = "a reservation that is dropped counts as a wrong password"]
pub struct Reservation(Option<Box<dyn ReservedGuess>>);

impl Reservation {
    /// The reservation of `guess`.
    pub fn new(guess: impl ReservedGuess + 'static) -> Self {
        Self(Some(Box::new(guess)))
    }

    /// Reserves the guess against the limit of the account as well, which all its identifiers share. An identifier without an
    /// account (`None`) gets a limit of its own, by the same work, so that neither times nor limits reveal which accounts
    /// exist.
    ///
    /// # Errors
    /// The time until the guess is permitted, after too many wrong passwords or too many sign-ins. The reservation is given
    /// back, and nothing counts.
    pub fn at_account(mut self, account: Option<UserId>) -> Result<Self, Duration> {
        if let Some(guess) = &mut self.0
            && let Err(wait) = guess.at_account(account)
        {
            self.0 = None;
            return Err(wait);
        }
        Ok(self)
    }

    /// Reserves the check of a code against a limit of the account that all networks share. A code is short: without such a
    /// limit, a person who knows the password and has many addresses would find one.
    ///
    /// # Errors
    /// The time until the check is permitted. The password was right, and counts as that.
    pub fn at_second_factor(mut self, account: UserId) -> Result<Self, Duration> {
        if let Some(guess) = &mut self.0
            && let Err(wait) = guess.at_second_factor(account)
        {
            self.0 = None;
            return Err(wait);
        }
        Ok(self)
    }

    /// Settles the guess: the password was right, and the request that needed it is permitted.
    pub fn was_right(self) {
        self.settle(GuessOutcome::Right);
    }

    /// Settles the guess: the password was wrong, or the person must not learn that it was right.
    pub fn was_wrong(self) {
        self.settle(GuessOutcome::Wrong);
    }

    /// Settles the guess: the password was not checked.
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
