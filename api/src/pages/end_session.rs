//! The logout endpoint (OpenID Connect RP-Initiated Logout 1.0 §2). Its answers are redirects and pages.

use std::sync::Arc;

use authlog_application::{
    BrowserSession, LogoutDemand, LogoutForm, LogoutRefusal, LogoutRequest, Refusal, RequestContext,
};
use axum::Extension;
use axum::extract::{RawQuery, Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;

use super::application::on_the_way;
use super::frame::Frame;
use super::html::{Escaped, hidden};
use super::requested::{LONGEST_REQUEST, TOO_LONG, query_of_post, redirect_to_get};
use super::session::{FORM_TOKEN, session_of};
use super::sign_out::{SIGN_OUT, sign_out, signed_out_page};
use super::{cookie, trouble};
use crate::Api;
use crate::oauth2::{Parameters, ResponseTarget, Unreadable};

/// The path of the endpoint.
pub(crate) const END_SESSION: &str = "/oauth2/end_session";

/// The field of the sign-out form with the query of the request that it confirms.
pub(super) const REQUEST: &str = "request";

/// Processes a request.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let request = match checked(&api, &query).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    let browser = match session_of(&api, &headers).await {
        Ok(browser) => browser,
        Err(refusal) => return unavailable(&api, refusal),
    };
    match (
        api.authlog.logout_demand(&request, browser.as_ref()).await,
        &browser,
    ) {
        (Ok(LogoutDemand::Nothing), _) | (Ok(_), None) => finished(&api, &request),
        (Ok(LogoutDemand::End), Some(browser)) => ended(&api, &request, browser, &context).await,
        (Ok(LogoutDemand::Confirm), Some(browser)) => confirm(&api, &request, browser, &query),
        (Err(refusal), _) => unavailable(&api, refusal),
    }
}

/// Redirects a request in a form to the same one in a query. A browser sends a form of another site without the cookie
/// (`SameSite=Lax`), and sends it with the redirect.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    match query_of_post(&api, query, request, error_page).await {
        Ok(query) => redirect_to_get(&api, END_SESSION, &query, error_page),
        Err(response) => response,
    }
}

/// The request in `query`.
///
/// # Errors
/// The page that says what is wrong with it.
pub(super) async fn checked(api: &Api, query: &str) -> Result<LogoutRequest, Response> {
    let page = |unreadable: Unreadable| error_page(api, &unreadable.sentence());
    let parameters = Parameters::parse(query.as_bytes()).map_err(page)?;
    if query.len() > 2 * LONGEST_REQUEST || parameters.encoded().len() > LONGEST_REQUEST {
        return Err(error_page(api, TOO_LONG));
    }
    let form = form(&parameters).map_err(page)?;
    let checked = api.authlog.check_logout(&form).await;
    checked.map_err(|refusal| refused(api, refusal))
}

fn form(parameters: &Parameters) -> Result<LogoutForm<'_>, Unreadable> {
    Ok(LogoutForm {
        id_token_hint: parameters.optional("id_token_hint")?,
        client_id: parameters.optional("client_id")?,
        post_logout_redirect_uri: parameters.optional("post_logout_redirect_uri")?,
        state: parameters.optional("state")?,
    })
}

/// Ends the session of the browser, and answers the request.
async fn ended(
    api: &Api,
    request: &LogoutRequest,
    browser: &BrowserSession,
    context: &RequestContext,
) -> Response {
    if let Err(refusal) = sign_out(api, browser, context).await {
        return unavailable(api, refusal);
    }
    let mut response = finished(api, request);
    if let Ok(cookie) = HeaderValue::try_from(cookie::delete(&api.settings.cookies)) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// The answer when no person is signed in any more.
pub(super) fn finished(api: &Api, request: &LogoutRequest) -> Response {
    match request.redirect() {
        Some(to) => ResponseTarget::new(&to.uri, to.state.as_deref()).signed_out(),
        None => on_the_way(signed_out_page(&Frame::of(api))),
    }
}

/// The page that asks the person whether to sign out.
fn confirm(api: &Api, request: &LogoutRequest, browser: &BrowserSession, query: &str) -> Response {
    let redirect = request.redirect();
    let form_action = redirect.map(|to| ResponseTarget::new(&to.uri, None).form_action());
    let frame = Frame::of_person(api, browser.account())
        .with_form_ending_at(form_action.as_deref())
        .sharing_its_window();
    let who = match request.client() {
        Some(client) => format!(
            "<strong>{}</strong>",
            Escaped(client.settings.name.as_str())
        ),
        None => "An application".to_owned(),
    };
    let content = format!(
        r#"<p>{who} asks whether you want to sign out here. The applications that you opened from here are signed out, too.</p>
<form method="post" action="{base}{SIGN_OUT}">
{token}
{request}
<button type="submit" autofocus>Sign out</button>
</form>
<p><a href="{base}/">Stay signed in</a></p>"#,
        base = frame.base(),
        token = hidden(FORM_TOKEN, &browser.form_token()),
        request = hidden(REQUEST, query),
    );
    frame.page(StatusCode::OK, "Sign out?", &content)
}

fn refused(api: &Api, refusal: LogoutRefusal) -> Response {
    match refusal {
        LogoutRefusal::InvalidHint => error_page(
            api,
            "The application that sent you here does not say correctly who is to be signed out: its ID token is not valid.",
        ),
        LogoutRefusal::UnknownClient => error_page(
            api,
            "The application that sent you here is not known to this service, or may not be used at the moment.",
        ),
        LogoutRefusal::UnknownRedirectUri => error_page(
            api,
            "The application that sent you here wants you to go to an address that is not registered for it.",
        ),
        LogoutRefusal::Unavailable(refusal) => unavailable(api, refusal),
    }
}

/// The page about a request that is answered to the person alone. Nothing was changed.
fn error_page(api: &Api, sentence: &str) -> Response {
    let frame = Frame::of(api).sharing_its_window();
    let advice = format!(
        r#"You were not signed out here. To sign out, open the page <a href="{}{SIGN_OUT}">Sign out</a> of this service."#,
        frame.base()
    );
    trouble::page_with_advice(&frame, StatusCode::BAD_REQUEST, sentence, &advice)
}

fn unavailable(api: &Api, refusal: Refusal) -> Response {
    let frame = Frame::of(api).sharing_its_window();
    let page = |status, words: &str| trouble::page(&frame, status, words);
    trouble::refused(refusal, "", page)
}
