//! Authentication of clients by signed assertions (RFC 7523).
//!
//! | file | contents |
//! |---|---|
//! | `verify` | the verification of one assertion, a pure function |
//! | `used` | the assertions that were used on this node |

mod used;
mod verify;

use authlog_application::ports::{AssertionRefusal, ClientAssertions};
use authlog_domain::client::ClientJwks;
use authlog_domain::{ClientId, Timestamp};

use used::UsedAssertions;

/// Assertions in the form of JSON Web Tokens. A node remembers in memory which were used.
pub struct JwtClientAssertions {
    audiences: Vec<String>,
    used: UsedAssertions,
}

impl JwtClientAssertions {
    /// Assertions for one of `audiences`: the URL of the token endpoint, and the issuer.
    pub fn new(audiences: impl Into<Vec<String>>) -> Self {
        Self {
            audiences: audiences.into(),
            used: UsedAssertions::default(),
        }
    }
}

impl ClientAssertions for JwtClientAssertions {
    fn named_client(&self, assertion: &str) -> Option<ClientId> {
        verify::named_client(assertion)
    }

    fn verify(
        &self,
        assertion: &str,
        client: &ClientId,
        keys: &ClientJwks,
        now: Timestamp,
    ) -> Result<(), AssertionRefusal> {
        let verified = verify::verify(assertion, client, keys, &self.audiences, now)?;
        self.used
            .note(client, &verified.id, verified.expires_at, now)
    }
}
