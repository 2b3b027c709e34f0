//! The page on which a person confirms an e-mail address. It needs no JavaScript. To look at it confirms nothing: mail
//! scanners look, too.

use std::sync::Arc;

use authlog_application::{Link, Refusal, RequestContext};
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::reset_page::form::{NewPasswordForm, token_of_query};
use super::reset_page::html::Escaped;
use super::reset_page::pages::{Nonce, page};
use crate::Api;
use crate::exchange::{overloaded, read_body, retry_later, unavailable};

/// Shows the button, or that the link is no good.
pub(super) async fn show(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    let nonce = Nonce::generate(&*api.entropy);
    let token = token_of_query(uri.query());
    match api.authlog.read_link(&token).await {
        Ok(link) => button(StatusCode::OK, link, None, &token, &nonce),
        Err(refusal) => refused(refusal, &token, &nonce),
    }
}

/// Confirms the address, or says why not.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    request: Request,
) -> Response {
    let nonce = Nonce::generate(&*api.entropy);
    let media_type = "application/x-www-form-urlencoded";
    let form = match read_body(request, media_type).await {
        Ok(bytes) => NewPasswordForm::parse(&bytes),
        Err(failure) => {
            let content = r#"<p role="alert">The form could not be read. Please open the link in your e-mail again.</p>"#;
            return page(failure.status(), "That did not work", content, &nonce);
        }
    };
    match api.authlog.follow_link(&form.token, &context).await {
        Ok(link) => done(link, &nonce),
        Err(refusal) => refused(refusal, &form.token, &nonce),
    }
}

fn button(
    status: StatusCode,
    link: Link,
    trouble: Option<&str>,
    token: &str,
    nonce: &Nonce,
) -> Response {
    let what = match link {
        Link::Verifies => "Confirm that this e-mail address is yours.",
        Link::ChangesAddress => {
            "Confirm that this e-mail address is yours. Your account will use it from now on, instead of the one before."
        }
    };
    let alert = trouble.map_or_else(String::new, |trouble| {
        format!("<p role=\"alert\">{}</p>\n", Escaped(trouble))
    });
    let token = Escaped(token);
    let content = format!(
        r#"{alert}<p>{what}</p>
<form method="post" action="verify-email">
<input type="hidden" name="token" value="{token}">
<button type="submit">Confirm</button>
</form>"#
    );
    page(status, "Confirm your e-mail address", &content, nonce)
}

fn done(link: Link, nonce: &Nonce) -> Response {
    let content = match link {
        Link::Verifies => {
            r#"<p role="status">Your e-mail address is confirmed. You can close this page.</p>"#
        }
        Link::ChangesAddress => {
            r#"<p role="status">Your account has this e-mail address now. Sign in with it from now on. You can close this page.</p>"#
        }
    };
    page(StatusCode::OK, "E-mail address confirmed", content, nonce)
}

fn refused(refusal: Refusal, token: &str, nonce: &Nonce) -> Response {
    let later = |status| {
        let trouble = Some("This cannot be done right now. Please try again in a moment.");
        button(status, Link::Verifies, trouble, token, nonce)
    };
    match refusal {
        Refusal::IdentifierTaken(_) => {
            let content = r#"<p role="alert">This e-mail address belongs to an account already. Nothing was changed.</p>"#;
            page(StatusCode::CONFLICT, "That did not work", content, nonce)
        }
        Refusal::InvalidVerificationToken
        | Refusal::Invalid(_)
        | Refusal::WrongCredentials { .. }
        | Refusal::InvalidAccessToken
        | Refusal::Forbidden
        | Refusal::InvalidRefreshToken
        | Refusal::RefreshTokenReused
        | Refusal::InvalidResetToken
        | Refusal::UnknownAccount
        | Refusal::UnknownSession
        | Refusal::LastAdministrator => {
            let content = r#"<p role="alert">This link is not valid, has expired, or was used before.</p>
<p>Ask for a new one where you are signed in. Only the newest link works.</p>"#;
            let title = "This link no longer works";
            page(StatusCode::BAD_REQUEST, title, content, nonce)
        }
        Refusal::TooManyAttempts { retry_after } => {
            retry_later(later(StatusCode::TOO_MANY_REQUESTS), retry_after)
        }
        Refusal::Overloaded { retry_after } => {
            overloaded(later(StatusCode::SERVICE_UNAVAILABLE), retry_after)
        }
        Refusal::Unavailable(cause) => unavailable(later(StatusCode::SERVICE_UNAVAILABLE), &*cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own::reset_page::pages::Nonce;
    use crate::tests::{every_refusal, text};

    #[test]
    fn every_refusal_has_a_page_with_its_status() {
        let nonce = Nonce::generate(&crate::tests::NoEntropy);
        let statuses: Vec<u16> = every_refusal()
            .into_iter()
            .map(|refusal| refused(refusal, "token", &nonce).status().as_u16())
            .collect();
        assert_eq!(
            statuses,
            [
                400, 409, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 429, 503, 503
            ]
        );
    }

    #[test]
    fn the_button_keeps_the_token_and_nothing_else_of_it() {
        let nonce = Nonce::generate(&crate::tests::NoEntropy);
        let token = r#""><script>"#;
        let html = text(button(StatusCode::OK, Link::Verifies, None, token, &nonce));
        assert!(html.contains(r#"value="&quot;&gt;&lt;script&gt;""#));
        assert!(!html.contains("<script"));
    }
}
