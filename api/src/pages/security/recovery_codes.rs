//! The page on which a person makes recovery codes, which are shown once.

use std::sync::Arc;

use authlog_application::RequestContext;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::frame::Frame;
use super::super::session::{Visitor, VisitorsForm};
use super::super::trouble;
use super::{PasswordPage, Shown, WRONG_PASSWORD, back};
use crate::Api;

/// Shows the form.
pub(in crate::pages) async fn show(
    State(api): State<Arc<Api>>,
    Visitor(session): Visitor,
) -> Response {
    PAGE.show(&api, &session, StatusCode::OK, None)
}

/// Makes the codes and shows them. They are in no other answer, so this one is no redirect.
pub(in crate::pages) async fn submit(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    VisitorsForm(session, form): VisitorsForm,
) -> Response {
    let codes = async {
        let shown = Shown::in_form(&form)?;
        api.authlog
            .issue_recovery_codes(session.caller(), shown.proof(), &context)
            .await
    };
    match codes.await {
        Ok(codes) => {
            let items: String = codes
                .iter()
                .map(|code| format!("<li><code>{}</code></li>\n", code.as_str()))
                .collect();
            let frame = Frame::of_person(&api, session.account());
            let content = format!(
                r#"<p role="status">These are your recovery codes. They are shown only now.</p>
<p>Print them, or keep them in a password manager, but not on the device with the second factor. Each replaces it once. Earlier
codes are not valid any more.</p>
<ol class="codes">
{items}</ol>
{back}"#,
                back = back(&frame)
            );
            frame.page(StatusCode::CREATED, "Your recovery codes", &content)
        }
        Err(refusal) => trouble::refused(refusal, WRONG_PASSWORD, |status, trouble| {
            PAGE.show(&api, &session, status, Some(trouble))
        }),
    }
}

const PAGE: PasswordPage<'_> = PasswordPage {
    title: "Make recovery codes",
    path: "/security/recovery-codes",
    intro: "<p>A recovery code replaces your second factor once, if you have lost it. You get ten new codes, and earlier ones stop \
            working.</p>",
    button: "Make recovery codes",
};
