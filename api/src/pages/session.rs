//! Extractors of the pages: the form that was submitted, and the person who is signed in.

use std::convert::Infallible;
use std::sync::Arc;

use authlog_application::{BrowserSession, Refusal};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use super::cross_site::is_own_form;
use super::form::Form;
use super::frame::{Frame, see_other};
use super::{cookie, trouble};
use crate::Api;
use crate::http::read_body;

/// The field with which a form proves that it was made for the session.
pub(super) const FORM_TOKEN: &str = "form_token";

/// The browser session of a request.
///
/// # Errors
/// [`Refusal::Unavailable`].
pub(super) async fn session_of(
    api: &Api,
    headers: &HeaderMap,
) -> Result<Option<BrowserSession>, Refusal> {
    let cookies = cookie::values(headers, &api.settings.cookies);
    api.authlog.browser_session(&cookies).await
}

/// The response to a request of a person who is not signed in. After signing in, the person returns to the page at `path`.
pub(super) fn to_sign_in(api: &Api, path: &str) -> Response {
    see_other(api, &format!("/sign-in?next={}", in_query(path)))
}

/// A text as the value of a parameter.
pub(super) fn in_query(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

/// The person whose browser requests a page. Another visitor is sent to sign in.
pub(super) struct Visitor(pub BrowserSession);

impl FromRequestParts<Arc<Api>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Response> {
        let session = required(api, &parts.headers, parts.uri.path()).await;
        session.map(Self)
    }
}

/// A form that a page of this service submitted.
pub(super) struct OwnForm(pub Form);

impl FromRequest<Arc<Api>> for OwnForm {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Response> {
        if !is_own_form(request.headers(), &api.settings.public_url) {
            let frame = Frame::of(api);
            let words = "This form was sent by a page of another site. Nothing was changed.";
            return Err(trouble::page(&frame, StatusCode::FORBIDDEN, words));
        }
        read_form(request, api).await.map(Self)
    }
}

/// A form that a page of this service made for this person. The session is looked up after the form has arrived, so that a
/// client cannot keep a proof for as long as it takes to send a form.
pub(super) struct VisitorsForm(pub BrowserSession, pub Form);

impl FromRequest<Arc<Api>> for VisitorsForm {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Response> {
        let headers = request.headers().clone();
        let OwnForm(form) = OwnForm::from_request(request, api).await?;
        // Not every address of a form has a page to return to.
        let session = required(api, &headers, "/security").await?;
        if session.has_made(form.text(FORM_TOKEN)) {
            Ok(Self(session, form))
        } else {
            Err(outdated(&Frame::of_person(api, session.account())))
        }
    }
}

/// The id in the path of a page. It is empty, which nothing is called, if it is no text.
pub(super) struct IdInPath(pub String);

impl FromRequestParts<Arc<Api>> for IdInPath {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Infallible> {
        let id = Path::<String>::from_request_parts(parts, api).await;
        Ok(Self(id.map(|Path(id)| id).unwrap_or_default()))
    }
}

/// The body of a request as a form.
pub(super) async fn read_form(request: Request, api: &Api) -> Result<Form, Response> {
    let media_type = "application/x-www-form-urlencoded";
    let bytes = read_body(request, media_type).await;
    let form = bytes.map(|bytes| Form::parse(&bytes));
    form.map_err(|failure| trouble::failed(failure, api.now()))
}

/// The response to a form that was made for another session, such as one that has ended.
pub(super) fn outdated(frame: &Frame<'_>) -> Response {
    let words = "This page was out of date. Nothing was changed; please open it again.";
    trouble::page(frame, StatusCode::FORBIDDEN, words)
}

/// The session of a person who has to be signed in. Another visitor is sent to sign in, and returns to `path`.
async fn required(api: &Api, headers: &HeaderMap, path: &str) -> Result<BrowserSession, Response> {
    match session_of(api, headers).await {
        Ok(Some(session)) => Ok(session),
        Ok(None) => Err(to_sign_in(api, path)),
        Err(refusal) => {
            let page = |status, words: &str| trouble::page(&Frame::of(api), status, words);
            Err(trouble::refused(refusal, "", page))
        }
    }
}
