//! Signed assertions with which clients authenticate (`private_key_jwt`: RFC 7523 §2.2, OpenID Connect Core §9).

use authlog_domain::client::ClientJwks;
use authlog_domain::{ClientId, Timestamp};

/// Reads and verifies the assertions of clients.
pub trait ClientAssertions: Send + Sync {
    /// The client that the assertion says it is from. Nothing is verified: it only says whose keys to try. `None` if the text is
    /// no assertion.
    fn named_client(&self, assertion: &str) -> Option<ClientId>;

    /// Verifies that `client`, which has these `keys`, signed the assertion for this service (the URL of the token endpoint or the
    /// issuer), that it is valid at `now`, and that it was not used before. From then on it counts as used.
    ///
    /// Each node remembers the assertions that were used there, until they expire. So an assertion can be used once on each
    /// node within its five minutes. An attacker who replays one has to have read a request inside its TLS connection.
    ///
    /// # Errors
    /// Why it is refused.
    fn verify(
        &self,
        assertion: &str,
        client: &ClientId,
        keys: &ClientJwks,
        now: Timestamp,
    ) -> Result<(), AssertionRefusal>;
}

/// Why an assertion is refused. The answer to the client is `invalid_client` in each case; the reason is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionRefusal {
    /// It is no token in the form of RFC 7519, or a required member is missing or has another type.
    #[error("the assertion is malformed")]
    Malformed,
    /// Its algorithm is none of RS256, ES256 and EdDSA.
    #[error("the algorithm of the assertion is not supported")]
    Algorithm,
    /// None of the client's keys has signed it.
    #[error("no key of the client has signed the assertion")]
    Signature,
    /// `iss` and `sub` are not both the client.
    #[error("the assertion is not from the client")]
    Client,
    /// It is for another audience.
    #[error("the assertion is for another audience")]
    Audience,
    /// It has expired, is not valid yet, or would be valid for longer than five minutes.
    #[error("the assertion is not valid at this time")]
    Time,
    /// It was used before.
    #[error("the assertion was used before")]
    Used,
    /// Too many assertions of the client are remembered. They are forgotten within minutes.
    #[error("too many assertions of the client are remembered")]
    TooMany,
}
