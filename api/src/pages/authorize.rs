//! The authorization endpoint (RFC 6749 §3.1, OpenID Connect Core §3.1.2). Its answers are redirects and pages.

use std::sync::Arc;

use authlog_application::{
    AuthorizationOutcome, AuthorizationRefusal, AuthorizationRequest, BrowserSession, TargetRefusal,
};
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::application::on_the_way;
use super::consent::consent_page;
use super::frame::Frame;
use super::requested::{Requested, TOO_LONG, Unusable, query_of_post, redirect_to_get};
use super::session::{session_of, to_sign_in};
use super::trouble;
use crate::Api;
use crate::http::{retry_later, unavailable};
use crate::oauth2::{Flaw, ResponseTarget, check_request};

/// The path of the endpoint.
pub(crate) const AUTHORIZE: &str = "/oauth2/authorize";

/// How far a request has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The browser comes from the application, or after signing in.
    Begins,
    /// The person has decided on the consent page, which they saw because the request began in time.
    Decides,
}

/// Processes a request.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let checked = match CheckedRequest::of(&api, &query, Step::Begins).await {
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
    match query_of_post(&api, query, request, error_page).await {
        Ok(query) => again(&api, &query),
        Err(response) => response,
    }
}

/// The redirect to a request.
pub(super) fn again(api: &Api, query: &str) -> Response {
    redirect_to_get(api, AUTHORIZE, query, error_page)
}

const EXPIRED: &str = "The request of the application has expired, or is not one of this service (invalid_request_uri).";

/// A request whose parameters are valid for its client.
pub(super) struct CheckedRequest {
    requested: Requested,
    response: ResponseTarget,
    pub(super) request: AuthorizationRequest,
}

impl CheckedRequest {
    /// Checks the parameters in `query`, or those that the client pushed.
    ///
    /// # Errors
    /// A page unless the client and its redirect URI are known, because it would be sent to an address of an attacker
    /// otherwise (RFC 6749 §4.1.2.1). All else is reported to the client.
    pub(super) async fn of(api: &Api, query: &str, step: Step) -> Result<Self, Response> {
        let requested = Requested::parse(api, query).map_err(|reason| unusable(api, &reason))?;
        let parameters = requested.parameters();
        let unreadable = |parameter| unusable(api, &Unusable::Unreadable(parameter));
        let client = parameters.optional("client_id").map_err(unreadable)?;
        let redirect_uri = parameters.optional("redirect_uri").map_err(unreadable)?;
        let target = api.authlog.authorization_target(client, redirect_uri).await;
        let target = target.map_err(|refusal| unknown_target(api, refusal))?;
        // A state that was sent twice is not sent back.
        let state = parameters.optional("state").unwrap_or_default();
        let response = ResponseTarget::new(target.redirect_uri(), state);
        let request = check_request(api, target, parameters, requested.is_pushed());
        let goes_on = match &request {
            Ok(request) => request.is_continued() || step == Step::Decides,
            Err(_) => false,
        };
        if requested.has_expired() && !goes_on {
            return Err(unusable(api, &Unusable::NotPushed));
        }
        match request {
            Ok(request) => Ok(Self {
                requested,
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
        self.requested.query()
    }

    /// The redirect to the sign-in page, which leads back to this request.
    fn sign_in(&self, api: &Api, asked: &str) -> Response {
        let query = self.requested.query_with(asked);
        on_the_way(to_sign_in(api, &format!("{AUTHORIZE}?{query}")))
    }
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

/// The page about a request of which nothing is known.
fn unusable(api: &Api, reason: &Unusable) -> Response {
    match reason {
        Unusable::Unreadable(parameter) => error_page(api, &parameter.sentence()),
        Unusable::TooLong => error_page(api, TOO_LONG),
        Unusable::NotPushed => {
            let frame = Frame::of(api).sharing_its_window();
            let advice = "Go back to the application, and begin again.";
            trouble::page_with_advice(&frame, StatusCode::BAD_REQUEST, EXPIRED, advice)
        }
    }
}

/// The page about a request that is answered to the person alone.
fn error_page(api: &Api, sentence: &str) -> Response {
    let frame = Frame::of(api).sharing_its_window();
    let advice = "You cannot continue from here. Go back to the application, and tell its developers what this page says.";
    trouble::page_with_advice(&frame, StatusCode::BAD_REQUEST, sentence, advice)
}
