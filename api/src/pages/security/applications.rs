//! The list of the applications that may use a person's account, and the buttons that withdraw that.

use std::sync::Arc;

use authlog_application::{BrowserSession, Refusal, RequestContext};
use authlog_domain::user::Consent;
use authlog_domain::{ClientId, Scopes};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::consent::scope_in_words;
use super::super::frame::{Frame, see_other};
use super::super::html::Escaped;
use super::super::session::{IdInPath, VisitorsForm};
use super::super::{time_element, trouble};
use super::{Overview, button, with_notice};
use crate::Api;

/// Withdraws the consent to an application, which ends its sessions.
pub(in crate::pages) async fn withdraw(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    IdInPath(id): IdInPath,
    VisitorsForm(session, _): VisitorsForm,
) -> Response {
    let consents = &session.account().consents;
    let client = ClientId::parse(&id).ok();
    let Some(client) = client.filter(|client| consents.of(client).is_some()) else {
        let overview = Overview {
            status: StatusCode::NOT_FOUND,
            notice: None,
            trouble: Some("This application could not use your account."),
            after: None,
        };
        return overview.page(&api, &session, &context).await;
    };
    let caller = session.caller();
    match api
        .authlog
        .withdraw_consent(caller, &client, &context)
        .await
    {
        Ok(()) => see_other(&api, &with_notice("application")),
        Err(refusal) => refused(&Frame::of_person(&api, session.account()), refusal),
    }
}

/// The section with the applications; empty if there are none.
///
/// # Errors
/// The page that says why they cannot be shown.
pub(super) async fn application_list(
    api: &Api,
    session: &BrowserSession,
) -> Result<String, Response> {
    let account = session.account();
    if account.consents.is_empty() {
        return Ok(String::new());
    }
    let frame = Frame::of_person(api, account);
    let mut rows = String::new();
    for (id, consent) in account.consents.iter() {
        let name = name_of(api, id).await;
        let name = name.map_err(|refusal| refused(&frame, refusal))?;
        rows.push_str(&row(&frame, session, id, &name, consent));
    }
    Ok(format!(
        r#"<section aria-labelledby="applications">
<h2 id="applications">Applications</h2>
<p>These may use your account. If you withdraw it, they are signed out.</p>
<ul class="rows">
{rows}</ul>
</section>
"#
    ))
}

/// The name of an application. That of one that was removed is known no more, so it is its id.
pub(super) async fn name_of(api: &Api, id: &ClientId) -> Result<String, Refusal> {
    let client = api.authlog.client(id).await?;
    let name = client.as_ref().map(|it| it.settings.name.as_str());
    Ok(name.unwrap_or(id.as_str()).to_owned())
}

fn row(
    frame: &Frame<'_>,
    session: &BrowserSession,
    id: &ClientId,
    name: &str,
    consent: &Consent,
) -> String {
    let path = format!("/security/applications/{id}/withdraw");
    let name = Escaped(name);
    let label = format!("Withdraw<span class=\"unseen\"> what {name} may do</span>");
    let withdraw = button(frame, session, &path, &label);
    let given = time_element(consent.given_at);
    let scopes = in_words(&consent.scopes);
    format!(
        "<li><span><strong>{name}</strong><br>may {scopes}<br>allowed {given}</span>\n{withdraw}</li>\n"
    )
}

/// What the scopes permit, as HTML.
fn in_words(scopes: &Scopes) -> String {
    let words = scopes
        .iter()
        .map(|scope| match scope_in_words(scope.as_str()) {
            Some(words) => words.to_owned(),
            None => format!("use <code>{}</code>", Escaped(scope.as_str())),
        });
    words.collect::<Vec<_>>().join(", ")
}

fn refused(frame: &Frame<'_>, refusal: Refusal) -> Response {
    let page = |status, trouble: &str| trouble::page(frame, status, trouble);
    trouble::refused(refusal, "", page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_application_may_do_is_said_in_words() {
        let scopes = Scopes::parse("email openid a<b").unwrap();
        let expected = "use <code>a&lt;b</code>, see your e-mail address, recognise you";
        assert_eq!(in_words(&scopes), expected);
    }
}
