//! Pushed authorization requests (RFC 9126): sealed values, so that none is stored and none has to be removed (`docs/adr/0038`).

use std::time::Duration;

use authlog_domain::{ClientId, Timestamp};
use serde::{Deserialize, Serialize};

use super::AuthorizationRequest;
use super::asked::LIFETIME as TIME_TO_SIGN_IN;
use crate::access::AuthenticatedClient;
use crate::ports::SealedFor;
use crate::use_cases::sealed_values::is_current;
use crate::{Authlog, Refusal};

/// What every `request_uri` of this service begins with (RFC 9126 §2.2).
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// For how long a person can be sent with a pushed request. A client sends them at once.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The longest `request_uri`, in bytes. Proxies accept a request line of 8 KiB, which also has the client and `authlog_asked`.
const LONGEST: usize = 6 * 1024;

/// A request that was pushed.
pub struct PushedRequest {
    /// `request_uri`
    pub request_uri: String,
    /// `expires_in`
    pub expires_in: Duration,
}

/// A pushed request that came back.
pub struct OpenedRequest {
    /// The parameters that the client pushed.
    pub parameters: Vec<(String, String)>,
    /// Whether it may no longer begin. A request that began in time goes on: the person may take as long to sign in and to decide
    /// as with any other request.
    pub has_expired: bool,
}

/// Why a request is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PushRefusal {
    /// The URL with the request would be longer than proxies accept.
    #[error("the request is too long")]
    TooLong,
    /// A dependency failed.
    #[error(transparent)]
    Unavailable(#[from] Refusal),
}

/// What a `request_uri` holds. It is encrypted: the browser and its history do not show what the client asked for.
#[derive(Serialize, Deserialize)]
struct Sealed {
    client: ClientId,
    parameters: Vec<(String, String)>,
    expires_at: Timestamp,
}

impl Authlog {
    /// Keeps a request of the client for the browser of the person. `request` is what the `parameters` say: it was checked, and is
    /// checked again when it comes back, because the client may have been changed meanwhile.
    ///
    /// # Errors
    /// See [`PushRefusal`].
    pub fn push_authorization(
        &self,
        by: &AuthenticatedClient,
        request: &AuthorizationRequest,
        parameters: Vec<(String, String)>,
    ) -> Result<PushedRequest, PushRefusal> {
        debug_assert_eq!(request.target.client.id, *by.id());
        let sealed = Sealed {
            client: request.target.client.id.clone(),
            parameters,
            expires_at: self.parts.clock.now().plus(LIFETIME),
        };
        let sealed = self.seal(SealedFor::PushedRequest, &sealed)?;
        let request_uri = format!("{PREFIX}{sealed}");
        if request_uri.len() > LONGEST {
            return Err(PushRefusal::TooLong);
        }
        Ok(PushedRequest {
            request_uri,
            expires_in: LIFETIME,
        })
    }

    /// Whether `request_uri` is of the form in which this service keeps requests. Any other is a URL of the client's, which is
    /// not supported.
    pub fn is_pushed(request_uri: &str) -> bool {
        request_uri.starts_with(PREFIX)
    }

    /// The request that `client_id` pushed; `None` if this service has not sealed it, it is another client's, or it cannot go on
    /// any more.
    pub fn open_pushed(&self, client_id: &str, request_uri: &str) -> Option<OpenedRequest> {
        let sealed = request_uri.strip_prefix(PREFIX)?;
        let Sealed {
            client,
            parameters,
            expires_at,
        } = self.open(SealedFor::PushedRequest, sealed).ok()?;
        let now = self.parts.clock.now();
        let goes_on_until = expires_at.plus(TIME_TO_SIGN_IN);
        let goes_on = is_current(now, goes_on_until, LIFETIME + TIME_TO_SIGN_IN);
        (client.as_str() == client_id && goes_on).then(|| OpenedRequest {
            parameters,
            has_expired: !is_current(now, expires_at, LIFETIME),
        })
    }
}
