//! The authorization endpoint (RFC 6749 §3.1, OpenID Connect Core §3.1.2). Its answers are redirects and pages.

use std::sync::Arc;

use authlog_application::{
    AuthorizationForm, AuthorizationOutcome, AuthorizationRefusal, AuthorizationRequest,
    AuthorizationTarget, BrowserSession, TargetRefusal,
};
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::application::{ASKED, on_the_way};
use super::consent::consent_page;
use super::frame::{Frame, see_other};
use super::session::{session_of, to_sign_in};
use super::trouble;
use crate::Api;
use crate::http::{read_body, retry_later, unavailable};
use crate::oauth2::{Parameters, ResponseTarget, Unreadable};

/// The path of the endpoint.
pub(crate) const AUTHORIZE: &str = "/oauth2/authorize";

/// The longest request, in bytes. The longest that clients send have an ID token hint and requested claims, and are half as
/// long.
const LONGEST_REQUEST: usize = 8 * 1024;

/// Processes a request.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let checked = match CheckedRequest::of(&api, &query).await {
        Ok(checked) => checked,
        Err(response) => return response,
    };
    let browser = match session_of(&api, &headers).await {
        Ok(browser) => browser,
        Err(failure) => {
            return checked.refused(&api, failure.into());
        }
    };
    let outcome = api.authlog.authorize(&checked.request, browser.as_ref());
    checked.answer(&api, browser.as_ref(), outcome)
}

/// Redirects a request in a form to the same one in a query. A browser sends a form of another site without the cookie
/// (`SameSite=Lax`), and sends it with the redirect.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let form = match read_body(request, "application/x-www-form-urlencoded").await {
        Ok(form) => form,
        Err(failure) => return trouble::failed(failure, api.now()),
    };
    let query = query.unwrap_or_default();
    let sent = [query.as_bytes(), form.as_ref()].join(&b'&');
    match Parameters::parse(&sent) {
        // The parameters are encoded again, because a form may hold bytes that no URL has.
        Ok(parameters) => again(&api, &parameters.encoded()),
        Err(unreadable) => error_page(&api, &unreadable.sentence()),
    }
}

/// The redirect to a request.
pub(super) fn again(api: &Api, query: &str) -> Response {
    // A client of HTTP may accept no longer header.
    if query.len() > 2 * LONGEST_REQUEST {
        return error_page(api, TOO_LONG);
    }
    on_the_way(see_other(api, &format!("{AUTHORIZE}?{query}")))
}

const TOO_LONG: &str = "The request of the application is too long.";

/// A request whose parameters are valid for its client.
pub(super) struct CheckedRequest {
    parameters: Parameters,
    response: ResponseTarget,
    pub(super) request: AuthorizationRequest,
}

impl CheckedRequest {
    /// Checks the parameters in `query`.
    ///
    /// # Errors
    /// A page unless the client and its redirect URI are known, because it would be sent to an address of an attacker
    /// otherwise (RFC 6749 §4.1.2.1). All else is reported to the client.
    pub(super) async fn of(api: &Api, query: &str) -> Result<Self, Response> {
        let page = |unreadable: Unreadable| error_page(api, &unreadable.sentence());
        let parameters = Parameters::parse(query.as_bytes()).map_err(page)?;
        if parameters.encoded_with(ASKED, None).len() > LONGEST_REQUEST {
            return Err(error_page(api, TOO_LONG));
        }
        let client = parameters.optional("client_id").map_err(page)?;
        let redirect_uri = parameters.optional("redirect_uri").map_err(page)?;
        let target = api.authlog.authorization_target(client, redirect_uri).await;
        let target = target.map_err(|refusal| unknown_target(api, refusal))?;
        // A state that was sent twice is not sent back.
        let state = parameters.optional("state").unwrap_or_default();
        let response = ResponseTarget::new(target.redirect_uri(), state);
        match check(api, target, &parameters) {
            Ok(request) => Ok(Self {
                parameters,
                response,
                request,
            }),
            Err(Flaw::Unreadable(unreadable)) => {
                let (issuer, _) = api.authlog.issuer_and_audience();
                let sentence = unreadable.sentence();
                Err(response.error("invalid_request", &sentence, issuer))
            }
            Err(Flaw::Refused(refusal)) => Err(refused(api, &response, refusal)),
        }
    }

