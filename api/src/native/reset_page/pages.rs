//! The pages of a password reset: the form, the success and the errors.

use authlog_application::ports::Entropy;
use authlog_application::{Field, Refusal, Violation};
use authlog_domain::Flaw;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::response::{Html, IntoResponse, Response};

use super::html::{Escaped, document};
use crate::http::{RequestError, overloaded, retry_later, unavailable};

/// The nonce that allows the page's own style sheet, for one response (Content Security Policy).
pub(in crate::native) struct Nonce(String);

impl Nonce {
    /// A random nonce.
    pub(in crate::native) fn generate(entropy: &dyn Entropy) -> Self {
        Self(entropy.random_uuid().simple().to_string())
    }
}

/// The form for the new password, for a valid link.
pub(super) fn form(token: &str, username: &str, nonce: &Nonce) -> Response {
    form_page(StatusCode::OK, None, token, username, nonce)
}

/// The success.
pub(super) fn done(nonce: &Nonce) -> Response {
    let content = r#"<p role="status">Your new password is set. You have been signed out everywhere; sign in again with it.</p>
<p>You can close this page.</p>"#;
    page(StatusCode::OK, "Password changed", content, nonce)
}

/// The response to a refusal. If another attempt can succeed, it has the form with its token.
pub(super) fn refused(refusal: Refusal, token: &str, username: &str, nonce: &Nonce) -> Response {
    let later = |status| {
        let trouble = "The service is temporarily unavailable. Please try again in a moment.";
        form_page(status, Some(trouble), token, username, nonce)
    };
    match refusal {
        Refusal::Invalid(violations) => {
            let trouble = sentences(&violations);
            form_page(
                StatusCode::BAD_REQUEST,
                Some(&trouble),
                token,
                username,
                nonce,
            )
        }
        Refusal::InvalidResetToken
        | Refusal::IdentifierTaken(_)
        | Refusal::WrongCredentials { .. }
        | Refusal::InvalidAccessToken
        | Refusal::Forbidden
        | Refusal::InvalidRefreshToken
        | Refusal::RefreshTokenReused
        | Refusal::InvalidVerificationToken
        | Refusal::UnknownAccount
        | Refusal::UnknownSession
        | Refusal::SecondFactor(_)
        | Refusal::LastAdministrator => invalid_link(nonce),
        Refusal::TooManyAttempts { retry_after } => {
            let trouble = "Too many attempts. Please wait a moment and try again.";
            let status = StatusCode::TOO_MANY_REQUESTS;
            retry_later(
                form_page(status, Some(trouble), token, username, nonce),
                retry_after,
            )
        }
        Refusal::Overloaded { retry_after } => {
            overloaded(later(StatusCode::SERVICE_UNAVAILABLE), retry_after)
        }
        Refusal::Unavailable(cause) => unavailable(later(StatusCode::SERVICE_UNAVAILABLE), &*cause),
    }
}

/// The response to a form that could not be read. Browsers do not send such a form.
pub(in crate::native) fn failed(failure: RequestError, nonce: &Nonce) -> Response {
    let content = r#"<p role="alert">The form could not be read. Please open the link in your e-mail again.</p>"#;
    page(failure.status(), "That did not work", content, nonce)
}

fn invalid_link(nonce: &Nonce) -> Response {
    let content = r#"<p role="alert">This link is not valid, has expired, or was used before.</p>
<p>Ask for a new one where you sign in. Only the newest link works.</p>"#;
    page(
        StatusCode::BAD_REQUEST,
        "This link no longer works",
        content,
        nonce,
    )
}

fn sentences(violations: &[Violation]) -> String {
    violations
        .iter()
        .map(|violation| sentence(*violation))
        .collect::<Vec<_>>()
        .join(" ")
}

fn sentence(Violation { field, flaw }: Violation) -> String {
    match (flaw, field) {
        (Flaw::Mismatch, _) | (_, Field::PasswordConfirmation) => {
            "The passwords do not match. Please type the same one twice.".to_owned()
        }
        (Flaw::Required, _) => "Please type a new password.".to_owned(),
        (Flaw::TooShort { min }, _) => {
            format!("The password is too short. It must have at least {min} characters.")
        }
        (Flaw::TooLong { max }, _) => {
            format!("The password is too long. It must have at most {max} characters.")
        }
        (Flaw::Malformed | Flaw::IdShaped, _) => {
            "The password has characters that are not allowed.".to_owned()
        }
        (Flaw::Common, _) => {
            "Very many people have this password. A few unrelated words make a good one.".to_owned()
        }
        (Flaw::Breached, _) => {
            "This password is on a list of breached passwords, so others know it. A few unrelated words make a good one."
                .to_owned()
        }
        (Flaw::Guessable, _) => {
            "The password is too easy to guess. A few unrelated words make a good one.".to_owned()
        }
    }
}

