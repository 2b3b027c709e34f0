//! Authorization codes: sealed values, so that none is stored and none has to be removed (`docs/adr/0033`).

use std::collections::BTreeSet;
use std::time::Duration;

use authlog_domain::client::ClientSettings;
use authlog_domain::session::ClientGrant;
use authlog_domain::{
    Audience, Authentication, ClientId, KeyThumbprint, Scopes, SessionId, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};

use super::resources::Registered;
use super::{AuthorizationRequest, ClaimName, GrantRefusal};
use crate::access::BrowserSession;
use crate::ports::SealedFor;
use crate::use_cases::sealed_values::is_current;
use crate::{Authlog, Refusal};

/// For how long a code can be redeemed. RFC 6749 §4.1.2 permits ten minutes; a client redeems it at once.
pub(super) const CODE_LIFETIME: Duration = Duration::from_secs(60);

/// The scope with which the application's session does not end with the session of the browser (OpenID Connect Core §11).
const OFFLINE_ACCESS: &str = "offline_access";

/// What a code holds. The session that redeeming starts has an id already: a stream has one first event, so that a code can be
/// redeemed once, on every node and after every crash.
#[derive(Serialize, Deserialize)]
pub(super) struct AuthorizationCode {
    pub(super) session: SessionId,
    pub(super) user: UserId,
    /// The account's session epoch, read with the session of the browser.
    pub(super) epoch: u32,
    /// The session of the browser.
    pub(super) browser: SessionId,
    pub(super) authentication: Authentication,
    pub(super) client: ClientId,
    pub(super) redirect_uri: String,
    pub(super) scopes: Scopes,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) resources: Vec<Audience>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) challenge: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nonce: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) id_token_claims: BTreeSet<ClaimName>,
    /// The key without which the code is useless (RFC 9449 §10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dpop_jkt: Option<KeyThumbprint>,
    expires_at: Timestamp,
}

impl AuthorizationCode {
    /// What redeeming grants, with these resources, in a session that is bound to this key.
    pub(super) fn grant(
        &self,
        audience: Vec<Audience>,
        dpop_jkt: Option<KeyThumbprint>,
    ) -> ClientGrant {
        let is_offline = self.scopes.contains(OFFLINE_ACCESS);
        ClientGrant {
            client: self.client.clone(),
            scopes: self.scopes.clone(),
            audience,
            parent: (!is_offline).then_some(self.browser),
            dpop_jkt,
        }
    }

    /// The code without what the client is not registered for any more.
    ///
    /// # Errors
    /// [`GrantRefusal::InvalidScope`] or [`GrantRefusal::InvalidTarget`] if none of the scopes or of the resources is left.
    pub(super) fn narrowed_to(mut self, settings: &ClientSettings) -> Result<Self, GrantRefusal> {
        let registered = Registered::of(settings, &self.scopes, &self.resources)?;
        self.scopes = registered.scopes;
        self.resources = registered.resources;
        self.id_token_claims
            .retain(|claim| self.scopes.contains(claim.scope()));
        Ok(self)
    }
}

impl Authlog {
    /// A code for the person in this browser session.
    pub(super) fn code(
        &self,
        request: &AuthorizationRequest,
        browser: &BrowserSession,
    ) -> Result<String, Refusal> {
        let (now, caller) = (self.parts.clock.now(), browser.caller());
        let code = AuthorizationCode {
            session: SessionId::new(self.parts.entropy.time_ordered_uuid(now)),
            user: caller.user(),
            epoch: browser.account().session_epoch,
            browser: caller.session(),
            authentication: caller.authentication(),
            client: request.target.client.id.clone(),
            redirect_uri: request.target.redirect_uri.clone(),
            scopes: request.scopes.clone(),
            resources: request.resources.clone(),
            challenge: request.challenge.clone(),
            nonce: request.nonce.clone(),
            id_token_claims: request.id_token_claims.clone(),
            dpop_jkt: request.dpop_jkt.clone(),
            expires_at: now.plus(CODE_LIFETIME),
        };
        self.seal(SealedFor::AuthorizationCode, &code)
    }

    /// What a code holds; `None` if this service did not seal it, or it has expired.
    pub(super) fn open_code(&self, text: &str) -> Option<AuthorizationCode> {
        let code: AuthorizationCode = self.open(SealedFor::AuthorizationCode, text).ok()?;
        is_current(self.parts.clock.now(), code.expires_at, CODE_LIFETIME).then_some(code)
    }
}
