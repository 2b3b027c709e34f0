//! The page on which a person signs out.

use std::sync::Arc;

use authlog_application::{BrowserSession, Refusal, RequestContext};
use axum::Extension;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::end_session::{self, REQUEST};
use super::frame::{Frame, see_other};
use super::html::hidden;
use super::session::{FORM_TOKEN, OwnForm, outdated, session_of};
use super::{cookie, trouble};
use crate::Api;

/// The path of the page.
pub(super) const SIGN_OUT: &str = "/sign-out";

/// Shows the button. Opening the page does not sign out, because every link can open it.
pub(super) async fn show(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    match session_of(&api, &headers).await {
        Ok(Some(session)) => {
            let frame = Frame::of_person(&api, session.account());
            let content = format!(
                r#"<form method="post" action="{base}{SIGN_OUT}">
{token}
<button type="submit" autofocus>Sign out</button>
</form>"#,
                base = frame.base(),
                token = hidden(FORM_TOKEN, &session.form_token()),
            );
            frame.page(StatusCode::OK, "Sign out", &content)
        }
        Ok(None) => signed_out_page(&Frame::of(&api)),
        Err(refusal) => unavailable(&api, refusal),
    }
}

/// The page of a person who is signed out.
pub(super) fn signed_out_page(frame: &Frame<'_>) -> Response {
    let content = format!(
        r#"<p role="status">You are signed out.</p>
<p><a href="{base}/sign-in">Sign in</a></p>"#,
        base = frame.base()
    );
    frame.page(StatusCode::OK, "Signed out", &content)
}

/// Ends the session, and deletes the cookie. If the session has ended already, only the cookie is left. A form that confirms the
/// logout request of an application leads to where that request leads. It is checked before the session ends.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    OwnForm(form): OwnForm,
) -> Response {
    let request = match form.sent(REQUEST) {
        Some(query) => match end_session::checked(&api, query).await {
            Ok(request) => Some(request),
            Err(response) => return response,
        },
        None => None,
    };
    let session = match session_of(&api, &headers).await {
        Ok(session) => session,
        Err(refusal) => return unavailable(&api, refusal),
    };
    if let Some(session) = session {
        if !session.has_made(form.text(FORM_TOKEN)) {
            return outdated(&Frame::of_person(&api, session.account()));
        }
        if let Err(refusal) = sign_out(&api, &session, &context).await {
            return unavailable(&api, refusal);
        }
    }
    let cookie = cookie::delete(&api.settings.cookies);
    let next = match &request {
        Some(request) => end_session::finished(&api, request),
        None => see_other(&api, SIGN_OUT),
    };
    ([(SET_COOKIE, cookie)], next).into_response()
}

/// Ends the session, unless it has ended already.
///
/// # Errors
/// [`Refusal::Unavailable`].
pub(super) async fn sign_out(
    api: &Api,
    browser: &BrowserSession,
    context: &RequestContext,
) -> Result<(), Refusal> {
    match api.authlog.log_out(browser.caller(), context).await {
        Err(Refusal::InvalidAccessToken) => Ok(()),
        ended => ended,
    }
}

fn unavailable(api: &Api, refusal: Refusal) -> Response {
    let page = |status, words: &str| trouble::page(&Frame::of(api), status, words);
    trouble::refused(refusal, "", page)
}
