//! The page on which a person lets a device sign in (RFC 8628 §3.3): the code that the device shows, and then the decision.
//!
//! Nothing is looked up or decided by a link, so a page of another site can neither guess codes nor approve a device.

use std::sync::Arc;

use authlog_application::{BrowserSession, DeviceRefusal, RequestContext, UserCode, WaitingDevice};
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::consent::{places, scope_list, too_many_consents};
use super::cross_site::is_own_link;
use super::form::Form;
use super::frame::{Frame, see_other};
use super::html::{Escaped, alert, first, hidden};
use super::session::{FORM_TOKEN, OwnForm, outdated, session_of, to_sign_in};
use super::trouble;
use crate::Api;

/// The path of the page, which people type.
pub(crate) const DEVICE: &str = "/device";

/// The path of the form with the decision.
pub(super) const DECISION: &str = "/device/decision";

/// The parameter and the field with the code (RFC 8628 §3.3.1).
const USER_CODE: &str = "user_code";

/// What is said of every code with which no device waits.
const UNKNOWN_CODE: &str =
    "No device waits with this code. It may be mistyped, have expired, or have been used.";

/// What is said to a person without a second factor whose role needs one.
const NEEDS_FACTOR: &str = "Your account needs a second factor before it can be used on a device: an authenticator app or a passkey.";

/// What happened, as the redirect after a decision names it: its title, and a sentence.
const DONE: [(&str, &str, &str); 2] = [
    (
        "allowed",
        "The device is allowed",
        "You can go back to your device. It is signed in within a few seconds.",
    ),
    (
        "denied",
        "The device is not allowed",
        "It was not signed in. You can close this page.",
    ),
];

/// Shows the form for the code. A link can fill it in, and no more.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = Form::of_query(query.as_deref());
    let done = query.text("done");
    let done = DONE.iter().find(|(name, ..)| *name == done);
    if let Some((_, title, sentence)) = done.filter(|_| is_own_link(&headers)) {
        let content = format!(r#"<p role="status">{sentence}</p>"#);
        return Frame::of(&api).page(StatusCode::OK, title, &content);
    }
    let typed = query.text(USER_CODE);
    match person(&api, &headers, typed).await {
        Ok(browser) => code_page(&api, &browser, StatusCode::OK, None, typed),
        Err(response) => response,
    }
}

/// Shows what the device with this code asks for.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    OwnForm(form): OwnForm,
) -> Response {
    let typed = form.text(USER_CODE);
    let browser = match person_with_form(&api, &headers, &form).await {
        Ok(browser) => browser,
        Err(response) => return response,
    };
    match api.authlog.waiting_device(&browser, typed, &context).await {
        Ok(device) => decision_page(&api, &browser, &device),
        Err(refusal) => refused(&api, &browser, refusal, typed),
    }
}

/// Records the decision. The device is looked up once more, because the form may have been open for long.
pub(super) async fn decide(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    OwnForm(form): OwnForm,
) -> Response {
    let typed = form.text(USER_CODE);
    let browser = match person_with_form(&api, &headers, &form).await {
        Ok(browser) => browser,
        Err(response) => return response,
    };
    let allows = match form.text("decision") {
        "allow" => Some(true),
        "deny" => Some(false),
        _ => None,
    };
    let device = api.authlog.waiting_device(&browser, typed, &context).await;
    let decided = match (device, allows) {
        (Ok(device), None) => return decision_page(&api, &browser, &device),
        (Ok(device), Some(true)) => {
            let approved = api.authlog.approve_device(device, &browser, &context);
            approved.await.map(|()| true)
        }
        (Ok(device), Some(false)) => {
            let denied = api.authlog.deny_device(device, &browser).await;
            denied.map(|()| false)
        }
        (Err(refusal), _) => Err(refusal),
    };
    match decided {
        Ok(allowed) => done(&api, allowed),
        // The person pressed the button twice, or the browser repeated the request.
        Err(DeviceRefusal::Decided { allowed }) if allows == Some(allowed) => done(&api, allowed),
        Err(refusal) => refused(&api, &browser, refusal, typed),
    }
}

fn done(api: &Api, allowed: bool) -> Response {
    let done = if allowed { "allowed" } else { "denied" };
    see_other(api, &format!("{DEVICE}?done={done}"))
}

/// The person who submitted a form of this page.
///
/// # Errors
/// The page that is shown instead.
async fn person_with_form(
    api: &Api,
    headers: &HeaderMap,
    form: &Form,
) -> Result<BrowserSession, Response> {
    let browser = person(api, headers, form.text(USER_CODE)).await?;
    // Another account may have signed in meanwhile.
    if browser.has_made(form.text(FORM_TOKEN)) {
        Ok(browser)
    } else {
        Err(outdated(&Frame::of_person(api, browser.account())))
    }
}

