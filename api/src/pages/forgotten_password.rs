//! The page on which a person asks for a link to set a new password.

use std::sync::Arc;

use authlog_application::{Refusal, RequestContext};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::frame::Frame;
use super::html::{Escaped, alert, first};
use super::session::OwnForm;
use super::trouble;
use crate::Api;

/// Shows the form.
pub(super) async fn show(State(api): State<Arc<Api>>) -> Response {
    form_page(&api, StatusCode::OK, None, "")
}

/// Queues the link. The answer does not depend on whether the account exists.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    OwnForm(form): OwnForm,
) -> Response {
    let name = form.text("username");
    let asked = api.authlog.request_password_reset(Some(name), &context);
    match asked.await {
        Ok(()) => is_mailed(&api),
        Err(refusal) => refused(&api, refusal, name),
    }
}

fn is_mailed(api: &Api) -> Response {
    let frame = Frame::of(api);
    let content = format!(
        r#"<p role="status">If there is such an account with an e-mail address, a link to set a new password is on its way to that
address.</p>
<p><a href="{base}/sign-in">Back to the sign-in page</a></p>"#,
        base = frame.base()
    );
    frame.page(StatusCode::ACCEPTED, "Check your mail", &content)
}

fn refused(api: &Api, refusal: Refusal, name: &str) -> Response {
    trouble::refused(refusal, "", |status, trouble| {
        form_page(api, status, Some(trouble), name)
    })
}

fn form_page(api: &Api, status: StatusCode, trouble: Option<&str>, name: &str) -> Response {
    let frame = Frame::of(api);
    let content = format!(
        r#"{alert}<p>A link to set a new password is mailed to the address of your account.</p>
<form method="post" action="{base}/forgotten-password">
<label for="username">Username or e-mail address</label>
<input type="text" id="username" name="username" value="{name}" autocomplete="username" autocapitalize="none" spellcheck="false" required{first}>
<button type="submit">Send the link</button>
</form>
<p><a href="{base}/sign-in">Back to the sign-in page</a></p>"#,
        alert = alert(trouble),
        base = frame.base(),
        name = Escaped(name),
        first = first(trouble),
    );
    frame.page(status, "Forgotten password", &content)
}
