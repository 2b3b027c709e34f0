//! What a contract promises about the tokens it hands out, and what it is handed.

use std::time::Duration;

use authlog_domain::{ContractName, Rotation, SessionId, Timestamp};
use serde_json::{Map, Value};

use crate::ports::Account;

/// Lifetime of the longest-lived access token of any contract. The deny list of ended sessions is kept in memory for as
/// long, and an hour more.
pub const LONGEST_ACCESS_TOKEN: Duration = Duration::from_secs(24 * 60 * 60);

/// Lifetime of the longest-lived signed token of any contract. A key that signs no more verifies for as long, so none
/// with a longer one is signed.
pub const LONGEST_TOKEN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Computes the claims that a contract's clients read beside the registered ones.
pub type ClaimsOf = fn(&Account, IssuedAt) -> Map<String, Value>;

/// When a token was issued and when it expires.
#[derive(Clone, Copy, Debug)]
pub struct IssuedAt {
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`.
    pub expires_at: Timestamp,
}

/// What an access token looks like.
#[derive(Clone, Copy)]
pub enum AccessFormat {
    /// A JWT with these claims beside the registered ones.
    Jwt(ClaimsOf),
    /// A random UUID that says nothing by itself.
    Opaque,
}

/// What a contract promises about refresh tokens.
#[derive(Clone, Copy)]
pub struct RefreshTerms {
    /// How long one is good.
    pub lifetime: Duration,
    /// Whether it works once.
    pub rotation: Rotation,
    /// Its claims beside the registered ones.
    pub claims: ClaimsOf,
}

/// What a contract promises about a session's tokens.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct SessionTerms {
    /// Which contract.
    pub contract: ContractName,
    /// What an access token looks like.
    pub access: AccessFormat,
    /// How long one is good.
    pub access_lifetime: Duration,
    /// Refresh tokens, if the contract has them.
    pub refresh: Option<RefreshTerms>,
}

impl SessionTerms {
    /// The terms of `contract`. A contract makes a constant of them, so that the compiler refuses a token that would
    /// outlive what is remembered of ended sessions and of signing keys.
    ///
    /// # Panics
    /// The access token would live longer than [`LONGEST_ACCESS_TOKEN`], or the refresh token than [`LONGEST_TOKEN`].
    pub const fn new(
        contract: ContractName,
        access: AccessFormat,
        access_lifetime: Duration,
        refresh: Option<RefreshTerms>,
    ) -> Self {
        assert!(access_lifetime.as_nanos() <= LONGEST_ACCESS_TOKEN.as_nanos());
        if let Some(refresh) = &refresh {
            assert!(refresh.lifetime.as_nanos() <= LONGEST_TOKEN.as_nanos());
        }
        Self {
            contract,
            access,
            access_lifetime,
            refresh,
        }
    }
}

/// A token to hand out, once. It has no `Debug`.
pub struct IssuedToken {
    /// The token.
    pub token: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// Someone is signed in, or is so again.
pub struct SignedIn {
    /// Who.
    pub account: Account,
    /// In which session.
    pub session: SessionId,
    /// The access token.
    pub access: IssuedToken,
    /// The refresh token, where the contract hands one out.
    pub refresh: Option<IssuedToken>,
}
