//! A signing key with its times: when it signs, and how long it verifies.

use authlog_application::LONGEST_TOKEN;
use authlog_domain::{CLOCK_DIFFERENCE, Timestamp};
use zeroize::Zeroizing;

use super::{JwtAlgorithm, SigningKey};

/// A key as it is stored. It has no `Debug`, because it holds the private key.
#[derive(Clone)]
pub struct KeyRecord {
    /// The name of the key in tokens and in the key set (`kid`).
    pub kid: String,
    /// The signature algorithm.
    pub algorithm: JwtAlgorithm,
    /// When the key begins to sign. Before, it is only in the key set.
    pub signs_from: Timestamp,
    /// When its successor begins to sign; `None` for the newest key.
    pub signs_until: Option<Timestamp>,
    /// When the key was retired, if it was.
    pub retired_at: Option<Timestamp>,
    /// The result of [`SigningKey::to_stored`]; `None` once the key verifies nothing any more.
    pub private: Option<Zeroizing<Vec<u8>>>,
}

/// The state of a key at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// The key is in the key set, so that verifiers know it in time, but does not sign yet.
    Published,
    /// The key signs.
    Signing,
    /// The key does not sign any more, but its tokens may still be valid.
    Verifying,
    /// No token of the key is valid any more.
    Retired,
}

impl KeyState {
    /// The name of the state, as printed by `authlog keys list`.
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
    /// A record of `key`, which signs from `signs_from` on.
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

    /// The state of the key at `now`.
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

    /// When the last token of the key has expired, including tokens of a node whose clock is behind; `None` for the newest key.
    pub fn verifies_until(&self) -> Option<Timestamp> {
        let until = |end: Timestamp| end.plus(LONGEST_TOKEN).plus(CLOCK_DIFFERENCE);
        self.retired_at.or_else(|| self.signs_until.map(until))
    }

    /// This key, retired at `now`.
    pub(super) fn retired(mut self, now: Timestamp) -> Self {
        let end = self.signs_until.map_or(now, |end| end.min(now));
        self.signs_until = Some(end.max(self.signs_from));
        self.retired_at = Some(now);
        self.private = None;
        self
    }

    /// This key, with a successor that signs from `end` on.
    pub(super) fn succeeded(mut self, end: Timestamp) -> Self {
        self.signs_until = Some(end.max(self.signs_from));
        self
    }
}
