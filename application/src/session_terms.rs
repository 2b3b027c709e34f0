//! The terms of sessions and tokens in a contract, and the tokens that are issued by them.

use std::time::Duration;

use authlog_domain::{ContractName, Rotation, SessionId, Timestamp};
use serde_json::{Map, Value};

use crate::ports::Account;

/// The longest lifetime of an access token of any contract. The deny list of ended sessions keeps its entries for this
/// time and an hour more.
pub const LONGEST_ACCESS_TOKEN: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest lifetime of a signed token of any contract. A retired signing key verifies tokens for this time, so no
/// token with a longer lifetime may be signed.
pub const LONGEST_TOKEN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Computes the claims that a contract adds to the registered ones (RFC 7519 §4.1).
pub type ClaimsOf = fn(&Account, IssuedAt) -> Map<String, Value>;

/// When a token was issued and when it expires.
#[derive(Clone, Copy, Debug)]
pub struct IssuedAt {
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`.
    pub expires_at: Timestamp,
}

/// The format of an access token.
#[derive(Clone, Copy)]
pub enum AccessFormat {
    /// A JWT with these claims in addition to the registered ones.
    Jwt(ClaimsOf),
    /// A random UUID without any content.
    Opaque,
    /// The secret of a browser session, which a browser keeps in a cookie.
    Cookie,
}

/// The terms of refresh tokens in a contract.
#[derive(Clone, Copy)]
pub struct RefreshTerms {
    /// The lifetime of a token.
    pub lifetime: Duration,
    /// Whether a token can be used only once.
    pub rotation: Rotation,
    /// Its claims in addition to the registered ones.
    pub claims: ClaimsOf,
}

/// The terms of sessions in a contract.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct SessionTerms {
    /// The contract.
    pub contract: ContractName,
    /// The format of an access token.
    pub access: AccessFormat,
    /// The lifetime of an access token.
    pub access_lifetime: Duration,
    /// The terms of refresh tokens, if the contract has them.
    pub refresh: Option<RefreshTerms>,
}

impl SessionTerms {
    /// The terms of `contract`. Contracts evaluate this in a constant, so that the compiler rejects a token that would
    /// outlive the deny list or the signing keys.
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

/// A token for the client, returned once. It has no `Debug`.
pub struct IssuedToken {
    /// The token.
    pub token: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// The result of a login or a refresh.
pub struct SignedIn {
    /// The account.
    pub account: Account,
    /// The session.
    pub session: SessionId,
    /// The access token.
    pub access: IssuedToken,
    /// The refresh token, if the contract issues one.
    pub refresh: Option<IssuedToken>,
}
