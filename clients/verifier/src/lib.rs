//! Verifies access tokens of [Authlog](https://github.com/authlog) in memory, and refuses those whose session has ended.
//!
//! A service that only verifies signatures accepts the token of a person who has logged out until the token expires. This crate
//! follows the events of Authlog, over HTTP or NATS, and keeps a list of what has ended. So a token is refused within milliseconds of
//! a logout, a lock, a new password, a change of role or an erasure, and no request to Authlog is needed to verify one.
//!
//! - [`Verifier`] verifies tokens. [`Refused`] says why one is refused, and is an HTTP answer.
//! - [`Feed`] and, with the feature `nats`, `Nats` are the sources of what has ended.
//! - [`OnStale`] says what happens while the source cannot be reached.
//! - [`RequireScope`], [`RequireAcr`] and [`RequireRole`] are what a route may require.
//! - With the feature `tower`, `AuthenticateLayer` is a layer for any service; with `axum`, `Authenticated` is an extractor.
//!
//! The README describes the guarantees and their limits.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::cast_sign_loss,
        clippy::large_stack_arrays,
        clippy::unchecked_time_subtraction
    )
)]

mod backoff;
mod bearer;
mod builder;
mod cache;
mod claims;
mod clock;
mod credentials;
mod deny_list;
mod event;
#[cfg(feature = "axum")]
mod extractor;
mod feed;
mod freshness;
#[cfg(feature = "nats")]
mod heartbeats;
mod http_client;
mod key_fetcher;
mod keys;
#[cfg(feature = "tower")]
mod layer;
#[cfg(test)]
mod model_test;
#[cfg(feature = "nats")]
mod nats;
mod news;
mod progress;
mod refused;
mod requirement;
mod shared;
mod stats;
mod token;
mod trouble;
mod verifier;

pub use builder::{BuildError, OnStale, Revocations, VerifierBuilder};
pub use claims::Claims;
pub use clock::{Clock, SystemClock};
pub use credentials::{ProvidedToken, TokenError};
pub use deny_list::Entries;
#[cfg(feature = "axum")]
pub use extractor::Authenticated;
pub use feed::Feed;
pub use keys::Algorithm;
#[cfg(feature = "tower")]
pub use layer::{Authenticate, AuthenticateLayer};
#[cfg(feature = "nats")]
pub use nats::Nats;
pub use refused::Refused;
pub use requirement::{RequireAcr, RequireRole, RequireScope, Requirement};
pub use stats::Stats;
pub use verifier::{TimedOut, Verifier};
