//! The list of a person's second factors, and the pages on which each is named and removed.

use std::sync::Arc;

use authlog_application::ports::Account;
use authlog_application::{BrowserSession, Refusal, RequestContext, SecondFactorRefusal};
use authlog_domain::{FactorId, FactorLabel, Timestamp};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::frame::{Frame, see_other};
use super::super::html::{Escaped, alert, first, hidden};
use super::super::session::{FORM_TOKEN, IdInPath, Visitor, VisitorsForm};
use super::super::{time_element, trouble};
use super::{PasswordPage, Shown, WRONG_PASSWORD, back, with_notice};
use crate::Api;

/// A second factor as people know it.
struct Factor<'a> {
    id: FactorId,
    kind: &'static str,
    /// What is known of its kind in addition.
    detail: &'static str,
    label: Option<&'a FactorLabel>,
    enrolled_at: Timestamp,
}

impl<'a> Factor<'a> {
    /// Those of an account: the apps, and then the passkeys.
    fn all(account: &'a Account) -> Vec<Self> {
        let factors = &account.second_factors;
        let apps = factors.totp.iter().map(|app| Self {
            id: app.factor,
            kind: "Authenticator app",
            detail: "",
            label: factors.labels.get(&app.factor),
            enrolled_at: app.enrolled_at,
        });
        let passkeys = factors.passkeys.iter().map(|passkey| Self {
            id: passkey.factor,
            kind: "Passkey",
            detail: if passkey.backup_eligible {
                ", synced between devices"
            } else {
                ", on one device"
            },
            label: factors.labels.get(&passkey.factor),
            enrolled_at: passkey.enrolled_at,
        });
        apps.chain(passkeys).collect()
    }

    fn find(account: &'a Account, id: &str) -> Option<Self> {
        let mut all = Self::all(account).into_iter();
        all.find(|factor| factor.id.to_string() == id)
    }

    /// What it is, in HTML.
    fn description(&self) -> String {
        let added = time_element(self.enrolled_at);
        format!("{}{}, added {added}", self.kind, self.detail)
    }

    /// Its name if it has one, in HTML.
    fn name(&self) -> Option<String> {
        let label = Escaped(self.label?.as_str());
        Some(format!("<strong>{label}</strong>"))
    }

    /// Its name and what it is, in HTML.
    fn line(&self) -> String {
        let name = self.name().map(|name| format!("{name}<br>"));
        format!("{}{}", name.unwrap_or_default(), self.description())
    }

    fn row(&self, base: Escaped<'_>) -> String {
        let (id, line) = (self.id, self.line());
        let name = self.name().unwrap_or_else(|| self.description());
        let link = |page, word| {
            format!(
                r#"<a href="{base}/security/factors/{id}/{page}">{word}<span class="unseen"> {name}</span></a>"#
            )
        };
        let (rename, remove) = (link("label", "Rename"), link("removal", "Remove"));
        format!("<li><span>{line}</span>\n{rename}\n{remove}</li>\n")
    }
}

