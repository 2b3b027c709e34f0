//! The parameters of an authorization request (RFC 6749 §4.1.1), sent to the authorization endpoint or pushed.

use authlog_application::{
    AuthorizationForm, AuthorizationRefusal, AuthorizationRequest, AuthorizationTarget,
};

use super::parameters::{Parameters, Unreadable};
use crate::Api;

/// The parameter that this service adds to a request when it has the person sign in for it.
pub(crate) const ASKED: &str = "authlog_asked";

/// Why parameters are reported to the client.
pub(crate) enum Flaw {
    /// One cannot be read.
    Unreadable(Unreadable),
    /// The client may not ask for this.
    Refused(AuthorizationRefusal),
}

impl From<Unreadable> for Flaw {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable(unreadable)
    }
}

/// Checks the parameters of a request with this target.
pub(crate) fn check_request(
    api: &Api,
    target: AuthorizationTarget,
    parameters: &Parameters,
    is_pushed: bool,
) -> Result<AuthorizationRequest, Flaw> {
    parameters.optional("login_hint")?;
    let form = AuthorizationForm {
        response_type: parameters.optional("response_type")?,
        response_mode: parameters.optional("response_mode")?,
        scope: parameters.optional("scope")?,
        state: parameters.optional("state")?,
        nonce: parameters.optional("nonce")?,
        code_challenge: parameters.optional("code_challenge")?,
        code_challenge_method: parameters.optional("code_challenge_method")?,
        prompt: parameters.optional("prompt")?,
        max_age: parameters.optional("max_age")?,
        acr_values: parameters.optional("acr_values")?,
        claims: parameters.optional("claims")?,
        id_token_hint: parameters.optional("id_token_hint")?,
        resources: parameters.repeated("resource").collect(),
        request: parameters.optional("request")?,
        request_uri: parameters.optional("request_uri")?,
        registration: parameters.optional("registration")?,
        asked: parameters.optional(ASKED)?,
        dpop_jkt: parameters.optional("dpop_jkt")?,
        is_pushed,
    };
    let checked = api.authlog.check_authorization(target, &form);
    checked.map_err(Flaw::Refused)
}
