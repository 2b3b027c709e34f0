//! The page on which a person changes their password.

use std::sync::Arc;

use authlog_application::{BrowserSession, Field, Refusal, RequestContext, Violation};
use authlog_domain::Flaw;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::frame::{Frame, see_other};
use super::super::html::{Escaped, alert, hidden, password};
use super::super::session::{FORM_TOKEN, Visitor, VisitorsForm};
use super::super::trouble;
use super::{Shown, back, can_use_passkey, passkey_proof, proof_fields, with_notice};
use crate::Api;

/// Shows the form.
pub(in crate::pages) async fn show(
    State(api): State<Arc<Api>>,
    Visitor(session): Visitor,
) -> Response {
    form_page(&api, &session, StatusCode::OK, None)
}

/// Changes the password, if the new one was typed twice alike. Every other session ends.
pub(in crate::pages) async fn submit(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    VisitorsForm(session, form): VisitorsForm,
) -> Response {
    let changed = async {
        let (current, new) = (Shown::in_form(&form)?, form.text("new_password"));
        if new != form.text("password_confirmation") {
            return Err(Refusal::Invalid(vec![Violation {
                field: Field::PasswordConfirmation,
                flaw: Flaw::Mismatch,
            }]));
        }
        api.authlog
            .change_password(session.caller(), current.proof(), Some(new), &context)
            .await
    };
    match changed.await {
        Ok(()) => see_other(&api, &with_notice("password")),
        Err(refusal) => {
            let wrong = "The current password is wrong.";
            trouble::refused(refusal, wrong, |status, trouble| {
                form_page(&api, &session, status, Some(trouble))
            })
        }
    }
}

/// The form. The hidden username tells a password manager to which account the new password belongs.
fn form_page(
    api: &Api,
    session: &BrowserSession,
    status: StatusCode,
    trouble: Option<&str>,
) -> Response {
    let can_use_passkey = can_use_passkey(api, session.account());
    let frame = Frame::of_person(api, session.account()).with_script(can_use_passkey);
    let content = format!(
        r#"{alert}<form method="post" action="{base}/security/password">
{token}
<input type="text" name="username" value="{username}" autocomplete="username" hidden>
{current}
{new}
{again}
<button type="submit">Change the password</button>{passkey}
</form>
{back}"#,
        alert = alert(trouble),
        base = frame.base(),
        token = hidden(FORM_TOKEN, &session.form_token()),
        username = Escaped(session.account().sign_in_name()),
        current = proof_fields(session.account(), "Current password", trouble),
        new = password("new_password", "New password", "new-password", ""),
        again = password(
            "password_confirmation",
            "New password once more",
            "new-password",
            ""
        ),
        passkey = passkey_proof(&frame, can_use_passkey),
        back = back(&frame),
    );
    frame.page(status, "Change the password", &content)
}
