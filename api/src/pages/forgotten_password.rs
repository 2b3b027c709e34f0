//! The page on which a person asks for a link to set a new password.

use std::sync::Arc;

use authlog_application::RequestContext;
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::application::Application;
use super::form::Form;
use super::frame::Frame;
use super::html::{Escaped, alert, first, hidden};
use super::next::Next;
use super::session::OwnForm;
use super::sign_in::with_next;
use super::trouble;
use crate::Api;

/// Shows the form.
pub(super) async fn show(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Response {
    let query = Form::of_query(query.as_deref());
    let next = Next::or_security(query.text("next"));
    let application = Application::of(&api, &next).await;
    let frame = Frame::of(&api).leading_to(application.as_ref());
    form_page(&frame, StatusCode::OK, None, "", &next)
}

/// Queues the link. The answer does not depend on whether the account exists. The link opens a page that leads to no application:
/// the person goes back to it from here.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    OwnForm(form): OwnForm,
) -> Response {
    let name = form.text("username");
    let next = Next::or_security(form.text("next"));
    let application = Application::of(&api, &next).await;
    let frame = Frame::of(&api).leading_to(application.as_ref());
    let asked = api.authlog.request_password_reset(Some(name), &context);
    match asked.await {
        Ok(()) => is_mailed(&frame, &next),
        Err(refusal) => trouble::refused(refusal, "", |status, trouble| {
            form_page(&frame, status, Some(trouble), name, &next)
        }),
    }
}

fn is_mailed(frame: &Frame<'_>, next: &Next) -> Response {
    let content = format!(
        r#"<p role="status">If there is such an account with an e-mail address, a link to set a new password is on its way to that
address.</p>
<p><a href="{base}{sign_in}">Back to the sign-in page</a></p>"#,
        base = frame.base(),
        sign_in = with_next("/sign-in", next),
    );
    frame.page(StatusCode::ACCEPTED, "Check your mail", &content)
}

fn form_page(
    frame: &Frame<'_>,
    status: StatusCode,
    trouble: Option<&str>,
    name: &str,
    next: &Next,
) -> Response {
    let content = format!(
        r#"{alert}<p>A link to set a new password is mailed to the address of your account.</p>
<form method="post" action="{base}/forgotten-password">
{next}
<label for="username">Username or e-mail address</label>
<input type="text" id="username" name="username" value="{name}" autocomplete="username" autocapitalize="none" spellcheck="false" required{first}>
<button type="submit">Send the link</button>
</form>
<p><a href="{base}{sign_in}">Back to the sign-in page</a></p>"#,
        alert = alert(trouble),
        base = frame.base(),
        sign_in = with_next("/sign-in", next),
        next = hidden("next", next.as_str()),
        name = Escaped(name),
        first = first(trouble),
    );
    frame.page(status, "Forgotten password", &content)
}
