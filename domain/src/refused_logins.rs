//! The `RefusedLogins` aggregate: the refused logins of one account on one day.
//!
//! Each day has a stream of its own, of bounded length. So an attacker who guesses passwords can neither slow down the
//! account's own aggregate nor fill the log.

use std::convert::Infallible;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use crate::catalogue::{catalogued, stored_in_current_versions};
use crate::{Timestamp, UserId};

/// How many refused logins of one account are recorded on one day. A person mistypes a few; more than a thousand give
/// an auditor no further information.
pub const MAX_PER_DAY: u32 = 1000;

/// How many events of a day there may be for a login without its second factor to be recorded. Each login in two steps has one,
/// so they leave room for those that were wrong.
const MAX_WITH_MISSING_FACTOR: u32 = MAX_PER_DAY / 2;

/// The number of logins that were refused on the day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RefusedLogins {
    count: u32,
}

impl RefusedLogins {
    /// The aggregate after `count` events. Each event is one refused login, so the number is the whole state.
    pub fn recorded(count: u64) -> Self {
        Self {
            count: u32::try_from(count).unwrap_or(u32::MAX),
        }
    }

    /// The event that `command` leads to. `None` if [`MAX_PER_DAY`] events are already recorded, or half as many and the second
    /// factor was not given: then the login is not recorded, which is no error.
    pub fn decide(&self, command: RecordRefusedLogin) -> Option<RefusedLoginsEvent> {
        let RecordRefusedLogin { at, reason } = command;
        let event = RefusedLoginsEvent::LoginRefused(LoginRefused { at, reason });
        let most = match reason {
            LoginRefusalReason::SecondFactorMissing => MAX_WITH_MISSING_FACTOR,
            LoginRefusalReason::WrongPassword
            | LoginRefusalReason::AccountLocked
            | LoginRefusalReason::EmailNotVerified
            | LoginRefusalReason::SecondFactorWrong
            | LoginRefusalReason::SecondFactorReplayed
            | LoginRefusalReason::PasskeyWrong
            | LoginRefusalReason::PasskeyReplayed => MAX_PER_DAY,
        };
        (self.count < most).then_some(event)
    }

    /// The id of the stream for a login of `user` that is refused at `at`.
    pub fn stream_of(user: UserId, at: Timestamp) -> String {
        format!("{user}.{}", at.date_time().date())
    }
}

/// A command: record a refused login.
#[derive(Clone, Copy, Debug)]
pub struct RecordRefusedLogin {
    /// When the login was refused.
    pub at: Timestamp,
    /// Why the login was refused.
    pub reason: LoginRefusalReason,
}

/// Why a login was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginRefusalReason {
    /// The password was wrong.
    WrongPassword,
    /// The password or the passkey was right, and the account is locked.
    AccountLocked,
    /// The password or the passkey was right, and the e-mail address has not been verified.
    EmailNotVerified,
    /// The password was right, and the second factor was not given.
    SecondFactorMissing,
    /// The password was right, and the second factor was wrong.
    SecondFactorWrong,
    /// The password was right, and the second factor had been used before.
    SecondFactorReplayed,
    /// A passkey of the account was named, and what it was said to have signed was wrong.
    PasskeyWrong,
    /// A passkey of the account signed a challenge that had been used before.
    PasskeyReplayed,
}

impl LoginRefusalReason {
    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong-password",
            Self::AccountLocked => "account-locked",
            Self::EmailNotVerified => "email-not-verified",
            Self::SecondFactorMissing => "second-factor-missing",
            Self::SecondFactorWrong => "second-factor-wrong",
            Self::SecondFactorReplayed => "second-factor-replayed",
            Self::PasskeyWrong => "passkey-wrong",
            Self::PasskeyReplayed => "passkey-replayed",
        }
    }
}

/// An event of the `RefusedLogins` aggregate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RefusedLoginsEvent {
    /// A login was refused.
    LoginRefused(LoginRefused),
}

/// A login was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoginRefused {
    /// When the event occurred.
    pub at: Timestamp,
    /// Why the login was refused.
    pub reason: LoginRefusalReason,
}

catalogued!(RefusedLoginsEvent: LoginRefused);

stored_in_current_versions!(RefusedLoginsEvent);

impl Aggregate for RefusedLogins {
    const TYPE: &'static str = "refused-logins";
    type Command = RecordRefusedLogin;
    type Event = RefusedLoginsEvent;
    type Error = Infallible;
    type Services = ();

    async fn handle(
        &mut self,
        command: RecordRefusedLogin,
        _services: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Infallible> {
        if let Some(event) = self.decide(command) {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: RefusedLoginsEvent) {
        let RefusedLoginsEvent::LoginRefused(_) = event;
        self.count = self.count.saturating_add(1);
    }
}
