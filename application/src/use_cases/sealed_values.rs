//! Values that a client keeps between two requests. They are sealed, so they need no row.

use std::time::Duration;

use authlog_domain::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::second_factor::EXPIRED;
use crate::ports::SealedFor;
use crate::{Authlog, Refusal};

impl Authlog {
    /// The value, sealed for this purpose.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] if it cannot be encrypted.
    pub(in crate::use_cases) fn seal(
        &self,
        purpose: SealedFor,
        value: &impl Serialize,
    ) -> Result<String, Refusal> {
        let plain = Zeroizing::new(serde_json::to_vec(value).map_err(unsealable)?);
        let sealed = self.parts.factor_secrets.seal(purpose, &plain);
        sealed.ok_or_else(|| unsealable("a value cannot be encrypted"))
    }

    /// The value that was sealed.
    ///
    /// # Errors
    /// [`EXPIRED`] unless this service sealed it for this purpose.
    pub(in crate::use_cases) fn open<T: DeserializeOwned>(
        &self,
        purpose: SealedFor,
        sealed: &str,
    ) -> Result<T, Refusal> {
        let opened = self.parts.factor_secrets.open(purpose, sealed);
        serde_json::from_slice(&opened.ok_or(EXPIRED)?).map_err(|_| EXPIRED)
    }
}

/// Whether a value that is valid for `lifetime`, and until `expires_at`, is valid now. A value that was made by a clock that was
/// ahead is not: it would be valid until the clock has caught up.
pub(in crate::use_cases) fn is_current(
    now: Timestamp,
    expires_at: Timestamp,
    lifetime: Duration,
) -> bool {
    now.is_within(lifetime, expires_at.minus(lifetime))
}

fn unsealable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Refusal {
    Refusal::Unavailable(error.into())
}
