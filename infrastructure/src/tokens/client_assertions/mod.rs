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
#[derive(Default)]
pub struct JwtClientAssertions {
    used: UsedAssertions,
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
        audiences: &[&str],
        now: Timestamp,
    ) -> Result<(), AssertionRefusal> {
        let verified = verify::verify(assertion, client, keys, audiences, now)?;
        self.used
            .note(client, &verified.id, verified.expires_at, now)
    }
}
