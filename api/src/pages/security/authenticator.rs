//! The pages on which a person adds an authenticator app.

use std::sync::Arc;

use authlog_application::{BegunTotp, BrowserSession, RequestContext};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::frame::{Frame, see_other};
use super::super::html::{Escaped, alert, hidden};
use super::super::session::{FORM_TOKEN, Visitor, VisitorsForm};
use super::super::sign_in::code_field;
use super::super::{qr_code, trouble};
use super::{PasswordPage, Shown, WRONG_PASSWORD, back, with_notice};
use crate::Api;
use crate::native::key_uri;

const TITLE: &str = "Add an authenticator app";

/// Shows the form that begins.
pub(in crate::pages) async fn show(
    State(api): State<Arc<Api>>,
    Visitor(session): Visitor,
) -> Response {
    BEGIN.show(&api, &session, StatusCode::OK, None)
}

/// Shows the secret that the app needs. Nothing is stored before the app has shown a right code.
pub(in crate::pages) async fn begin(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    VisitorsForm(session, form): VisitorsForm,
) -> Response {
    let begun = async {
        let shown = Shown::in_form(&form)?;
        api.authlog
            .begin_totp(session.caller(), shown.proof(), None, &context)
            .await
    };
    match begun.await {
        Ok(begun) => secret_page(&api, &session, StatusCode::OK, None, &begun),
        Err(refusal) => trouble::refused(refusal, WRONG_PASSWORD, |status, trouble| {
            BEGIN.show(&api, &session, status, Some(trouble))
        }),
    }
}

/// Adds the app, which shows a code. After a wrong code the secret is shown once more.
pub(in crate::pages) async fn confirm(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    VisitorsForm(session, form): VisitorsForm,
) -> Response {
    let enrolment = form.text("enrolment");
    let confirmed = api
        .authlog
        .confirm_totp(
            session.caller(),
            enrolment,
            form.text("code"),
            // The cookie stays the same when the session is stepped up.
            |_| None,
            &context,
        )
        .await;
    let Err(refusal) = confirmed else {
        return see_other(&api, &with_notice("authenticator-added"));
    };
    let begun = api.authlog.begun_totp(&session, enrolment);
    trouble::refused(refusal, WRONG_PASSWORD, |status, trouble| match &begun {
        Ok(begun) => secret_page(&api, &session, status, Some(trouble), begun),
        Err(_) => BEGIN.show(&api, &session, status, Some(trouble)),
    })
}

const BEGIN: PasswordPage<'_> = PasswordPage {
    title: TITLE,
    path: "/security/authenticator",
    intro: "<p>An authenticator app shows a new code of six digits every half minute. From then on, signing in takes the password \
            and such a code.</p>",
    button: "Continue",
};

fn secret_page(
    api: &Api,
    session: &BrowserSession,
    status: StatusCode,
    trouble: Option<&str>,
    begun: &BegunTotp,
) -> Response {
    let frame = Frame::of_person(api, session.account());
    let uri = key_uri(&api.settings.public_url, begun);
    let content = format!(
        r#"{alert}<p>Scan this code with your authenticator app:</p>
{qr_code}
<p>Is the app on this device? <a href="{uri}">Open it</a>, or type this secret into it:</p>
<p><code>{secret}</code></p>
<form method="post" action="{base}/security/authenticator/confirm">
{token}
{enrolment}
{code}
<button type="submit">Add the app</button>
</form>
{back}"#,
        alert = alert(trouble),
        qr_code = qr_code::svg(&uri, "QR code for your authenticator app"),
        uri = Escaped(&uri),
        secret = in_groups(&begun.secret),
        base = frame.base(),
        token = hidden(FORM_TOKEN, &session.form_token()),
        enrolment = hidden("enrolment", &begun.enrolment),
        code = code_field(trouble),
        back = back(&frame),
    );
    frame.page(status, TITLE, &content)
}

/// A secret in groups of four characters, as people type it.
fn in_groups(secret: &str) -> String {
    let mut grouped = String::with_capacity(secret.len() * 5 / 4);
    for (at, letter) in secret.chars().enumerate() {
        if at > 0 && at % 4 == 0 {
            grouped.push(' ');
        }
        grouped.push(letter);
    }
    grouped
}
