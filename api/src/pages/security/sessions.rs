//! The list of a person's sessions, and the buttons that end them.

use std::sync::Arc;

use authlog_application::{BrowserSession, LiveSession, Refusal, RequestContext};
use authlog_domain::{ContractName, SessionId};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::device::Device;
use super::super::frame::{Frame, see_other};
use super::super::html::Escaped;
use super::super::session::{IdInPath, VisitorsForm};
use super::super::{time_element, trouble};
use super::applications::name_of;
use super::{Overview, button, with_notice};
use crate::Api;
use crate::http::retry_later;
use crate::native::{NoRoom, PageRoom};

/// How many sessions are shown at a time.
const SHOWN: u32 = 20;

/// Ends a session.
pub(in crate::pages) async fn end(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    IdInPath(id): IdInPath,
    VisitorsForm(session, _): VisitorsForm,
) -> Response {
    let ended = match SessionId::parse(&id) {
        None => Err(Refusal::UnknownSession),
        Some(id) => {
            let caller = session.caller();
            api.authlog.end_own_session(caller, id, &context).await
        }
    };
    answered(&api, &session, ended, "session", &context).await
}

/// Ends every session but this one.
pub(in crate::pages) async fn end_others(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    VisitorsForm(session, _): VisitorsForm,
) -> Response {
    let caller = session.caller();
    let ended = api.authlog.end_other_sessions(caller, &context).await;
    answered(&api, &session, ended, "other-sessions", &context).await
}

async fn answered(
    api: &Api,
    session: &BrowserSession,
    ended: Result<(), Refusal>,
    notice: &str,
    context: &RequestContext,
) -> Response {
    let Err(refusal) = ended else {
        return see_other(api, &with_notice(notice));
    };
    if !matches!(refusal, Refusal::UnknownSession) {
        let frame = Frame::of_person(api, session.account());
        let page = |status, trouble: &str| trouble::page(&frame, status, trouble);
        return trouble::refused(refusal, "", page);
    }
    let overview = Overview {
        status: StatusCode::NOT_FOUND,
        notice: None,
        trouble: Some("This session has ended already."),
        after: None,
    };
    overview.page(api, session, context).await
}

/// The section with the sessions after `after`.
///
/// # Errors
/// The page that says why they cannot be shown.
pub(super) async fn session_list(
    api: &Api,
    session: &BrowserSession,
    after: Option<SessionId>,
    context: &RequestContext,
) -> Result<String, Response> {
    let frame = Frame::of_person(api, session.account());
    let failed = |refusal| {
        let page = |status, trouble: &str| trouble::page(&frame, status, trouble);
        trouble::refused(refusal, "", page)
    };
    let caller = session.caller();
    let room = PageRoom::take(api, caller.user(), SHOWN, context).await;
    let _room = room.map_err(|reason| crowded(&frame, reason))?;
    let page = api.authlog.own_sessions(caller, after, SHOWN).await;
    let page = page.map_err(failed)?;
    let mut rows = String::new();
    for live in &page.sessions {
        let application = match &live.session.grant {
            Some(grant) => Some(name_of(api, &grant.client).await.map_err(failed)?),
            None => None,
        };
        rows.push_str(&row(&frame, session, live, application.as_deref()));
    }
    let more = page.next.map_or_else(String::new, |last| {
        let base = frame.base();
        format!("\n<p><a href=\"{base}/security?after={last}\">More sessions</a></p>")
    });
    let end_others = button(
        &frame,
        session,
        "/security/sessions/end-others",
        "End all other sessions",
    );
    Ok(format!(
        r#"<section aria-labelledby="sessions">
<h2 id="sessions">Sessions</h2>
<p>Each login starts a session. End those that you do not know, and change your password then.</p>
<ul class="rows">
{rows}</ul>{more}
{end_others}
</section>"#
    ))
}

fn crowded(frame: &Frame<'_>, reason: NoRoom) -> Response {
    let words = "Too many pages are requested at this moment. Please try again.";
    let page = trouble::page(frame, reason.status(), words);
    retry_later(page, NoRoom::RETRY_AFTER)
}

/// `application` is the name of the application that the session is for.
fn row(
    frame: &Frame<'_>,
    current: &BrowserSession,
    live: &LiveSession,
    application: Option<&str>,
) -> String {
    let LiveSession {
        session,
        address,
        device,
    } = live;
    let device = Device(device.as_deref().unwrap_or_default()).to_string();
    let device = Escaped(&device);
    let address = address.as_ref().map_or_else(String::new, |address| {
        format!(", from {}", Escaped(address))
    });
    let interface = match session.contract {
        None | Some(ContractName::Authlog) => String::new(),
        Some(ContractName::OAuth) => {
            let name = application.unwrap_or_default();
            format!(", for <strong>{}</strong>", Escaped(name))
        }
        Some(ContractName::Cli) => ", at the command line".to_owned(),
        Some(ContractName::ApiAuth) => ", at /api/auth".to_owned(),
        Some(ContractName::Users) => ", at /users".to_owned(),
        Some(ContractName::Api) => ", at /api".to_owned(),
        Some(ContractName::V1Auth) => ", at /v1/auth".to_owned(),
    };
    let started = time_element(session.started_at);
    let end = if session.id == current.caller().session() {
        "<strong>This browser</strong>".to_owned()
    } else {
        let path = format!("/security/sessions/{}/end", session.id);
        let label =
            format!("End<span class=\"unseen\"> the session of {device}, started {started}</span>");
        button(frame, current, &path, &label)
    };
    format!("<li><span>{device}{address}{interface}<br>started {started}</span>\n{end}</li>\n")
}
