//! The level of authentication that a caller needs.

use std::time::Duration;

use authlog_domain::{AuthenticationLevel, Role};

use super::{BrowserSession, Caller};
use crate::{Authlog, Refusal, SecondFactorRefusal};

/// The greatest age of a second factor for changes that an attacker would make first: of the account's factors, password
/// and address, and of other people's accounts.
pub(crate) const FRESH: Duration = Duration::from_secs(10 * 60);

impl Authlog {
    /// Whether the settings demand a second factor of accounts with this role.
    pub(crate) fn demands_second_factor(&self, role: Role) -> bool {
        self.settings.second_factor_roles.contains(&role)
    }

    /// Whether the settings demand a second factor of accounts with this role, and this session has shown none. Its person has to enrol
    /// one: the first factor of an account ends the other sessions, and later logins show it.
    pub fn lacks_second_factor(&self, browser: &BrowserSession) -> bool {
        let level = browser.caller().authentication().acr;
        level < AuthenticationLevel::Aal2 && self.demands_second_factor(browser.account().role)
    }

    /// Refuses a caller without a second factor, or with one that is older than `max_age`, if the settings demand one of
    /// accounts with this role.
    ///
    /// # Errors
    /// [`SecondFactorRefusal::LevelTooLow`].
    pub(super) fn check_policy(
        &self,
        role: Role,
        caller: &Caller,
        max_age: Option<Duration>,
    ) -> Result<(), Refusal> {
        if self.demands_second_factor(role) {
            self.check_level(caller, max_age)
        } else {
            Ok(())
        }
    }

    /// Refuses a caller without a second factor, or with one that is older than `max_age`.
    ///
    /// # Errors
    /// [`SecondFactorRefusal::LevelTooLow`].
    pub(super) fn check_level(
        &self,
        caller: &Caller,
        max_age: Option<Duration>,
    ) -> Result<(), Refusal> {
        let (authentication, now) = (caller.authentication(), self.parts.clock.now());
        if authentication.satisfies(AuthenticationLevel::Aal2, max_age, now) {
            Ok(())
        } else {
            Err(Refusal::SecondFactor(SecondFactorRefusal::LevelTooLow {
                max_age,
            }))
        }
    }
}
