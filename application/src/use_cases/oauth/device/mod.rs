//! The device authorization grant (RFC 8628): a device without a browser shows a code, and a person approves it elsewhere.
//!
//! The steps are one file each: what the device asks for (`request.rs`), what the person decides (`decision.rs`), and the polls of the
//! device (`poll.rs`). `docs/adr/0040` says why a row and sealed values are used.

mod decision;
mod poll;
mod request;
mod user_code;

pub use decision::{DeviceRefusal, WaitingDevice};
pub use request::DeviceAuthorization;
pub use user_code::UserCode;

use authlog_domain::client::{ClientAuthMethod, RegisteredClient};
use authlog_domain::{Audience, Authentication, ClientId, Scopes, SessionId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use self::request::LIFETIME;
use crate::ports::SealedFor;
use crate::use_cases::sealed_values::is_current;
use crate::{Authlog, Refusal};

/// What a device asks for, as its row has it.
#[derive(Serialize, Deserialize)]
struct DeviceRequest {
    /// The session that the device will have. A stream has one first event, so that an approval starts one session.
    session: SessionId,
    /// The user code, so that the request counts in its own row only.
    user_code: String,
    client: ClientId,
    scopes: Scopes,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    resources: Vec<Audience>,
    expires_at: Timestamp,
}

/// What the person decided, as the row of the request has it.
#[derive(Serialize, Deserialize)]
struct DeviceDecision {
    /// The session of the request, so that the decision counts for this request only.
    session: SessionId,
    /// The session of the browser in which the person decided, to which a repeated decision is confirmed.
    by: SessionId,
    /// `None` if the person denied the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approval: Option<DeviceApproval>,
}

/// Who approved a request, and what they saw of it.
#[derive(Serialize, Deserialize)]
struct DeviceApproval {
    user: UserId,
    /// The account's session epoch, read with the session of the browser.
    epoch: u32,
    /// When the consent on which the approval rests was given, if one is needed. One that was given after a withdrawal is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    consent: Option<Timestamp>,
    authentication: Authentication,
    scopes: Scopes,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    resources: Vec<Audience>,
}

/// A request that has not expired, with the decision about it.
struct CurrentRequest {
    request: DeviceRequest,
    decision: Option<DeviceDecision>,
}

/// Whether an approval is recorded as a consent. A client of the operator's own that proves who it is needs none, as in the
/// authorization code flow.
fn keeps_consent(client: &RegisteredClient) -> bool {
    !client.settings.first_party || client.settings.auth_method == ClientAuthMethod::None
}

impl Authlog {
    /// The request with this user code. `None` if there is none, if it has expired, or if this service did not write its row.
    async fn device_request(&self, code: UserCode) -> Result<Option<CurrentRequest>, Refusal> {
        let digest = self.parts.factor_secrets.user_code_digest(code.as_str());
        let stored = self
            .parts
            .device_authorizations
            .device_authorization(digest);
        let Some(stored) = stored.await? else {
            return Ok(None);
        };
        let Ok(request) = self.open::<DeviceRequest>(SealedFor::DeviceRequest, &stored.request)
        else {
            return Ok(None);
        };
        let now = self.parts.clock.now();
        if request.user_code != code.as_str() || !is_current(now, request.expires_at, LIFETIME) {
            return Ok(None);
        }
        let decision = match &stored.decision {
            None => None,
            Some(sealed) => match self.open::<DeviceDecision>(SealedFor::DeviceDecision, sealed) {
                Ok(decision) if decision.session == request.session => Some(decision),
                _ => return Ok(None),
            },
        };
        Ok(Some(CurrentRequest { request, decision }))
    }
}
