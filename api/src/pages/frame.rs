//! The frame of every page: its links, its headers and the person who is signed in.

use authlog_application::ports::Account;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY};
use axum::response::{Html, IntoResponse, Response};

use super::application::{Application, keep_opener};
use super::html::{Escaped, STYLE_DIGEST, document};
use super::script;
use crate::Api;

/// What holds for every page besides: it must not be framed. Pages load nothing, and send their forms to this service only, or on
/// to the application of [`Frame::leading_to`]. They run no script, with the exception of [`Frame::with_script`].
const POLICY: &str = "base-uri 'none'; frame-ancestors 'none'";

/// The frame of a page.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    /// The path of the public URL, below which all links lead.
    base: &'a str,
    /// The person who is signed in, if the page is for that person alone.
    person: Option<&'a Account>,
    /// Whether the address of the page holds a secret, which must not be sent anywhere as a referrer.
    has_secret_address: bool,
    /// Whether the page uses passkeys.
    has_script: bool,
    /// The source expression of the application at which a form of the page may end.
    form_action: Option<&'a str>,
    /// Whether an application may have opened the page in a window of its own, which it needs to reach.
    keeps_opener: bool,
}

impl<'a> Frame<'a> {
    /// A page for everyone.
    pub(super) fn of(api: &'a Api) -> Self {
        Self {
            base: &api.settings.cookies.path_prefix,
            person: None,
            has_secret_address: false,
            has_script: false,
            form_action: None,
            keeps_opener: false,
        }
    }

    /// A page that a mailed link opens.
    pub(super) fn of_link(api: &'a Api) -> Self {
        Self {
            has_secret_address: true,
            ..Self::of(api)
        }
    }

    /// A page of the person who is signed in to `account`.
    pub(super) fn of_person(api: &'a Api, account: &'a Account) -> Self {
        Self {
            person: Some(account),
            ..Self::of(api)
        }
    }

    /// A page without links, for an error that occurred before a handler ran.
    pub(super) const fn without_links() -> Self {
        Self {
            base: "",
            person: None,
            has_secret_address: true,
            has_script: false,
            form_action: None,
            keeps_opener: false,
        }
    }

    /// The same page on the way to an application: its form may end there.
    pub(super) fn leading_to(self, application: Option<&'a Application>) -> Self {
        Self {
            keeps_opener: application.is_some(),
            ..self.with_form_ending_at(application.map(|it| it.form_action.as_str()))
        }
    }

    /// The same page with a form that may end at this source expression.
    pub(super) fn with_form_ending_at(self, form_action: Option<&'a str>) -> Self {
        Self {
            form_action,
            ..self
        }
    }

    /// The same page in a window that an application opened.
    pub(super) const fn sharing_its_window(self) -> Self {
        Self {
            keeps_opener: true,
            ..self
        }
    }

    /// The same page with the script for passkeys, if it uses them.
    pub(super) const fn with_script(self, uses_passkeys: bool) -> Self {
        Self {
            has_script: uses_passkeys,
            ..self
        }
    }

    /// The path of the public URL, for links.
    pub(super) fn base(&self) -> Escaped<'a> {
        Escaped(self.base)
    }

    /// The page. `title` is plain text, `content` HTML.
    pub(super) fn page(&self, status: StatusCode, title: &str, content: &str) -> Response {
        let (script, allowed) = if self.has_script {
            // The script asks this service for challenges.
            let allowed = format!("; script-src '{}'; connect-src 'self'", script::DIGEST);
            (script::element(self.base()), allowed)
        } else {
            (String::new(), String::new())
        };
        let application = self
            .form_action
            .map_or_else(String::new, |source| format!(" {source}"));
        let policy = format!(
            "default-src 'none'; form-action 'self'{application}; {POLICY}; style-src '{STYLE_DIGEST}'{allowed}"
        );
        // Without a referrer, the browser would say that the forms of the page come from nowhere (`Origin: null`).
        let referrer = if self.has_secret_address {
            "no-referrer"
        } else {
            "same-origin"
        };
        let headers = [
            (CONTENT_SECURITY_POLICY, policy.as_str()),
            (REFERRER_POLICY, referrer),
        ];
        let html = Html(document(title, &script, &self.navigation(), content));
        let mut response = (status, headers, html).into_response();
        if self.keeps_opener {
            keep_opener(response.headers_mut());
        }
        response
    }

    fn navigation(&self) -> String {
        let Some(account) = self.person else {
            return String::new();
        };
        let (base, name) = (self.base(), Escaped(account.sign_in_name()));
        format!(
            r#"<header>
<p>Signed in as <strong>{name}</strong></p>
<nav aria-label="Account"><a href="{base}/security">Security</a> <a href="{base}/sign-out">Sign out</a></nav>
</header>
"#
        )
    }
}