/// The person who is signed in. Another visitor is sent to sign in, and returns to this page with the code. A person who has to have a
/// second factor is asked to add one first.
///
/// # Errors
/// The redirect, the page that asks for a second factor, or the one about an outage.
async fn person(api: &Api, headers: &HeaderMap, typed: &str) -> Result<BrowserSession, Response> {
    match session_of(api, headers).await {
        Ok(Some(browser)) if api.authlog.lacks_second_factor(&browser) => {
            Err(factor_page(api, &browser, typed))
        }
        Ok(Some(browser)) => Ok(browser),
        Ok(None) => Err(to_sign_in(api, &with_code(typed))),
        Err(refusal) => {
            let page = |status, words: &str| trouble::page(&Frame::of(api), status, words);
            Err(trouble::refused(refusal, "", page))
        }
    }
}

/// The address of this page, with the code if it is one.
fn with_code(typed: &str) -> String {
    UserCode::parse(typed).map_or_else(
        || DEVICE.to_owned(),
        |code| format!("{DEVICE}?{USER_CODE}={code}"),
    )
}

fn refused(api: &Api, browser: &BrowserSession, refusal: DeviceRefusal, typed: &str) -> Response {
    let again = |status, trouble: &str| code_page(api, browser, status, Some(trouble), typed);
    match refusal {
        DeviceRefusal::UnknownCode | DeviceRefusal::Decided { .. } => {
            again(StatusCode::BAD_REQUEST, UNKNOWN_CODE)
        }
        DeviceRefusal::TooManyConsents => {
            too_many_consents(&Frame::of_person(api, browser.account()))
        }
        DeviceRefusal::Refused(refusal) => trouble::refused(refusal, "", again),
    }
}

/// What a person without a second factor has to do. The page of the code opens in this one once the factor is added.
fn factor_page(api: &Api, browser: &BrowserSession, typed: &str) -> Response {
    let frame = Frame::of_person(api, browser.account());
    let content = format!(
        r#"{alert}<p>Add one under <a href="{base}/security">Security</a>, and then <a href="{base}{back}">go on with the device</a>.</p>"#,
        alert = alert(Some(NEEDS_FACTOR)),
        base = frame.base(),
        back = with_code(typed),
    );
    frame.page(StatusCode::FORBIDDEN, "Add a second factor", &content)
}

/// The form for the code. It is filled in with what was typed, if that is a code.
fn code_page(
    api: &Api,
    browser: &BrowserSession,
    status: StatusCode,
    trouble: Option<&str>,
    typed: &str,
) -> Response {
    let frame = Frame::of_person(api, browser.account());
    let code = UserCode::parse(typed).map(|code| code.to_string());
    let content = format!(
        r#"{alert}<p>Type the code that your device shows.</p>
<form method="post" action="{base}{DEVICE}">
{token}
<label for="user_code">Code</label>
<input type="text" id="user_code" name="{USER_CODE}" value="{code}" autocomplete="off" autocapitalize="characters" spellcheck="false" required{first}>
<button type="submit">Continue</button>
</form>"#,
        alert = alert(trouble),
        base = frame.base(),
        token = hidden(FORM_TOKEN, &browser.form_token()),
        code = code.unwrap_or_default(),
        first = first(trouble),
    );
    frame.page(status, "Sign in on a device", &content)
}

/// What a device asks for, and the buttons that decide about it. The person compares the code, because another person may have sent
/// it (RFC 8628 §5.4).
fn decision_page(api: &Api, browser: &BrowserSession, device: &WaitingDevice) -> Response {
    let frame = Frame::of_person(api, browser.account());
    let client = &device.demand.client.settings;
    let name = client.name.as_str();
    let scopes = if device.demand.scopes.is_empty() {
        String::new()
    } else {
        let list = scope_list(&device.demand);
        format!("<p>It asks to:</p>\n{list}")
    };
    let code = device.code.to_string();
    let content = format!(
        r#"<p><strong>{name}</strong> on a device wants to use your account. The device shows this code:</p>
<p><code>{code}</code></p>
<p><strong>Only continue if you see this code on your device.</strong> If another person gave you the code or a link with it, do not
allow it: they would get into your account.</p>
{scopes}{resources}<p>The device stays signed in when you sign out here. You can end that under <a href="{base}/security">Security</a>.</p>
<form method="post" action="{base}{DECISION}">
{token}
{hidden_code}
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny" class="quiet">Do not allow</button>
</form>"#,
        name = Escaped(name),
        resources = places(&client.audiences),
        base = frame.base(),
        token = hidden(FORM_TOKEN, &browser.form_token()),
        hidden_code = hidden(USER_CODE, &code),
    );
    frame.page(StatusCode::OK, &format!("Allow {name}?"), &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_code_comes_back_from_the_sign_in_page() {
        assert_eq!(with_code("wdjb mjht"), "/device?user_code=WDJB-MJHT");
        for typed in [
            "",
            "WDJB",
            "//evil.example",
            "WDJB-MJHT&next=//evil.example",
        ] {
            assert_eq!(with_code(typed), "/device");
        }
    }
}
