//! Authentication of clients by signed assertions (RFC 7523). `verify` has the verification of one, a pure function.

mod verify;

use authlog_application::ports::{AssertionRefusal, ClientAssertions};
use authlog_domain::client::ClientJwks;
use authlog_domain::{ClientId, Timestamp};

use super::used_ids::{IdRefusal, Owner, UsedIds};

/// How many are remembered: 330 a second for five minutes.
const CAPACITY: usize = 100_000;

/// Assertions in the form of JSON Web Tokens. A node remembers in memory which were used.
pub struct JwtClientAssertions {
    audiences: Vec<String>,
    used: UsedIds,
}

impl JwtClientAssertions {
    /// Assertions for one of `audiences`: the issuer, and the URLs of the token endpoint and
    /// of the endpoint for pushed requests.
    pub fn new(audiences: impl Into<Vec<String>>) -> Self {
        Self {
            audiences: audiences.into(),
            used: UsedIds::with_capacity(CAPACITY),
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
        let name = client.as_str();
        let owner = Owner {
            name,
            most: CAPACITY,
        };
        let (id, end) = (&verified.id, verified.expires_at);
        let noted = self.used.note(owner, name, id, end, now);
        noted.map_err(|refusal| match refusal {
            IdRefusal::Used => AssertionRefusal::Used,
            IdRefusal::TooMany => AssertionRefusal::TooMany,
        })
    }
}
