//! Limits on guessing.

use std::net::IpAddr;
use std::time::Duration;

/// Something that is limited because repeating it would harm somebody.
#[derive(Clone, Copy, Debug)]
pub enum Attempt<'a> {
    /// To sign in as whoever is called `identifier` (in its comparable form).
    SignIn {
        /// From where.
        address: Option<IpAddr>,
        /// As whom.
        identifier: &'a str,
    },
    /// To register.
    Register {
        /// From where.
        address: Option<IpAddr>,
    },
    /// To have mail sent to whoever is called `identifier`.
    RequestReset {
        /// From where.
        address: Option<IpAddr>,
        /// To whom.
        identifier: &'a str,
    },
}

/// Decides whether an attempt may be made now. Memory is bounded however many addresses and names are tried.
pub trait AttemptLimiter: Send + Sync {
    /// Whether the attempt may be made.
    ///
    /// # Errors
    /// It may not, for as long as the error says. A sign-in is limited by the failures so far alone.
    fn check(&self, attempt: Attempt<'_>) -> Result<(), Duration>;

    /// Notes that a sign-in which was allowed failed.
    fn failed(&self, attempt: Attempt<'_>);
}
