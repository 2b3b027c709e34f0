//! The page on which a person creates an account, if registration is open.

use std::sync::Arc;

use authlog_application::{Field, Refusal, RegistrationForm, RequestContext};
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::application::Application;
use super::form::Form;
use super::frame::Frame;
use super::html::{Escaped, alert, first, hidden, password};
use super::next::Next;
use super::session::{OwnForm, session_of};
use super::sign_in::{TERMS, finish, go_on, with_next};
use super::trouble;
use crate::Api;

/// Shows the form. A person who is signed in goes on at once.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if !api.authlog.accepts_registrations() {
        return refused(&api, Refusal::RegistrationClosed, &Form::of_query(None)).await;
    }
    let query = Form::of_query(query.as_deref());
    let next = Next::or_security(query.text("next"));
    match session_of(&api, &headers).await {
        Ok(None) => {
            let application = Application::of(&api, &next).await;
            form_page(&api, StatusCode::OK, None, &query, application.as_ref())
        }
        Ok(Some(_)) => go_on(&api, &next),
        Err(refusal) => refused(&api, refusal, &query).await,
    }
}

/// Creates the account and signs in to it. If the address has to be verified first, the page says that a link was mailed.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    OwnForm(form): OwnForm,
) -> Response {
    let typed = RegistrationForm {
        username: Some(form.text("username")).filter(|name| !name.is_empty()),
        email: Some(form.text("email")),
        password: Some(form.text("password")),
        password_confirmation: Some(form.text("password_confirmation")),
        required: &[Field::Email],
        ..RegistrationForm::default()
    };
    if api.authlog.requires_verified_email() {
        return match api.authlog.register(typed, &context).await {
            Ok(_) => link_is_mailed(&api),
            Err(refusal) => refused(&api, refusal, &form).await,
        };
    }
    let registered = api
        .authlog
        .register_and_sign_in(typed, &TERMS, &context)
        .await;
    match registered {
        Ok(signed_in) => {
            let next = Next::or_security(form.text("next"));
            finish(&api, &headers, &signed_in, &next, &context).await
        }
        Err(refusal) => refused(&api, refusal, &form).await,
    }
}

fn link_is_mailed(api: &Api) -> Response {
    let frame = Frame::of(api);
    let content = format!(
        r#"<p role="status">Your account exists. A link to confirm your e-mail address is on its way to you: follow it before you
<a href="{base}/sign-in">sign in</a>.</p>"#,
        base = frame.base()
    );
    frame.page(StatusCode::CREATED, "Check your mail", &content)
}

async fn refused(api: &Api, refusal: Refusal, typed: &Form) -> Response {
    if matches!(refusal, Refusal::RegistrationClosed) {
        let frame = Frame::of(api);
        let content = format!(
            r#"{alert}<p><a href="{base}/sign-in">Sign in</a></p>"#,
            alert = alert(Some(trouble::REGISTRATION_CLOSED)),
            base = frame.base()
        );
        let title = "Registration is closed";
        return frame.page(StatusCode::FORBIDDEN, title, &content);
    }
    let next = Next::or_security(typed.text("next"));
    let application = Application::of(api, &next).await;
    trouble::refused(refusal, "", |status, trouble| {
        form_page(api, status, Some(trouble), typed, application.as_ref())
    })
}

/// The form. After a refusal it keeps the names.
fn form_page(
    api: &Api,
    status: StatusCode,
    trouble: Option<&str>,
    typed: &Form,
    application: Option<&Application>,
) -> Response {
    let frame = Frame::of(api).leading_to(application);
    let next = Next::or_security(typed.text("next"));
    let content = format!(
        r#"{alert}<form method="post" action="{base}/sign-up">
{next}
<label for="email">E-mail address</label>
<input type="email" id="email" name="email" value="{email}" autocomplete="email" required{first}>
<label for="username">Username (optional)</label>
<input type="text" id="username" name="username" value="{username}" autocomplete="username" autocapitalize="none" spellcheck="false">
{password}
{again}
<button type="submit">Create account</button>
</form>
<p><a href="{base}{sign_in}">Sign in to an account that exists</a></p>"#,
        sign_in = with_next("/sign-in", &next),
        alert = alert(trouble),
        base = frame.base(),
        next = hidden("next", next.as_str()),
        email = Escaped(typed.text("email")),
        username = Escaped(typed.text("username")),
        first = first(trouble),
        password = password("password", "Password", "new-password", ""),
        again = password(
            "password_confirmation",
            "Password once more",
            "new-password",
            ""
        ),
    );
    frame.page(status, "Create an account", &content)
}
