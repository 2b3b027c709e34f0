//! The pages on which a person adds a passkey.

use std::sync::Arc;

use authlog_application::{BegunPasskey, BrowserSession, PasskeyRefusal, Refusal, RequestContext};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};

use super::super::form::Form;
use super::super::frame::{Frame, see_other};
use super::super::html::hidden;
use super::super::passkey::{Options, WITHOUT_SCRIPT, answer, passkey_button};
use super::super::session::{FORM_TOKEN, Visitor, VisitorsForm};
use super::super::trouble;
use super::factors::label_field;
use super::{PasswordPage, Shown, WRONG_PASSWORD, back, with_notice};
use crate::Api;
use crate::native::{AssertionOptionsOut, CreationOptionsOut, attestation};

const TITLE: &str = "Add a passkey";

/// Shows the form that begins, if the service has passkeys.
pub(in crate::pages) async fn show(
    State(api): State<Arc<Api>>,
    Visitor(session): Visitor,
) -> Response {
    if api.authlog.offers_passkeys() {
        BEGIN.show(&api, &session, StatusCode::OK, None)
    } else {
        refused(&api, &session, PasskeyRefusal::Unavailable.into())
    }
}

/// Shows the button that makes the passkey. Nothing is stored before.
pub(in crate::pages) async fn begin(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    VisitorsForm(session, form): VisitorsForm,
) -> Response {
    let begun = async {
        let shown = Shown::in_form(&form)?;
        api.authlog
            .begin_passkey(session.caller(), shown.proof(), &context)
            .await
    };
    match begun.await {
        Ok(begun) => creation_page(&api, &session, &begun),
        Err(refusal) => refused(&api, &session, refusal),
    }
}

/// What the browser needs to confirm a form of this person with a passkey. The script asks for it when the button is pressed.
pub(in crate::pages) async fn options(
    State(api): State<Arc<Api>>,
    VisitorsForm(session, _): VisitorsForm,
) -> Response {
    match api.authlog.begin_passkey_step_up(session.caller()).await {
        Ok(begun) => Json(AssertionOptionsOut::verifying(&begun)).into_response(),
        Err(refusal) => trouble::refused(refusal, "", |status, trouble| {
            trouble::page(&Frame::of_person(&api, session.account()), status, trouble)
        }),
    }
}

/// Adds the passkey that the browser made, with a name if the person gave it one.
pub(in crate::pages) async fn confirm(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    VisitorsForm(session, form): VisitorsForm,
) -> Response {
    match enrolled(&api, &session, &form, &context).await {
        Ok(notice) => see_other(&api, &with_notice(notice)),
        Err(refusal) => refused(&api, &session, refusal),
    }
}

async fn enrolled(
    api: &Api,
    session: &BrowserSession,
    form: &Form,
    context: &RequestContext,
) -> Result<&'static str, Refusal> {
    let (caller, authlog) = (session.caller(), &api.authlog);
    let response = answer(form, attestation)?;
    let enrolment = form.text("enrolment");
    // The cookie stays the same when the session is stepped up.
    let enrolled = authlog
        .enrol_passkey(caller, enrolment, &response, |_| None, context)
        .await?;
    let label = form.text("label");
    if label.trim().is_empty() {
        return Ok("passkey-added");
    }
    // If the name is refused, the passkey is added all the same.
    let factor = enrolled.factor.factor;
    let named = authlog
        .rename_own_factor(caller, factor, label, context)
        .await;
    Ok(named.map_or("passkey-unnamed", |()| "passkey-added"))
}

const BEGIN: PasswordPage<'_> = PasswordPage {
    title: TITLE,
    path: "/security/passkey",
    intro: "<p>A passkey signs in by itself, without your name and your password. Your device asks for its PIN, your fingerprint or \
            your face then. From then on, your password alone does not sign in.</p>",
    button: "Continue",
};

/// The page after a refusal: it begins again, because an enrolment is used once.
fn refused(api: &Api, session: &BrowserSession, refusal: Refusal) -> Response {
    trouble::refused(refusal, WRONG_PASSWORD, |status, trouble| {
        if api.authlog.offers_passkeys() {
            return BEGIN.show(api, session, status, Some(trouble));
        }
        trouble::page(&Frame::of_person(api, session.account()), status, trouble)
    })
}

fn creation_page(api: &Api, session: &BrowserSession, begun: &BegunPasskey) -> Response {
    let frame = Frame::of_person(api, session.account()).with_script(true);
    let options = Options::here(&CreationOptionsOut::new(begun));
    let content = format!(
        r#"<p>Give the passkey a name if you like, such as that of your device. Then your browser asks where to keep it.</p>
{WITHOUT_SCRIPT}
<form method="post" action="{base}/security/passkey/confirm">
{token}
{enrolment}
{label}
{button}
</form>
{back}"#,
        base = frame.base(),
        token = hidden(FORM_TOKEN, &session.form_token()),
        enrolment = hidden("enrolment", &begun.enrolment),
        label = label_field("", " autofocus"),
        button = passkey_button(&frame, &options, "", "Create the passkey"),
        back = back(&frame),
    );
    frame.page(StatusCode::OK, TITLE, &content)
}
