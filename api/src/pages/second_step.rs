//! The page on which a person shows the second factor, after the password was right.

use std::sync::Arc;

use authlog_application::{
    PasskeyChallenge, PasskeyRefusal, PendingSignIn, Refusal, RequestContext, SecondFactorRefusal,
    SecondStep, SignInMethod, SignedIn,
};
use authlog_domain::ContractName;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::application::Application;
use super::form::Form;
use super::frame::Frame;
use super::html::{alert, hidden};
use super::next::Next;
use super::passkey::{Options, WITHOUT_SCRIPT, answer, passkey_button};
use super::session::OwnForm;
use super::sign_in::{TERMS, code_field, finish, refused, with_next};
use super::trouble;
use crate::Api;
use crate::native::{AssertionOptionsOut, assertion};

/// Shows the page.
pub(super) async fn second_step(api: &Api, challenge: &str, next: &Next) -> Response {
    match Ways::of(api, challenge).await {
        Ok(ways) => {
            let application = Application::of(api, next).await;
            let application = application.as_ref();
            ways.page(api, StatusCode::OK, None, challenge, next, application)
        }
        Err(refusal) => refused(api, refusal, "", next).await,
    }
}

/// Checks the second factor.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    OwnForm(form): OwnForm,
) -> Response {
    let next = Next::or_security(form.text("next"));
    let refusal = match finish_sign_in(&api, &form, &context).await {
        Ok(signed_in) => return finish(&api, &headers, &signed_in, &next, &context).await,
        Err(refusal) => refusal,
    };
    // The passkey signs this challenge no more.
    if let Refusal::SecondFactor(SecondFactorRefusal::Passkey(PasskeyRefusal::ChallengeUsed)) =
        refusal
    {
        return refused(&api, refusal, "", &next).await;
    }
    let challenge = form.text("challenge");
    let application = Application::of(&api, &next).await;
    let application = application.as_ref();
    match Ways::of(&api, challenge).await {
        Ok(ways) => trouble::refused(refusal, "The code is wrong.", |status, trouble| {
            ways.page(&api, status, Some(trouble), challenge, &next, application)
        }),
        Err(expired) => refused(&api, expired, "", &next).await,
    }
}

async fn finish_sign_in(
    api: &Api,
    form: &Form,
    context: &RequestContext,
) -> Result<SignedIn, Refusal> {
    let pending = pending(api, form.text("challenge"))?;
    let response;
    let step = if let Some(code) = form.sent("recovery_code") {
        SecondStep::RecoveryCode(code)
    } else if let Some(code) = form.sent("code") {
        SecondStep::Code(code)
    } else {
        response = answer(form, assertion)?;
        SecondStep::Passkey(&response)
    };
    api.authlog
        .finish_sign_in(&pending, step, &TERMS, context)
        .await
}

/// The login that waits. One that began at a contract has another answer.
fn pending(api: &Api, challenge: &str) -> Result<PendingSignIn, Refusal> {
    let pending = api.authlog.pending_sign_in(challenge)?;
    if pending.contract() == ContractName::Authlog {
        Ok(pending)
    } else {
        Err(Refusal::SecondFactor(SecondFactorRefusal::Expired))
    }
}

/// What the login can be finished with.
struct Ways {
    methods: Vec<SignInMethod>,
    passkeys: Option<PasskeyChallenge>,
}

impl Ways {
    async fn of(api: &Api, challenge: &str) -> Result<Self, Refusal> {
        let pending = pending(api, challenge)?;
        let (methods, passkeys) = api.authlog.ways_to_finish(&pending).await?;
        Ok(Self { methods, passkeys })
    }

    /// The page. The challenge stays in it, so that several tabs can sign in.
    fn page(
        &self,
        api: &Api,
        status: StatusCode,
        trouble: Option<&str>,
        challenge: &str,
        next: &Next,
        application: Option<&Application>,
    ) -> Response {
        let frame = Frame::of(api)
            .with_script(self.passkeys.is_some())
            .leading_to(application);
        let base = frame.base();
        let kept = [
            hidden("challenge", challenge),
            hidden("next", next.as_str()),
        ]
        .join("\n");
        let form = |fields: &str| {
            format!(
                r#"<form method="post" action="{base}/sign-in/code">
{kept}
{fields}
</form>
"#
            )
        };
        let passkey = self.passkeys.as_ref().map(|passkeys| {
            let options = Options::here(&AssertionOptionsOut::second_step(passkeys));
            let button = passkey_button(&frame, &options, "", "Use a passkey");
            form(&button)
        });
        let code = self.methods.contains(&SignInMethod::Totp).then(|| {
            let field = code_field(trouble);
            form(&format!(
                "{field}\n<button type=\"submit\">Continue</button>"
            ))
        });
        let recovery = self
            .methods
            .contains(&SignInMethod::Recovery)
            .then(|| format!("{RECOVERY}{}", form(RECOVERY_FIELD)));
        let without_script = match (&passkey, &code) {
            (Some(_), None) => WITHOUT_SCRIPT,
            (None, None) => WITHOUT_PASSKEYS,
            _ => "",
        };
        let content = format!(
            r#"{alert}<p>Your password was right. Your account has a second factor as well.</p>
{without_script}{passkey}{code}{recovery}<p><a href="{base}{begin}">Begin again</a></p>"#,
            begin = with_next("/sign-in", next),
            alert = alert(trouble),
            passkey = passkey.unwrap_or_default(),
            code = code.unwrap_or_default(),
            recovery = recovery.unwrap_or_default(),
        );
        frame.page(status, "Second step", &content)
    }
}

/// For a person whose only second factor is a passkey, if the service has no passkeys.
const WITHOUT_PASSKEYS: &str = "<p>It is a passkey, and this service has no passkeys, because its address has no host name.</p>";

const RECOVERY: &str =
    "<h2>Without your second factor</h2>\n<p>Each recovery code works once.</p>\n";

const RECOVERY_FIELD: &str = r#"<label for="recovery_code">Recovery code</label>
<input type="text" id="recovery_code" name="recovery_code" autocomplete="off" autocapitalize="characters" spellcheck="false" required>
<button type="submit" class="quiet">Use the recovery code</button>"#;
