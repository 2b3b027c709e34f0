//! How often each kind of attempt may be made.

use std::time::Duration;

use super::bucket::Quota;

/// Wrong passwords for one account from one address, by any of the account's names. A person who is looking for the right
/// password finds it, or the reset link, within ten attempts; a guesser has 2,880 a day. So many may also be under way at a
/// time.
pub(super) const GUESSES: Quota = Quota {
    at_once: 10,
    then_one_per: Duration::from_secs(30),
};

/// The same by the name that was typed. It refuses from memory what would be looked up in vain: [`GUESSES`] has the last
/// word, which counts all names of an account together.
pub(super) const GUESSES_AT_NAME: Quota = GUESSES;

/// The same over a longer time: after a hundred wrong passwords (NIST SP 800-63B-4 §3.2.2) an address has 96 guesses a day
/// left. So the delay grows, from none to half a minute to a quarter of an hour, and no further: the owner may have the
/// same address.
pub(super) const PERSISTENT_GUESSES: Quota = Quota {
    at_once: 100,
    then_one_per: Duration::from_secs(15 * 60),
};

/// Wrong passwords for one account from anywhere, against guessers with many addresses. It limits those alone that have
/// guessed wrong where they are, and not where the owner has signed in before: no owner is locked out by others. So an address
/// that is new has one guess at once, and a guesser with thousands of addresses has thousands: the hundred in a row of NIST
/// SP 800-63B-4 §3.2.2 could be kept only by locking the owner out.
pub(super) const GUESSES_FROM_ANYWHERE: Quota = Quota {
    at_once: 100,
    then_one_per: Duration::from_secs(30),
};

/// Wrong passwords from one address for any account, against one common password tried on every account. A whole office or
/// mobile network may have the address: those who have signed in there before do not wait.
pub(super) const FAILURES_FROM_ADDRESS: Quota = Quota {
    at_once: 100,
    then_one_per: Duration::from_secs(1),
};

/// Right passwords for one account from one address. A program that signs in for every call does so once a second; more is
/// a loop that takes the hashing from others.
pub(super) const SIGN_INS: Quota = Quota {
    at_once: 60,
    then_one_per: Duration::from_secs(1),
};

/// Registrations from one address: a class may register together, a script fills nothing.
pub(super) const REGISTRATIONS_FROM_ADDRESS: Quota = Quota {
    at_once: 100,
    then_one_per: Duration::from_secs(2),
};

/// Requests for mail from one address.
pub(super) const MAIL_FROM_ADDRESS: Quota = Quota {
    at_once: 30,
    then_one_per: Duration::from_secs(10),
};

/// Requests for mail to one name from anywhere, so that many addresses that ask for one mailbox fill no queue. It is more
/// than is ever mailed: the owner of the name has had several mails by then.
pub(super) const MAIL_TO_NAME: Quota = Quota {
    at_once: 60,
    then_one_per: Duration::from_secs(60),
};

/// Refreshes of one session. Each appends an event that is kept for ever. A client refreshes when its access token expires,
/// after minutes or hours; tabs and retries fit in what is admitted at once, and a loop is slowed down.
pub(super) const REFRESHES_OF_SESSION: Quota = Quota {
    at_once: 60,
    then_one_per: Duration::from_secs(1),
};

/// Refreshes of one account, whose sessions may be many: the instances of a service that share one account.
pub(super) const REFRESHES_OF_ACCOUNT: Quota = Quota {
    at_once: 600,
    then_one_per: Duration::from_secs(1),
};

/// Changes that an account's owner makes to the account and its sessions. Each appends an event that is kept for ever; a
/// person who clears up after a theft needs a dozen.
pub(super) const CHANGES_OF_OWN_ACCOUNT: Quota = Quota {
    at_once: 60,
    then_one_per: Duration::from_secs(60),
};
