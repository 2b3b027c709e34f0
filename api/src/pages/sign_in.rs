//! The page on which a person signs in, with a password or with a passkey.

use std::sync::Arc;

use authlog_application::{
    AccessFormat, Field, Refusal, RequestContext, SessionTerms, SignInForm, SignedIn,
};
use authlog_domain::ContractName;
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::application::{Application, on_the_way};
use super::form::Form;
use super::frame::{Frame, see_other};
use super::html::{Escaped, alert, first, hidden, password};
use super::next::Next;
use super::passkey::{CREDENTIAL, Options, QUIET, answer, passkey_button};
use super::second_step::second_step;
use super::session::{OwnForm, in_query, session_of};
use super::{cookie, trouble};
use crate::Api;
use crate::native::assertion;

/// A browser session has a cookie and no other token.
pub(super) const TERMS: SessionTerms = SessionTerms::new(
    ContractName::Authlog,
    AccessFormat::Cookie,
    cookie::LIFETIME,
    None,
);

/// Shows the form. A person who is signed in goes on at once, unless an application wants them to sign in again.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = Form::of_query(query.as_deref());
    let next = Next::or_security(query.text("next"));
    let application = Application::of(&api, &next).await;
    let application = application.as_ref();
    let asks_again = application.is_some_and(|it| it.asks_again);
    match session_of(&api, &headers).await {
        Ok(Some(session)) if asks_again => {
            let name = session.account().sign_in_name();
            form_page(&api, StatusCode::OK, None, name, &next, application)
        }
        Ok(Some(_)) => go_on(&api, &next),
        Ok(None) => form_page(&api, StatusCode::OK, None, "", &next, application),
        Err(refusal) => refused(&api, refusal, "", &next).await,
    }
}

/// Checks the password, or the answer of a passkey.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    OwnForm(form): OwnForm,
) -> Response {
    let next = Next::or_security(form.text("next"));
    let name = form.text("username");
    let signed_in = if form.sent(CREDENTIAL).is_some() {
        with_passkey(&api, &form, &context).await
    } else {
        let typed = SignInForm {
            identifier: Some(name),
            identifier_field: Field::Username,
            password: Some(form.text("password")),
            code: None,
        };
        api.authlog.sign_in(typed, &TERMS, &context).await
    };
    match signed_in {
        Ok(signed_in) => finish(&api, &headers, &signed_in, &next, &context).await,
        Err(Refusal::WrongCredentials {
            challenge: Some(challenge),
            ..
        }) => second_step(&api, &challenge.sealed, &next).await,
        Err(refusal) => refused(&api, refusal, name, &next).await,
    }
}

async fn with_passkey(
    api: &Api,
    form: &Form,
    context: &RequestContext,
) -> Result<SignedIn, Refusal> {
    let response = answer(form, assertion)?;
    let challenge = form.text("challenge");
    let signed_in = api
        .authlog
        .sign_in_with_passkey(challenge, &response, &TERMS, context);
    signed_in.await
}

/// The response to a login: the cookie, and the page where the person wanted to go. A session that the browser had before ends,
/// because its cookie is replaced (ASVS 5.0, 7.2.4).
pub(super) async fn finish(
    api: &Api,
    headers: &HeaderMap,
    signed_in: &SignedIn,
    next: &Next,
    context: &RequestContext,
) -> Response {
    if let Ok(Some(before)) = session_of(api, headers).await {
        // If that fails, the session ends when it expires.
        let _ = api.authlog.log_out(before.caller(), context).await;
    }
    let max_age = signed_in.access.expires_at.since(api.now());
    let cookie = cookie::set(&signed_in.access.token, &api.settings.cookies, max_age);
    ([(SET_COOKIE, cookie)], go_on(api, next)).into_response()
}

/// The redirect to where the person wanted to go.
pub(super) fn go_on(api: &Api, next: &Next) -> Response {
    let response = see_other(api, next.as_str());
    match next.authorization_query() {
        Some(_) => on_the_way(response),
        None => response,
    }
}

/// The form, after a refusal.
pub(super) async fn refused(api: &Api, refusal: Refusal, name: &str, next: &Next) -> Response {
    let application = Application::of(api, next).await;
    let application = application.as_ref();
    let again =
        |status, trouble: &str| form_page(api, status, Some(trouble), name, next, application);
    match refusal {
        Refusal::Invalid(_) => again(
            StatusCode::BAD_REQUEST,
            "Please type your username or e-mail address, and your password.",
        ),
        other => trouble::refused(other, "The name or the password is wrong.", again),
    }
}

/// The form. After a refusal it keeps the name. The application that sent the person may know it, too.
fn form_page(
    api: &Api,
    status: StatusCode,
    trouble: Option<&str>,
    name: &str,
    next: &Next,
    application: Option<&Application>,
) -> Response {
    let has_passkeys = api.authlog.offers_passkeys();
    let frame = Frame::of(api)
        .with_script(has_passkeys)
        .leading_to(application);
    let hint = application.and_then(|it| it.login_hint.as_deref());
    let name = if name.is_empty() {
        hint.unwrap_or_default()
    } else {
        name
    };
    let purpose = application.map_or_else(String::new, |application| {
        let name = Escaped(&application.name);
        format!("<p>Sign in to continue to <strong>{name}</strong>.</p>\n")
    });
    let sign_up_path = with_next("/sign-up", next);
    let forgotten_path = with_next("/forgotten-password", next);
    let next = hidden("next", next.as_str());
    // Browsers offer passkeys in a field with this name, besides names.
    let (names, passkey) = if has_passkeys {
        ("username webauthn", passkey_form(&frame, &next))
    } else {
        ("username", String::new())
    };
    let sign_up = if api.authlog.accepts_registrations() {
        format!(
            "\n<p><a href=\"{}{sign_up_path}\">Create an account</a></p>",
            frame.base()
        )
    } else {
        String::new()
    };
    let content = format!(
        r#"{alert}{purpose}<form method="post" action="{base}/sign-in">
{next}
<label for="username">Username or e-mail address</label>
<input type="text" id="username" name="username" value="{name}" autocomplete="{names}" autocapitalize="none" spellcheck="false" required{first}>
{password}
<button type="submit">Sign in</button>
</form>
{passkey}<p><a href="{base}{forgotten_path}">Forgotten password?</a></p>{sign_up}"#,
        alert = alert(trouble),
        base = frame.base(),
        name = Escaped(name),
        first = first(trouble),
        password = password("password", "Password", "current-password", ""),
    );
    frame.page(status, "Sign in", &content)
}

/// The address of another page from which the person goes on to the same application or device.
pub(super) fn with_next(path: &str, next: &Next) -> String {
    if next.is_a_purpose() {
        format!("{path}?next={}", in_query(next.as_str()))
    } else {
        path.to_owned()
    }
}

/// The form for a passkey, which needs no name.
fn passkey_form(frame: &Frame<'_>, next: &str) -> String {
    let options = Options::At("/sign-in/passkey/options");
    format!(
        r#"<form method="post" action="{base}/sign-in">
{next}
{challenge}
{button}
</form>
"#,
        base = frame.base(),
        challenge = hidden("challenge", ""),
        button = passkey_button(frame, &options, QUIET, "Sign in with a passkey"),
    )
}

/// The field for a code of an authenticator app.
pub(super) fn code_field(trouble: Option<&str>) -> String {
    format!(
        r#"<label for="code">Code of your authenticator app</label>
<input type="text" id="code" name="code" inputmode="numeric" autocomplete="one-time-code" required{}>"#,
        first(trouble)
    )
}
