//! The page on which a person decides what an application may do.

use std::sync::Arc;

use authlog_application::{
    AuthorizationRefusal, AuthorizationRequest, BrowserSession, ConsentDemand, ConsentRefusal,
    RequestContext,
};
use authlog_domain::Audience;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use url::Url;

use super::application::Application;
use super::authorize::{CheckedRequest, Step, again};
use super::frame::Frame;
use super::html::{Escaped, hidden};
use super::session::{FORM_TOKEN, OwnForm, outdated, session_of};
use super::trouble;
use crate::Api;

/// The path of the form.
pub(super) const CONSENT: &str = "/consent";

/// The form that asks for consent to `request`, whose query goes along.
pub(super) fn consent_page(
    api: &Api,
    browser: &BrowserSession,
    request: &AuthorizationRequest,
    demand: &ConsentDemand,
    query: &str,
) -> Response {
    let application = Application::at(request.target());
    let frame = Frame::of_person(api, browser.account()).leading_to(Some(&application));
    let name = Escaped(&application.name);
    let scopes = scope_list(demand);
    let resources = places(&demand.client.settings.audiences);
    let content = format!(
        r#"<p><strong>{name}</strong> wants to use your account. It asks to:</p>
{scopes}{resources}<p>Either way you go back to <strong>{place}</strong>. You can take back what you allow under <a href="{base}/security">Security</a>.</p>
<form method="post" action="{base}{CONSENT}">
{token}
{request}
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny" class="quiet">Do not allow</button>
</form>"#,
        base = frame.base(),
        place = Escaped(&place_of(request.target().redirect_uri())),
        token = hidden(FORM_TOKEN, &browser.form_token()),
        request = hidden("request", query),
    );
    let title = format!("Allow {}?", application.name);
    frame.page(StatusCode::OK, &title, &content)
}

/// Records the decision, and goes back to the application. The request is checked once more, because the form may have been
/// open for long.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    OwnForm(form): OwnForm,
) -> Response {
    let query = form.text("request");
    let checked = match CheckedRequest::of(&api, query, Step::Decides).await {
        Ok(checked) => checked,
        Err(response) => return response,
    };
    let browser = match session_of(&api, &headers).await {
        Ok(Some(browser)) => browser,
        // The session has ended meanwhile.
        Ok(None) => return again(&api, &checked.query()),
        Err(failure) => {
            return checked.refused(&api, failure.into());
        }
    };
    // Another account may have signed in meanwhile, which was not asked.
    if !browser.has_made(form.text(FORM_TOKEN)) {
        return outdated(&Frame::of_person(&api, browser.account()));
    }
    match form.text("decision") {
        "allow" => {
            let given = api
                .authlog
                .give_consent(&checked.request, &browser, &context)
                .await;
            match given {
                Ok(outcome) => checked.answer(&api, Some(&browser), Ok(outcome)),
                Err(ConsentRefusal::Request(refusal)) => checked.refused(&api, refusal),
                Err(ConsentRefusal::TooManyConsents) => {
                    let frame = Frame::of_person(&api, browser.account());
                    too_many_consents(&frame.sharing_its_window())
                }
            }
        }
        "deny" => checked.refused(&api, AuthorizationRefusal::AccessDenied),
        _ => again(&api, &checked.query()),
    }
}

/// The page about an account with as many consents as it can have. The person can withdraw one and come back.
pub(super) fn too_many_consents(frame: &Frame<'_>) -> Response {
    let trouble = "Your account has allowed as many applications as it can.";
    let advice =
        "Withdraw what you no longer use under Security, and begin again at the application.";
    trouble::page_with_advice(frame, StatusCode::CONFLICT, trouble, advice)
}

/// What a scope permits, in the words of a person.
pub(super) fn scope_in_words(scope: &str) -> Option<&'static str> {
    Some(match scope {
        "openid" => "recognise you",
        "profile" => "see your name and your username",
        "email" => "see your e-mail address",
        "phone" => "see your telephone number",
        "address" => "see your postal address, which this service does not know",
        "offline_access" => "keep its access when you sign out here",
        _ => return None,
    })
}

/// What an application asks for, as a list.
pub(super) fn scope_list(demand: &ConsentDemand) -> String {
    let items = demand
        .scopes
        .iter()
        .map(|scope| scope_item(scope.as_str(), demand.given.contains(scope.as_str())));
    let items: String = items.collect();
    format!("<ul>\n{items}</ul>\n")
}

fn scope_item(scope: &str, is_given: bool) -> String {
    let words = match scope_in_words(scope) {
        Some(words) => words.to_owned(),
        None => format!("use <code>{}</code>", Escaped(scope)),
    };
    let note = if is_given {
        " (you allowed this before)"
    } else {
        ""
    };
    format!("<li>{words}{note}</li>\n")
}

/// Where the application can use what it is allowed: a consent covers scopes, at every resource server of the client.
pub(super) fn places(audiences: &[Audience]) -> String {
    if audiences.is_empty() {
        return String::new();
    }
    let items = audiences
        .iter()
        .map(|audience| format!("<li><code>{}</code></li>\n", Escaped(audience.as_str())));
    let items: String = items.collect();
    format!("<p>What you allow also holds at:</p>\n<ul>\n{items}</ul>\n")
}

/// Where a redirect URI leads, for a person: its host, or the scheme of an app.
fn place_of(redirect_uri: &str) -> String {
    let Ok(url) = Url::parse(redirect_uri) else {
        return redirect_uri.to_owned();
    };
    match url.host_str() {
        Some("localhost" | "127.0.0.1" | "[::1]") => "a program on this computer".to_owned(),
        Some(host) if matches!(url.scheme(), "http" | "https") => host.to_owned(),
        _ => format!("the app {}", url.scheme()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_explained_or_shown_as_it_is() {
        assert_eq!(
            scope_item("email", false),
            "<li>see your e-mail address</li>\n"
        );
        assert_eq!(
            scope_item("a<b>", true),
            "<li>use <code>a&lt;b&gt;</code> (you allowed this before)</li>\n"
        );
    }

    #[test]
    fn the_place_of_an_application_is_one_that_a_person_knows() {
        for (uri, place) in [
            ("https://app.example:8443/cb", "app.example"),
            ("http://127.0.0.1:4000/cb", "a program on this computer"),
            ("http://[::1]:4000/cb", "a program on this computer"),
            ("com.example.app:/cb", "the app com.example.app"),
            ("com.example.app://cb", "the app com.example.app"),
        ] {
            assert_eq!(place_of(uri), place);
        }
    }
}