/// The answer to a submitted form: the browser gets the page at `path`, so that reloading it submits nothing.
pub(super) fn see_other(api: &Api, path: &str) -> Response {
    let base = &api.settings.cookies.path_prefix;
    let location = [(LOCATION, format!("{base}{path}"))];
    (StatusCode::SEE_OTHER, location).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{an_account, text};

    #[test]
    fn a_page_runs_no_script_is_not_framed_and_submits_to_this_service() {
        let response = Frame::without_links().page(StatusCode::OK, "<Title>", "<p>text</p>");
        let expected = format!(
            "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; style-src '{STYLE_DIGEST}'"
        );
        assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], expected);
        assert_eq!(response.headers()[REFERRER_POLICY], "no-referrer");
        let html = text(response);
        assert!(html.contains("<h1>&lt;Title&gt;</h1>\n<p>text</p>"));
        assert!(!html.contains("<script") && !html.contains("<nav"));
    }

    #[test]
    fn the_links_of_a_page_lead_below_the_path_of_the_public_url() {
        let account = an_account();
        let frame = Frame {
            base: "/a\"b",
            person: Some(&account),
            has_secret_address: false,
            ..Frame::without_links()
        };
        let response = frame.page(StatusCode::OK, "Security", "");
        assert_eq!(response.headers()[REFERRER_POLICY], "same-origin");
        let html = text(response);
        assert!(html.contains(r#"href="/a&quot;b/security""#), "{html}");
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("<strong>ahmadsolih</strong>"), "{html}");
    }

    #[test]
    fn a_page_on_the_way_to_an_application_may_end_there_and_keeps_the_window() {
        let application = Application {
            name: "App".to_owned(),
            form_action: "https://app.example".to_owned(),
            login_hint: None,
            asks_again: false,
        };
        let frame = Frame::without_links().leading_to(Some(&application));
        let response = frame.page(StatusCode::OK, "Sign in", "");
        let policy = response.headers()[CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(
            policy.contains("; form-action 'self' https://app.example; "),
            "{policy}"
        );
        let opener = "cross-origin-opener-policy";
        assert_eq!(response.headers()[opener], "unsafe-none");
        let plain = Frame::without_links().page(StatusCode::OK, "Sign in", "");
        assert_eq!(plain.headers().get(opener), None);
    }

    #[test]
    fn a_page_with_passkeys_runs_one_script() {
        let frame = Frame::without_links().with_script(true);
        let response = frame.page(StatusCode::OK, "Sign in", "");
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str();
        let policy = policy.unwrap().to_owned();
        let (_, allowed) = policy.split_once("; script-src ").unwrap();
        let (digest, rest) = allowed.split_once("; ").unwrap();
        assert_eq!(rest, "connect-src 'self'");
        let digest = digest.trim_matches('\'');
        let html = text(response);
        assert_eq!(html.matches("<script").count(), 1);
        let path = script::PATH;
        let element =
            format!("<script type=\"module\" src=\"{path}\" integrity=\"{digest}\"></script>");
        assert!(html.contains(&element), "{html}");
    }
}
