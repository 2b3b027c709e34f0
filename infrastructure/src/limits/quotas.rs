//! How often each kind of attempt may be made.

use std::time::Duration;

use super::bucket::Quota;

/// Wrong passwords for one account from one address, by any of the account's names. A person who is looking for the
/// right password finds it, or the reset link, within ten attempts; a guesser has 2,880 a day. Up to ten may also be in
/// progress at the same time.
pub(super) const GUESSES: Quota = Quota {
    at_once: 10,
    then_one_per: Duration::from_secs(30),
};

/// Wrong passwords for one typed name from one address. This refuses guesses without looking up the account;
/// [`GUESSES`], which counts all names of an account together, decides about the others.
pub(super) const GUESSES_AT_NAME: Quota = GUESSES;

/// Wrong passwords for one account from one address, over a longer time: after a hundred wrong passwords (NIST SP
/// 800-63B-4 §3.2.2) an address has 96 guesses a day left. So the delay grows, from none to half a minute to a quarter
/// of an hour, and no further: the owner may have the same address.
pub(super) const PERSISTENT_GUESSES: Quota = Quota {
    at_once: 100,
    then_one_per: Duration::from_secs(15 * 60),
};

/// Wrong passwords for one account from anywhere, against guessers with many addresses. It applies only to addresses
/// that have guessed wrong, and not to those from which the owner has signed in before, so that others cannot lock the
/// owner out. So each new address has one guess, and a guesser with thousands of addresses has thousands: the hundred
/// in a row of NIST SP 800-63B-4 §3.2.2 could be kept only by locking the owner out.
pub(super) const GUESSES_FROM_ANYWHERE: Quota = Quota {
    at_once: 100,
    then_one_per: Duration::from_secs(30),
};

/// Wrong codes of second factors for one account from anywhere, from the first one of an address on: a code has six digits, and
/// an attacker who knows the password may have as many addresses as there are codes. It does not apply to addresses from
/// which the owner has signed in before, so the attacker cannot lock the owner out there. After the hundred wrong codes of
/// NIST SP 800-63B-4 §3.2.2 there are 96 guesses a day left, each of which is right once in 300,000 times.
pub(super) const CODES_FROM_ANYWHERE: Quota = PERSISTENT_GUESSES;

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

/// Registrations from one address: enough for a class that registers together, and too few for a script to fill the
/// store.
pub(super) const REGISTRATIONS_FROM_ADDRESS: Quota = Quota {
    at_once: 100,
    then_one_per: Duration::from_secs(2),
};

/// Requests for mail from one address.
pub(super) const MAIL_FROM_ADDRESS: Quota = Quota {
    at_once: 30,
    then_one_per: Duration::from_secs(10),
};

/// Requests for mail to one name from anywhere, so that requests from many addresses for one mailbox cannot fill the
/// queue. The limit is above the number of mails that are sent to one mailbox, so the owner has had several mails by
/// then.
pub(super) const MAIL_TO_NAME: Quota = Quota {
    at_once: 60,
    then_one_per: Duration::from_secs(60),
};

/// Refreshes of one session. Each appends an event that is kept for ever. A client refreshes when its access token
/// expires, after minutes or hours; the burst leaves room for tabs and retries, and a loop is slowed down.
pub(super) const REFRESHES_OF_SESSION: Quota = Quota {
    at_once: 60,
    then_one_per: Duration::from_secs(1),
};

/// Refreshes of one account, whose sessions may be many: the instances of a service that share one account. Those of the sessions
/// of an application count for that application alone.
pub(super) const REFRESHES_OF_ACCOUNT: Quota = Quota {
    at_once: 600,
    then_one_per: Duration::from_secs(1),
};

/// Logins of one account with passkeys alone, from all addresses together. Each appends an event and a row. Logins with a password
/// are bounded by their hashes, and these have none.
pub(super) const PASSKEY_SIGN_INS: Quota = REFRESHES_OF_ACCOUNT;

/// Codes of one account that an application redeems. Each appends an event and a row. A page that loops through the authorization of
/// an application without asking the person is slowed down.
pub(super) const REDEEMED_CODES: Quota = REFRESHES_OF_ACCOUNT;

/// Requests for device codes of one application, by all of its devices together. Each stores a row for ten minutes, so that at most
/// 4,000 wait on a node. Without a proof of who the application is, strangers can use this up.
pub(super) const DEVICE_REQUESTS_OF_CLIENT: Quota = Quota {
    at_once: 1_000,
    then_one_per: Duration::from_millis(200),
};

/// Requests for device codes from one address, of applications without a proof of who they are: enough for the devices of a house
/// or an office, and too few to use up what an application has.
pub(super) const DEVICE_REQUESTS_FROM_ADDRESS: Quota = Quota {
    at_once: 60,
    then_one_per: Duration::from_secs(10),
};

/// User codes that one account types. Each device takes two: to see what it asks for, and to decide. A guesser has 4,320 a day, each of
/// which finds one of a thousand waiting devices once in 25 million times.
pub(super) const USER_CODES_OF_ACCOUNT: Quota = Quota {
    at_once: 30,
    then_one_per: Duration::from_secs(20),
};

/// User codes that are typed at one address, for all accounts there together. An attacker may have many accounts.
pub(super) const USER_CODES_FROM_ADDRESS: Quota = Quota {
    at_once: 200,
    then_one_per: Duration::from_secs(5),
};

/// Changes that an account's owner makes to the account and its sessions. Each appends an event that is kept for ever; a
/// person who clears up after a theft needs a dozen.
pub(super) const CHANGES_OF_OWN_ACCOUNT: Quota = Quota {
    at_once: 60,
    then_one_per: Duration::from_secs(60),
};
