//! The page on which a person who forgot their password sets a new one, with a mailed link.

use std::sync::Arc;

use authlog_application::{Field, Refusal, RequestContext, Violation};
use authlog_domain::Flaw;
use axum::Extension;
use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::form::Form;
use super::frame::Frame;
use super::html::{Escaped, alert, first, hidden, password};
use super::session::read_form;
use super::trouble;
use crate::Api;

/// Shows the form, or that the link is invalid. This does not use the link up, because mail scanners open links too.
pub(super) async fn show(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Response {
    let frame = Frame::of_link(&api);
    let query = Form::of_query(query.as_deref());
    let token = query.text("token");
    match api.authlog.verify_reset_token(token).await {
        Ok(account) => form_page(&frame, StatusCode::OK, None, token, account.sign_in_name()),
        Err(refusal) => refused(&frame, refusal, token, ""),
    }
}

/// Sets the new password, or explains why it was refused. The token in the form proves that it belongs to the link.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    request: Request,
) -> Response {
    let frame = Frame::of_link(&api);
    let form = match read_form(request, &api).await {
        Ok(form) => form,
        Err(failed) => return failed,
    };
    match reset(&api, &form, &context).await {
        Ok(()) => done(&frame),
        Err(refusal) => refused(&frame, refusal, form.text("token"), form.text("username")),
    }
}

/// Resets the password if it was typed twice alike. An invalid link is reported before a mismatch.
async fn reset(api: &Api, form: &Form, context: &RequestContext) -> Result<(), Refusal> {
    let (token, password) = (form.text("token"), form.text("password"));
    if password == form.text("password_confirmation") {
        return api
            .authlog
            .reset_password(token, Some(password), context)
            .await;
    }
    api.authlog.verify_reset_token(token).await?;
    Err(Refusal::Invalid(vec![Violation {
        field: Field::PasswordConfirmation,
        flaw: Flaw::Mismatch,
    }]))
}

/// The success.
fn done(frame: &Frame<'_>) -> Response {
    let content = format!(
        r#"<p role="status">Your new password is set. You have been signed out everywhere; sign in again with it.</p>
<p><a href="{base}/sign-in">Sign in here</a>, or close this page.</p>"#,
        base = frame.base()
    );
    frame.page(StatusCode::OK, "Password changed", &content)
}

/// The response to a refusal. If another attempt can succeed, it has the form with its token.
fn refused(frame: &Frame<'_>, refusal: Refusal, token: &str, username: &str) -> Response {
    match refusal {
        Refusal::Invalid(_)
        | Refusal::TooManyAttempts { .. }
        | Refusal::Overloaded { .. }
        | Refusal::Unavailable(_) => trouble::refused(refusal, "", |status, trouble| {
            form_page(frame, status, Some(trouble), token, username)
        }),
        _ => invalid_link(frame),
    }
}

fn invalid_link(frame: &Frame<'_>) -> Response {
    let content = format!(
        r#"<p role="alert">This link is not valid, has expired, or was used before.</p>
<p>Ask for a <a href="{base}/forgotten-password">new one</a>. Only the newest link works.</p>"#,
        base = frame.base()
    );
    frame.page(
        StatusCode::BAD_REQUEST,
        "This link no longer works",
        &content,
    )
}

/// The form. The hidden username tells a password manager to which account the new password belongs.
fn form_page(
    frame: &Frame<'_>,
    status: StatusCode,
    trouble: Option<&str>,
    token: &str,
    username: &str,
) -> Response {
    let content = format!(
        r#"{alert}<form method="post" action="{base}/reset-password">
{token}
<input type="text" name="username" value="{username}" autocomplete="username" hidden>
{new}
{again}
<button type="submit">Set new password</button>
</form>"#,
        alert = alert(trouble),
        base = frame.base(),
        token = hidden("token", token),
        username = Escaped(username),
        new = password("password", "New password", "new-password", first(trouble)),
        again = password(
            "password_confirmation",
            "New password once more",
            "new-password",
            ""
        ),
    );
    frame.page(status, "Choose a new password", &content)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tests::{every_refusal, text};

    fn frame() -> Frame<'static> {
        Frame::without_links()
    }

    #[test]
    fn the_form_needs_no_script_and_keeps_the_token() {
        let (token, username) = (r#""><script>"#, r#""><b>"#);
        let html = text(form_page(&frame(), StatusCode::OK, None, token, username));
        assert!(html.contains(r#"name="token" value="&quot;&gt;&lt;script&gt;""#));
        assert!(html.contains(r#"name="username" value="&quot;&gt;&lt;b&gt;""#));
        assert!(!html.contains("<script"));
        assert!(!html.contains("role=\"alert\""));
    }

    #[test]
    fn every_refusal_has_a_page_with_its_status() {
        let statuses: Vec<u16> = every_refusal()
            .into_iter()
            .map(|refusal| refused(&frame(), refusal, "token", "ann"))
            .map(|page| page.status().as_u16())
            .collect();
        assert_eq!(
            statuses,
            [
                400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400,
                429, 503, 503
            ]
        );
    }

    #[test]
    fn a_refused_password_is_explained_and_can_be_retried() {
        let field = Field::Password;
        let flaw = Flaw::TooShort { min: 7 };
        let refusal = Refusal::Invalid(vec![Violation { field, flaw }]);
        let html = text(refused(&frame(), refusal, "the-token", "ann"));
        for part in [
            "role=\"alert\"",
            "at least 7 characters",
            r#"value="the-token""#,
            r#"value="ann""#,
        ] {
            assert!(html.contains(part), "{part}");
        }
    }

    #[test]
    fn an_invalid_link_has_no_form_and_an_overload_has_one() {
        let html = text(refused(
            &frame(),
            Refusal::InvalidResetToken,
            "the-token",
            "ann",
        ));
        assert!(!html.contains("<form"));
        let retry_after = Duration::from_secs(3);
        let response = refused(
            &frame(),
            Refusal::Overloaded { retry_after },
            "the-token",
            "ann",
        );
        assert_eq!(response.headers()["retry-after"], "3");
        assert!(text(response).contains("<form"));
    }
}
