//! The page on which a person signs in: with a password, and then with a second factor if the account has one.

use std::sync::Arc;

use authlog_application::{
    AccessFormat, Field, Refusal, RequestContext, SecondFactorRefusal, SecondStep, SessionTerms,
    SignInForm, SignedIn,
};
use authlog_domain::ContractName;
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::form::Form;
use super::frame::{Frame, see_other};
use super::html::{Escaped, alert, first, hidden, password};
use super::next::Next;
use super::session::{OwnForm, session_of};
use super::{cookie, trouble};
use crate::Api;

/// A browser session has a cookie and no other token.
pub(super) const TERMS: SessionTerms = SessionTerms::new(
    ContractName::Authlog,
    AccessFormat::Cookie,
    cookie::LIFETIME,
    None,
);

/// Shows the form. A person who is signed in goes on at once.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = Form::of_query(query.as_deref());
    let next = Next::or_security(query.text("next"));
    match session_of(&api, &headers).await {
        Ok(None) => form_page(&api, StatusCode::OK, None, "", &next),
        Ok(Some(_)) => see_other(&api, next.as_str()),
        Err(refusal) => refused(&api, refusal, "", &next),
    }
}

/// Checks the password.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    OwnForm(form): OwnForm,
) -> Response {
    let next = Next::or_security(form.text("next"));
    let name = form.text("username");
    let typed = SignInForm {
        identifier: Some(name),
        identifier_field: Field::Username,
        password: Some(form.text("password")),
        code: None,
    };
    match api.authlog.sign_in(typed, &TERMS, &context).await {
        Ok(signed_in) => finish(&api, &headers, &signed_in, &next, &context).await,
        Err(Refusal::WrongCredentials {
            challenge: Some(challenge),
            ..
        }) => code_page(&api, StatusCode::OK, None, &challenge.sealed, &next),
        Err(refusal) => refused(&api, refusal, name, &next),
    }
}

/// Checks the second factor.
pub(super) async fn submit_code(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    OwnForm(form): OwnForm,
) -> Response {
    let next = Next::or_security(form.text("next"));
    let challenge = form.text("challenge");
    let step = match form.sent("recovery_code") {
        Some(code) => SecondStep::RecoveryCode(code),
        None => SecondStep::Code(form.text("code")),
    };
    match finish_sign_in(&api, challenge, step, &context).await {
        Ok(signed_in) => finish(&api, &headers, &signed_in, &next, &context).await,
        Err(refusal @ Refusal::SecondFactor(SecondFactorRefusal::Expired)) => {
            refused(&api, refusal, "", &next)
        }
        Err(refusal) => trouble::refused(refusal, "The code is wrong.", |status, trouble| {
            code_page(&api, status, Some(trouble), challenge, &next)
        }),
    }
}

async fn finish_sign_in(
    api: &Api,
    challenge: &str,
    step: SecondStep<'_>,
    context: &RequestContext,
) -> Result<SignedIn, Refusal> {
    let pending = api.authlog.pending_sign_in(challenge)?;
    // A login that began at a contract has another answer.
    if pending.contract() != ContractName::Authlog {
        return Err(Refusal::SecondFactor(SecondFactorRefusal::Expired));
    }
    api.authlog
        .finish_sign_in(&pending, step, &TERMS, context)
        .await
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
    ([(SET_COOKIE, cookie)], see_other(api, next.as_str())).into_response()
}

fn refused(api: &Api, refusal: Refusal, name: &str, next: &Next) -> Response {
    let again = |status, trouble: &str| form_page(api, status, Some(trouble), name, next);
    match refusal {
        Refusal::Invalid(_) => again(
            StatusCode::BAD_REQUEST,
            "Please type your username or e-mail address, and your password.",
        ),
        other => trouble::refused(other, "The name or the password is wrong.", again),
    }
}

/// The form. After a refusal it keeps the name.
fn form_page(
    api: &Api,
    status: StatusCode,
    trouble: Option<&str>,
    name: &str,
    next: &Next,
) -> Response {
    let frame = Frame::of(api);
    let sign_up = if api.authlog.accepts_registrations() {
        format!(
            "\n<p><a href=\"{}/sign-up\">Create an account</a></p>",
            frame.base()
        )
    } else {
        String::new()
    };
    let content = format!(
        r#"{alert}<form method="post" action="{base}/sign-in">
{next}
<label for="username">Username or e-mail address</label>
<input type="text" id="username" name="username" value="{name}" autocomplete="username" autocapitalize="none" spellcheck="false" required{first}>
{password}
<button type="submit">Sign in</button>
</form>
<p><a href="{base}/forgotten-password">Forgotten password?</a></p>{sign_up}"#,
        alert = alert(trouble),
        base = frame.base(),
        next = hidden("next", next.as_str()),
        name = Escaped(name),
        first = first(trouble),
        password = password("password", "Password", "current-password", ""),
    );
    frame.page(status, "Sign in", &content)
}

/// The second step. The challenge stays in the page, so that several tabs can sign in.
fn code_page(
    api: &Api,
    status: StatusCode,
    trouble: Option<&str>,
    challenge: &str,
    next: &Next,
) -> Response {
    let frame = Frame::of(api);
    let kept = [
        hidden("challenge", challenge),
        hidden("next", next.as_str()),
    ]
    .join("\n");
    let content = format!(
        r#"{alert}<p>Your password was right. Your account has a second factor as well.</p>
<form method="post" action="{base}/sign-in/code">
{kept}
{code}
<button type="submit">Continue</button>
</form>
<h2>Without the app</h2>
<p>Each recovery code works once.</p>
<form method="post" action="{base}/sign-in/code">
{kept}
<label for="recovery_code">Recovery code</label>
<input type="text" id="recovery_code" name="recovery_code" autocomplete="off" autocapitalize="characters" spellcheck="false" required>
<button type="submit" class="quiet">Use the recovery code</button>
</form>
<p><a href="{base}/sign-in">Begin again</a></p>"#,
        alert = alert(trouble),
        base = frame.base(),
        code = code_field(trouble),
    );
    frame.page(status, "Second step", &content)
}

/// The field for a code of an authenticator app.
pub(super) fn code_field(trouble: Option<&str>) -> String {
    format!(
        r#"<label for="code">Code of your authenticator app</label>
<input type="text" id="code" name="code" inputmode="numeric" autocomplete="one-time-code" required{}>"#,
        first(trouble)
    )
}