/// The section with the second factors of the account.
pub(super) fn factor_section(frame: &Frame<'_>, api: &Api, account: &Account) -> String {
    let base = frame.base();
    let rows: String = Factor::all(account)
        .iter()
        .map(|factor| factor.row(base))
        .collect();
    let list = if rows.is_empty() {
        "<p>Your password alone signs in. With an authenticator app on your phone or with a passkey, a stolen password is not \
         enough.</p>\n"
            .to_owned()
    } else {
        format!("<ul class=\"rows\">\n{rows}</ul>\n")
    };
    let passkey = if api.authlog.offers_passkeys() {
        format!(r#"<p><a href="{base}/security/passkey">Add a passkey</a></p>"#)
    } else {
        "<p>This service has no passkeys, because its address has no host name.</p>".to_owned()
    };
    let recovery = if rows.is_empty() {
        String::new()
    } else {
        recovery_codes(frame, account)
    };
    format!(
        r#"<section aria-labelledby="factors">
<h2 id="factors">Second factors</h2>
{list}<p><a href="{base}/security/authenticator">Add an authenticator app</a></p>
{passkey}{recovery}
</section>"#
    )
}

fn recovery_codes(frame: &Frame<'_>, account: &Account) -> String {
    let codes = account.second_factors.recovery_codes.as_ref();
    let words = match codes.map_or(0, |codes| codes.left) {
        0 => "You have no recovery codes. Without them, you are locked out if you lose your second factor."
            .to_owned(),
        1 => "You have one recovery code left.".to_owned(),
        left => format!("You have {left} recovery codes left."),
    };
    format!(
        r#"
<h3>Recovery codes</h3>
<p>{words}</p>
<p><a href="{base}/security/recovery-codes">Make new recovery codes</a></p>"#,
        base = frame.base()
    )
}

/// Shows the form for the name of a factor.
pub(in crate::pages) async fn show_label(
    State(api): State<Arc<Api>>,
    Visitor(session): Visitor,
    IdInPath(id): IdInPath,
) -> Response {
    label_page(&api, &session, StatusCode::OK, None, &id)
}

/// Names the factor.
pub(in crate::pages) async fn rename(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    IdInPath(id): IdInPath,
    VisitorsForm(session, form): VisitorsForm,
) -> Response {
    let renamed = async {
        let (factor, label) = (factor_of(&id)?, form.text("label"));
        api.authlog
            .rename_own_factor(session.caller(), factor, label, &context)
            .await
    };
    match renamed.await {
        Ok(()) => see_other(&api, &with_notice("factor-renamed")),
        Err(refusal) => trouble::refused(refusal, "", |status, trouble| {
            label_page(&api, &session, status, Some(trouble), &id)
        }),
    }
}

/// Asks whether to remove the factor.
pub(in crate::pages) async fn show_removal(
    State(api): State<Arc<Api>>,
    Visitor(session): Visitor,
    IdInPath(id): IdInPath,
) -> Response {
    removal_page(&api, &session, StatusCode::OK, None, &id)
}

/// Removes the factor.
pub(in crate::pages) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    IdInPath(id): IdInPath,
    VisitorsForm(session, form): VisitorsForm,
) -> Response {
    let removed = async {
        let (factor, shown) = (factor_of(&id)?, Shown::in_form(&form)?);
        api.authlog
            .remove_own_factor(session.caller(), factor, shown.proof(), &context)
            .await
    };
    match removed.await {
        Ok(()) => see_other(&api, &with_notice("factor-removed")),
        Err(refusal) => trouble::refused(refusal, WRONG_PASSWORD, |status, trouble| {
            removal_page(&api, &session, status, Some(trouble), &id)
        }),
    }
}

fn factor_of(id: &str) -> Result<FactorId, Refusal> {
    FactorId::parse(id).ok_or(Refusal::SecondFactor(SecondFactorRefusal::Unknown))
}

/// The field for a name.
pub(super) fn label_field(value: &str, attributes: &str) -> String {
    format!(
        r#"<label for="label">Name</label>
<input type="text" id="label" name="label" value="{value}" maxlength="{max}" autocomplete="off"{attributes}>"#,
        value = Escaped(value),
        max = FactorLabel::MAX_LENGTH,
    )
}

fn label_page(
    api: &Api,
    session: &BrowserSession,
    status: StatusCode,
    trouble: Option<&str>,
    id: &str,
) -> Response {
    let account = session.account();
    let frame = Frame::of_person(api, account);
    let title = "Rename the second factor";
    let Some(factor) = Factor::find(account, id) else {
        return unknown(&frame, title);
    };
    let known = factor.label.map(FactorLabel::as_str).unwrap_or_default();
    let content = format!(
        r#"{alert}<p>{line}</p>
<form method="post" action="{base}/security/factors/{id}/label">
{token}
{field}
<button type="submit">Save the name</button>
</form>
{back}"#,
        alert = alert(trouble),
        line = factor.line(),
        base = frame.base(),
        id = factor.id,
        token = hidden(FORM_TOKEN, &session.form_token()),
        field = label_field(known, first(trouble)),
        back = back(&frame),
    );
    frame.page(status, title, &content)
}

fn removal_page(
    api: &Api,
    session: &BrowserSession,
    status: StatusCode,
    trouble: Option<&str>,
    id: &str,
) -> Response {
    let account = session.account();
    let title = "Remove the second factor";
    let Some(factor) = Factor::find(account, id) else {
        return unknown(&Frame::of_person(api, account), title);
    };
    let last = if account.second_factors.count() == 1 {
        "\n<p>Signing in takes the password alone then, and your recovery codes are removed, too.</p>"
    } else {
        ""
    };
    let page = PasswordPage {
        title,
        path: &format!("/security/factors/{}/removal", factor.id),
        intro: &format!("<p>{}</p>{last}", factor.line()),
        button: "Remove it",
    };
    page.show(api, session, status, trouble)
}

fn unknown(frame: &Frame<'_>, title: &str) -> Response {
    let trouble = "The account has no such second factor.";
    let content = format!("{}{}", alert(Some(trouble)), back(frame));
    frame.page(StatusCode::NOT_FOUND, title, &content)
}
