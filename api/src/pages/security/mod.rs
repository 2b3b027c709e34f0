//! The page on which a person sees and changes how their account is protected. Each change has a page of its own below it,
//! which asks for the password.

pub(super) mod applications;
pub(super) mod authenticator;
pub(super) mod factors;
pub(super) mod passkey;
pub(super) mod password;
pub(super) mod recovery_codes;
pub(super) mod sessions;

use std::sync::Arc;

use authlog_application::ports::{Account, AssertionResponse};
use authlog_application::{BrowserSession, OwnerProof, Refusal, RequestContext, SecondFactorProof};
use authlog_domain::SessionId;
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use self::applications::application_list;
use self::factors::factor_section;
use self::sessions::session_list;
use super::cross_site::is_own_link;
use super::form::Form;
use super::frame::Frame;
use super::html::{Escaped, alert, first, hidden, password as password_field, status};
use super::passkey::{CREDENTIAL, Options, QUIET, WITHOUT_SCRIPT, answer, passkey_button};
use super::session::{FORM_TOKEN, Visitor};
use crate::Api;
use crate::native::assertion;

/// What happened, as a page that redirects here names it.
const NOTICES: [(&str, &str); 9] = [
    (
        "password",
        "Your password is changed. All other sessions have ended.",
    ),
    (
        "authenticator-added",
        "The authenticator app is added. From now on, signing in takes a code of it. Make recovery codes, in case you lose it.",
    ),
    (
        "passkey-added",
        "The passkey is added. From now on, your password alone does not sign in. Make recovery codes, in case you lose it.",
    ),
    (
        "passkey-unnamed",
        "The passkey is added, but not its name. You can name it below. Make recovery codes, in case you lose it.",
    ),
    ("factor-renamed", "The name is saved."),
    (
        "factor-removed",
        "The second factor is removed. All other sessions have ended.",
    ),
    (
        "application",
        "The application is signed out, and can no longer use your account.",
    ),
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
        let applications = match application_list(api, session).await {
            Ok(list) => list,
            Err(response) => return response,
        };
        let content = format!(
            r"{status}{alert}{password}
{factors}
{applications}{sessions}",
            status = status(self.notice),
            alert = alert(self.trouble),
            password = password_section(&frame),
            factors = factor_section(&frame, api, account),
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

/// A form of one button, for the person of this session. `label` is HTML.
fn button(frame: &Frame<'_>, session: &BrowserSession, path: &str, label: &str) -> String {
    let (base, path) = (frame.base(), Escaped(path));
    let token = hidden(FORM_TOKEN, &session.form_token());
    format!(
        r#"<form method="post" action="{base}{path}">{token}<button type="submit" class="quiet">{label}</button></form>"#
    )
}

/// What a person shows to change how the account is protected, as the fields of [`proof_fields`] and [`passkey_proof`] have it.
struct Shown<'a> {
    form: &'a Form,
    assertion: Option<AssertionResponse>,
}

impl<'a> Shown<'a> {
    /// # Errors
    /// [`PasskeyRefusal::Malformed`](authlog_application::PasskeyRefusal::Malformed).
    fn in_form(form: &'a Form) -> Result<Self, Refusal> {
        let is_sent = !form.text(CREDENTIAL).is_empty();
        let assertion = is_sent.then(|| answer(form, assertion)).transpose()?;
        Ok(Self { form, assertion })
    }

    /// A code of an authenticator app consists of digits, and a recovery code has letters, too.
    fn proof(&self) -> OwnerProof<'_> {
        let code = self.form.text("factor");
        let is_of_app = code.chars().all(|it| it.is_ascii_digit() || it == ' ');
        let second_factor = match &self.assertion {
            Some(response) => Some(SecondFactorProof::Passkey {
                challenge: self.form.text("challenge"),
                response,
            }),
            None if code.trim().is_empty() => None,
            None if is_of_app => Some(SecondFactorProof::Code(code)),
            None => Some(SecondFactorProof::RecoveryCode(code)),
        };
        OwnerProof {
            password: self.form.sent("password"),
            second_factor,
        }
    }
}

/// The fields for [`Shown`]: the password and, if the account has second factors, a code.
fn proof_fields(account: &Account, label: &str, trouble: Option<&str>) -> String {
    let password = password_field("password", label, "current-password", first(trouble));
    let factors = &account.second_factors;
    if factors.is_empty() {
        return password;
    }
    let has_recovery_codes = factors.recovery_codes.is_some_and(|codes| codes.left > 0);
    let label = match (factors.totp.is_empty(), has_recovery_codes) {
        (false, _) => "Code of your authenticator app, or a recovery code",
        (true, true) => "Recovery code",
        (true, false) => {
            return format!(
                "{password}\n{WITHOUT_SCRIPT}<p>Use your passkey, unless you did in the last ten minutes.</p>"
            );
        }
    };
    format!(
        r#"{password}
<label for="factor">{label}</label>
<input type="text" id="factor" name="factor" autocomplete="one-time-code" spellcheck="false" aria-describedby="when">
<p id="when">Leave it empty if you showed a second factor in the last ten minutes.</p>"#
    )
}

/// The button for [`Shown`] with a passkey, if the account has one that can be used here.
fn passkey_proof(frame: &Frame<'_>, can_use: bool) -> String {
    if !can_use {
        return String::new();
    }
    let options = Options::At("/security/passkey/options");
    let button = passkey_button(frame, &options, QUIET, "Continue with a passkey");
    format!("\n{}\n{button}", hidden("challenge", ""))
}

/// Whether the account has a passkey that can be used here.
fn can_use_passkey(api: &Api, account: &Account) -> bool {
    api.authlog.offers_passkeys() && !account.second_factors.passkeys.is_empty()
}

/// What a page says of a wrong password.
const WRONG_PASSWORD: &str = "The password is wrong.";

/// A page with a form that asks for the password of the account.
struct PasswordPage<'a> {
    title: &'a str,
    /// The path of the form.
    path: &'a str,
    /// What comes before the form, in HTML.
    intro: &'a str,
    button: &'a str,
}

impl PasswordPage<'_> {
    fn show(
        &self,
        api: &Api,
        session: &BrowserSession,
        status: StatusCode,
        trouble: Option<&str>,
    ) -> Response {
        let account = session.account();
        let can_use_passkey = can_use_passkey(api, account);
        let frame = Frame::of_person(api, account).with_script(can_use_passkey);
        let content = format!(
            r#"{alert}{intro}
<form method="post" action="{base}{path}">
{token}
<input type="text" name="username" value="{username}" autocomplete="username" hidden>
{proof}
<button type="submit">{button}</button>{passkey}
</form>
{back}"#,
            alert = alert(trouble),
            intro = self.intro,
            base = frame.base(),
            path = Escaped(self.path),
            token = hidden(FORM_TOKEN, &session.form_token()),
            username = Escaped(account.sign_in_name()),
            proof = proof_fields(account, "Your password", trouble),
            button = self.button,
            passkey = passkey_proof(&frame, can_use_passkey),
            back = back(&frame),
        );
        frame.page(status, self.title, &content)
    }
}

/// The link back to the overview.
fn back(frame: &Frame<'_>) -> String {
    format!("<p><a href=\"{}/security\">Back</a></p>", frame.base())
}
