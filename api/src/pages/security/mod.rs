//! The page on which a person sees and changes how their account is protected. Each change has a page of its own below it,
//! which asks for the password.

pub(super) mod authenticator;
pub(super) mod password;
pub(super) mod recovery_codes;
pub(super) mod sessions;

use std::sync::Arc;

use authlog_application::ports::Account;
use authlog_application::{BrowserSession, OwnerProof, RequestContext, SecondFactorProof};
use authlog_domain::SessionId;
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use self::sessions::session_list;
use super::cross_site::is_own_link;
use super::form::Form;
use super::frame::Frame;
use super::html::{Escaped, alert, first, hidden, password as password_field, status};
use super::session::{FORM_TOKEN, Visitor};
use super::time_element;
use crate::Api;

/// What happened, as a page that redirects here names it.
const NOTICES: [(&str, &str); 5] = [
    (
        "password",
        "Your password is changed. All other sessions have ended.",
    ),
    (
        "authenticator-added",
        "The authenticator app is added. From now on, signing in takes a code of it. Make recovery codes, in case you lose it.",
    ),
    ("authenticator-removed", "The authenticator app is removed."),
    ("session", "The session has ended."),
    ("other-sessions", "All other sessions have ended."),
];

/// The address of this page, with what happened.
fn with_notice(name: &str) -> String {
    format!("/security?done={name}")
}

/// Shows the page.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    Visitor(session): Visitor,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = Form::of_query(query.as_deref());
    let after = SessionId::parse(query.text("after"));
    let done = query.text("done");
    let notice = NOTICES.iter().find(|(name, _)| *name == done);
    let notice = notice
        .filter(|_| is_own_link(&headers))
        .map(|(_, notice)| *notice);
    let overview = Overview {
        status: StatusCode::OK,
        notice,
        trouble: None,
        after,
    };
    overview.page(&api, &session, &context).await
}

/// The page, with what happened before.
struct Overview<'a> {
    status: StatusCode,
    notice: Option<&'a str>,
    trouble: Option<&'a str>,
    /// The session after which the list begins.
    after: Option<SessionId>,
}

impl Overview<'_> {
    async fn page(
        &self,
        api: &Api,
        session: &BrowserSession,
        context: &RequestContext,
    ) -> Response {
        let account = session.account();
        let frame = Frame::of_person(api, account);
        let sessions = match session_list(api, session, self.after, context).await {
            Ok(list) => list,
            Err(response) => return response,
        };
        let content = format!(
            r"{status}{alert}{password}
{factors}
{sessions}",
            status = status(self.notice),
            alert = alert(self.trouble),
            password = password_section(&frame),
            factors = factors(&frame, account),
        );
        frame.page(self.status, "Security", &content)
    }
}

fn password_section(frame: &Frame<'_>) -> String {
    format!(
        r#"<section aria-labelledby="password">
<h2 id="password">Password</h2>
<p><a href="{}/security/password">Change the password</a></p>
</section>"#,
        frame.base()
    )
}

fn factors(frame: &Frame<'_>, account: &Account) -> String {
    let base = frame.base();
    let factors = &account.second_factors;
    let apps: String = factors
        .totp
        .iter()
        .map(|totp| {
            let added = time_element(totp.enrolled_at);
            format!(
                r#"<li><span>Authenticator app, added {added}</span>
<a href="{base}/security/authenticator/{id}">Remove<span class="unseen"> the app that was added {added}</span></a></li>
"#,
                id = totp.factor
            )
        })
        .collect();
    let (apps, recovery) = if apps.is_empty() {
        let nothing = "<p>Your password alone signs in. With an authenticator app on your phone, a stolen password is not \
                       enough.</p>\n";
        (nothing.to_owned(), String::new())
    } else {
        let left = factors.recovery_codes.as_ref().map_or(0, |it| it.left);
        let words = match left {
            0 => {
                "You have no recovery codes. Without them, losing the app locks you out.".to_owned()
            }
            1 => "You have one recovery code left.".to_owned(),
            left => format!("You have {left} recovery codes left."),
        };
        let recovery = format!(
            r#"
<h3>Recovery codes</h3>
<p>{words}</p>
<p><a href="{base}/security/recovery-codes">Make new recovery codes</a></p>"#
        );
        (format!("<ul class=\"rows\">\n{apps}</ul>\n"), recovery)
    };
    format!(
        r#"<section aria-labelledby="factors">
<h2 id="factors">Second factors</h2>
{apps}<p><a href="{base}/security/authenticator">Add an authenticator app</a></p>{recovery}
</section>"#
    )
}

/// A form of one button, for the person of this session. `label` is HTML.
fn button(frame: &Frame<'_>, session: &BrowserSession, path: &str, label: &str) -> String {
    let (base, path) = (frame.base(), Escaped(path));
    let token = hidden(FORM_TOKEN, &session.form_token());
    format!(
        r#"<form method="post" action="{base}{path}">{token}<button type="submit" class="quiet">{label}</button></form>"#
    )
}

/// What a person shows to change how the account is protected, as the fields of [`proof_fields`] have it. A code of an
/// authenticator app consists of digits, and a recovery code has letters, too.
fn proof(form: &Form) -> OwnerProof<'_> {
    let code = form.sent("factor").filter(|code| !code.trim().is_empty());
    let is_of_app = |code: &str| code.chars().all(|it| it.is_ascii_digit() || it == ' ');
    OwnerProof {
        password: form.sent("password"),
        second_factor: code.map(|code| {
            if is_of_app(code) {
                SecondFactorProof::Code(code)
            } else {
                SecondFactorProof::RecoveryCode(code)
            }
        }),
    }
}

/// The fields for [`proof`].
fn proof_fields(account: &Account, label: &str, trouble: Option<&str>) -> String {
    let password = password_field("password", label, "current-password", first(trouble));
    if account.second_factors.is_empty() {
        return password;
    }
    format!(
        r#"{password}
<label for="factor">Code of your authenticator app, or a recovery code</label>
<input type="text" id="factor" name="factor" autocomplete="one-time-code" spellcheck="false" aria-describedby="when">
<p id="when">Leave it empty if you signed in with a code in the last ten minutes.</p>"#
    )
}

/// What a page says of a wrong password.
const WRONG_PASSWORD: &str = "The password is wrong.";

/// A form that asks for the password of the account. `intro` is HTML.
fn with_password(
    frame: &Frame<'_>,
    session: &BrowserSession,
    path: &str,
    trouble: Option<&str>,
    intro: &str,
    button: &str,
) -> String {
    format!(
        r#"{alert}{intro}
<form method="post" action="{base}{path}">
{token}
<input type="text" name="username" value="{username}" autocomplete="username" hidden>
{proof}
<button type="submit">{button}</button>
</form>
{back}"#,
        alert = alert(trouble),
        base = frame.base(),
        path = Escaped(path),
        token = hidden(FORM_TOKEN, &session.form_token()),
        username = Escaped(session.account().sign_in_name()),
        proof = proof_fields(session.account(), "Your password", trouble),
        back = back(frame),
    )
}

/// The link back to the overview.
fn back(frame: &Frame<'_>) -> String {
    format!("<p><a href=\"{}/security\">Back</a></p>", frame.base())
}
