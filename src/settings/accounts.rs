//! Settings of accounts: their passwords, addresses and sessions.

use std::time::Duration;

use authlog_application::RegistrationPolicy;
use authlog_domain::Role;
use authlog_infrastructure::hashing::Argon2Parameters;

use super::breached::BreachedPasswordList;
use super::declare::settings;
use super::format::{Format, SWITCH, number, time};
use super::sources::Sources;

settings! {
    /// The requirements on passwords and e-mail addresses, the lifetimes of sessions, and the cost of password hashes.
    pub(crate) struct Accounts in "Account settings" {
        /// Whether people may register an account: open or closed; the command line always may
        registration: RegistrationPolicy = REGISTRATION.default("open"),
        /// Minimum number of characters of a new password
        password_min_length: usize = CHARACTERS.default("7"),
        /// Minimum zxcvbn score of a new password, 0 to 4
        password_min_score: u8 = SCORE.default("0"),
        /// List of breached passwords: a file that `breached import` made, or the URL of a range service
        breached_passwords: Option<BreachedPasswordList> = BREACHED
            .holding_a_password()
            .optional("none"),
        /// Whether to mail a link that confirms the e-mail address when an account is registered: on or off
        verify_email: bool = SWITCH.default("off"),
        /// Whether to refuse logins until that link was followed: on or off
        require_verified_email: bool = SWITCH.default("off"),
        /// Whether a code of an authenticator app is accepted after the password, in the same field: on or off
        password_with_code: bool = SWITCH.default("on"),
        /// Roles whose accounts need a second factor, separated by commas; without one they can sign in only to enrol one
        second_factor: Roles = ROLES.or_empty(),
        /// Maximum lifetime of a session, however often it is refreshed
        // NIST SP 800-63B-4 §2.1.3 asks for no more than 30 days at AAL1.
        session_lifetime: Duration = LIFETIME.default("30d"),
        /// How long a session lasts without a refresh
        session_idle: Option<Duration> = IDLE.optional("the lifetime of the refresh token"),
        /// Memory of one password hash, in KiB
        argon2_memory_kib: u32 = MEMORY.default("19456"),
        /// Passes of one password hash
        argon2_iterations: u32 = PASSES.default("2"),
    }
}

const REGISTRATION: Format<RegistrationPolicy> =
    Format::new("STATE", "open or closed", |text| match text {
        "open" => Some(RegistrationPolicy::Open),
        "closed" => Some(RegistrationPolicy::Closed),
        _ => None,
    });

const CHARACTERS: Format<usize> =
    Format::new("NUMBER", "a number of characters from 1 to 64", |text| {
        number(text, 1..=64)
    });

const SCORE: Format<u8> = Format::new(
    "NUMBER",
    "a zxcvbn score from 0 (anything) to 4 (very hard to guess)",
    |text| number(text, 0..=4),
);

const BREACHED: Format<BreachedPasswordList> = Format::new(
    "FILE|URL",
    "a path, or an http:// or https:// URL",
    BreachedPasswordList::parse,
);

/// Some of the roles.
pub(crate) type Roles = Vec<Role>;

const ROLES: Format<Roles> = Format::new(
    "ROLES",
    "roles with commas between them: admin, auditor, service, user",
    |text| {
        text.split(',')
            .map(|name| Role::parse(name.trim()))
            .collect()
    },
);

const LIFETIME: Format<Duration> =
    Format::new("TIME", "a time up to 365d, such as 12h or 30d", time);

const IDLE: Format<Duration> = Format::new("TIME", "a time such as 45m, 12h or 7d", time);

const MEMORY: Format<u32> = Format::new("NUMBER", "a number of KiB from 8 to 1048576", |text| {
    number(text, 8..=1_048_576)
});

const PASSES: Format<u32> = Format::new("NUMBER", "a number from 1 to 100", |text| {
    number(text, 1..=100)
});

impl Accounts {
    pub(super) fn from_sources(sources: &Sources) -> anyhow::Result<Self> {
        Self::read(sources)
    }

    /// The parameters of new password hashes.
    pub(crate) fn argon2(&self) -> Argon2Parameters {
        Argon2Parameters {
            memory_kib: self.argon2_memory_kib,
            iterations: self.argon2_iterations,
            ..Argon2Parameters::default()
        }
    }
}