/// The form. The hidden username tells a password manager to which account the new password belongs. `autofocus` is on
/// the first password, which a screen reader reads together with the error.
fn form_page(
    status: StatusCode,
    trouble: Option<&str>,
    token: &str,
    username: &str,
    nonce: &Nonce,
) -> Response {
    let (token, username) = (Escaped(token), Escaped(username));
    let (alert, described) = match trouble {
        Some(trouble) => (
            format!(
                "<p role=\"alert\" id=\"trouble\">{}</p>\n",
                Escaped(trouble)
            ),
            " aria-describedby=\"trouble\"",
        ),
        None => (String::new(), ""),
    };
    let content = format!(
        r#"{alert}<form method="post" action="reset-password">
<input type="hidden" name="token" value="{token}">
<input type="text" name="username" value="{username}" autocomplete="username" hidden>
<label for="password">New password</label>
<input type="password" id="password" name="password" autocomplete="new-password" required autofocus{described}>
<label for="password_confirmation">New password once more</label>
<input type="password" id="password_confirmation" name="password_confirmation" autocomplete="new-password" required>
<button type="submit">Set new password</button>
</form>"#
    );
    page(status, "Choose a new password", &content, nonce)
}

/// A page of this origin. It must not be framed, and must not send its address, which holds the token, to other sites.
pub(in crate::native) fn page(
    status: StatusCode,
    title: &str,
    content: &str,
    Nonce(nonce): &Nonce,
) -> Response {
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (CONTENT_SECURITY_POLICY, policy.as_str()),
        (REFERRER_POLICY, "no-referrer"),
    ];
    let html = Html(document(title, content, nonce));
    (status, headers, html).into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tests::{every_refusal, text};

    fn nonce() -> Nonce {
        Nonce("abc".to_owned())
    }

    #[test]
    fn the_form_needs_no_script_and_keeps_the_token() {
        let response = form(r#""><script>"#, r#""><b>"#, &nonce());
        assert_eq!(
            response.headers()[CONTENT_SECURITY_POLICY],
            "default-src 'none'; style-src 'nonce-abc'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        assert_eq!(response.headers()[REFERRER_POLICY], "no-referrer");
        let html = text(response);
        assert!(html.contains(r#"<style nonce="abc">"#));
        assert!(html.contains(r#"name="token" value="&quot;&gt;&lt;script&gt;""#));
        assert!(html.contains(r#"name="username" value="&quot;&gt;&lt;b&gt;""#));
        assert!(!html.contains("<script"));
        assert!(!html.contains("role=\"alert\""));
    }

    #[test]
    fn every_refusal_has_a_page_with_its_status() {
        let statuses: Vec<u16> = every_refusal()
            .into_iter()
            .map(|refusal| refused(refusal, "token", "ann", &nonce()).status().as_u16())
            .collect();
        assert_eq!(
            statuses,
            [
                400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 429, 503, 503
            ]
        );
    }

    #[test]
    fn a_refused_password_is_explained_and_can_be_retried() {
        for (flaw, word) in [
            (Flaw::TooShort { min: 7 }, "at least 7 characters"),
            (Flaw::TooLong { max: 256 }, "at most 256 characters"),
            (Flaw::Common, "Very many people"),
            (Flaw::Guessable, "too easy to guess"),
            (Flaw::Breached, "list of breached passwords"),
            (Flaw::Mismatch, "passwords do not match"),
            (Flaw::Malformed, "not allowed"),
            (Flaw::Required, "type a new password"),
        ] {
            let field = Field::Password;
            let refusal = Refusal::Invalid(vec![Violation { field, flaw }]);
            let html = text(refused(refusal, "the-token", "ann", &nonce()));
            assert!(html.contains("role=\"alert\""), "{word}");
            assert!(html.contains(word), "{word}");
            assert!(html.contains(r#"value="the-token""#), "{word}");
            assert!(html.contains(r#"value="ann""#), "{word}");
        }
    }

    #[test]
    fn an_invalid_link_has_no_form_and_an_overload_has_one() {
        let html = text(refused(
            Refusal::InvalidResetToken,
            "the-token",
            "ann",
            &nonce(),
        ));
        assert!(!html.contains("<form"));
        let retry_after = Duration::from_secs(3);
        let response = refused(
            Refusal::Overloaded { retry_after },
            "the-token",
            "ann",
            &nonce(),
        );
        assert_eq!(response.headers()["retry-after"], "3");
        assert!(text(response).contains("<form"));
    }
}
