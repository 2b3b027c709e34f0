//! A key of the set that signs tokens: when it signs, and how long it verifies.

use authlog_application::LONGEST_TOKEN;
use authlog_domain::{CLOCK_DIFFERENCE, Timestamp};
use zeroize::Zeroizing;

use super::{JwtAlgorithm, SigningKey};

/// A key as it is stored. It holds the private key and has no `Debug`.
#[derive(Clone)]
pub struct KeyRecord {
    /// Names it in tokens and in the key set.
    pub kid: String,
    /// What it signs with.
    pub algorithm: JwtAlgorithm,
    /// From this instant on it signs; before it is only in the key set.
    pub signs_from: Timestamp,
    /// From this instant on its successor signs; `None` for the newest.
    pub signs_until: Option<Timestamp>,
    /// When it was given up before its time.
    pub retired_at: Option<Timestamp>,
    /// What [`SigningKey::to_stored`] gave; `None` once nothing is verified with it any more.
    pub private: Option<Zeroizing<Vec<u8>>>,
}

/// What a key is good for at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It stands in the key set, so that verifiers know it in time, and signs nothing yet.
    Published,
    /// It signs.
    Signing,
    /// It signed until lately, and tokens of it may be good.
    Verifying,
    /// No token of it is good any more.
    Retired,
}

impl KeyState {
    /// The state's name, as printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Signing => "signing",
            Self::Verifying => "verifying",
            Self::Retired => "retired",
        }
    }
}

impl KeyRecord {
    /// `key`, which signs from then on.
    pub fn new(key: &SigningKey, signs_from: Timestamp) -> Self {
        Self {
            kid: key.kid().to_owned(),
            algorithm: key.algorithm(),
            signs_from,
            signs_until: None,
            retired_at: None,
            private: Some(key.to_stored()),
        }
    }

    /// What it is good for at `now`.
    pub fn state(&self, now: Timestamp) -> KeyState {
        if self.verifies_until().is_some_and(|until| until <= now) {
            KeyState::Retired
        } else if now < self.signs_from {
            KeyState::Published
        } else if self.signs_until.is_none_or(|until| now < until) {
            KeyState::Signing
        } else {
            KeyState::Verifying
        }
    }

    /// When the last token that it can have signed, on a node whose clock is behind, has expired; `None` for the newest.
    pub fn verifies_until(&self) -> Option<Timestamp> {
        let until = |end: Timestamp| end.plus(LONGEST_TOKEN).plus(CLOCK_DIFFERENCE);
        self.retired_at.or_else(|| self.signs_until.map(until))
    }

    /// The same, given up at `now`.
    pub(super) fn retired(mut self, now: Timestamp) -> Self {
        let end = self.signs_until.map_or(now, |end| end.min(now));
        self.signs_until = Some(end.max(self.signs_from));
        self.retired_at = Some(now);
        self.private = None;
        self
    }

    /// The same, whose successor signs from `end` on.
    pub(super) fn succeeded(mut self, end: Timestamp) -> Self {
        self.signs_until = Some(end.max(self.signs_from));
        self
    }
}