    /// The answer to the outcome.
    pub(super) fn answer(
        &self,
        api: &Api,
        browser: Option<&BrowserSession>,
        outcome: Result<AuthorizationOutcome, AuthorizationRefusal>,
    ) -> Response {
        let (issuer, _) = api.authlog.issuer_and_audience();
        match (outcome, browser) {
            (Ok(AuthorizationOutcome::Code(code)), _) => self.response.code(&code, issuer),
            (Ok(AuthorizationOutcome::NeedsConsent(demand)), Some(browser)) => {
                consent_page(api, browser, &self.request, &demand, &self.query())
            }
            (
                Ok(
                    AuthorizationOutcome::NeedsLogin { asked }
                    | AuthorizationOutcome::NeedsLevel { asked, .. },
                ),
                _,
            ) => self.sign_in(api, &asked),
            // Only a person who is signed in can consent.
            (Ok(AuthorizationOutcome::NeedsConsent(_)), None) => {
                self.refused(api, AuthorizationRefusal::LoginRequired)
            }
            (Err(refusal), _) => self.refused(api, refusal),
        }
    }

    /// The redirect with the reason of a refusal.
    pub(super) fn refused(&self, api: &Api, refusal: AuthorizationRefusal) -> Response {
        refused(api, &self.response, refusal)
    }

    /// The query of this request.
    pub(super) fn query(&self) -> String {
        self.parameters.encoded()
    }

    /// The redirect to the sign-in page, which leads back to this request.
    fn sign_in(&self, api: &Api, asked: &str) -> Response {
        let query = self.parameters.encoded_with(ASKED, Some(asked));
        on_the_way(to_sign_in(api, &format!("{AUTHORIZE}?{query}")))
    }
}

/// Why parameters are reported to the client.
enum Flaw {
    Unreadable(Unreadable),
    Refused(AuthorizationRefusal),
}

impl From<Unreadable> for Flaw {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable(unreadable)
    }
}

fn check(
    api: &Api,
    target: AuthorizationTarget,
    parameters: &Parameters,
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
    };
    let checked = api.authlog.check_authorization(target, &form);
    checked.map_err(Flaw::Refused)
}

fn refused(api: &Api, target: &ResponseTarget, refusal: AuthorizationRefusal) -> Response {
    let (issuer, _) = api.authlog.issuer_and_audience();
    let response = target.error(refusal.code(), &refusal.to_string(), issuer);
    match refusal {
        AuthorizationRefusal::TemporarilyUnavailable(cause) => unavailable(response, &*cause),
        AuthorizationRefusal::Busy { retry_after } => retry_later(response, retry_after),
        _ => response,
    }
}

fn unknown_target(api: &Api, refusal: TargetRefusal) -> Response {
    match refusal {
        TargetRefusal::UnknownClient => error_page(
            api,
            "The application that sent you here is not known to this service, or may not be used at the moment.",
        ),
        TargetRefusal::UnknownRedirectUri => error_page(
            api,
            "The application that sent you here wants the answer at an address that is not registered for it.",
        ),
        TargetRefusal::Unavailable(cause) => {
            let page = trouble::page(
                &Frame::of(api),
                StatusCode::SERVICE_UNAVAILABLE,
                trouble::LATER,
            );
            unavailable(page, &*cause)
        }
    }
}

/// The page about a request that is answered to the person alone.
fn error_page(api: &Api, sentence: &str) -> Response {
    let frame = Frame::of(api).sharing_its_window();
    let advice = "You cannot continue from here. Go back to the application, and tell its developers what this page says.";
    trouble::page_with_advice(&frame, StatusCode::BAD_REQUEST, sentence, advice)
}
