//! The page on which a person confirms an e-mail address. It needs no JavaScript. Opening it confirms nothing, because
//! mail scanners open links too. Access to the mailbox does not prove that the account belongs to the same person, so
//! the page names the account and asks for its password.

use std::sync::Arc;

use authlog_application::{Link, LinkOffer, LinkProof, Refusal, RequestContext};
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;

use super::reset_page::form::{LinkForm, token_of_query};
use super::reset_page::html::Escaped;
use super::reset_page::pages::{Nonce, failed, page};
use crate::Api;
use crate::http::{overloaded, presented_token, read_body, retry_later, unavailable};

/// The value of `action` with which a person requests a link to set a new password.
const FORGOTTEN: &str = "forgotten";

/// Shows the form, or that the link is invalid.
pub(super) async fn show(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    let nonce = Nonce::generate(&*api.entropy);
    let token = token_of_query(uri.query());
    match api.authlog.read_link(&token).await {
        Ok(offer) => form_page(StatusCode::OK, Some(&offer), None, &token, &nonce),
        Err(refusal) => refused(refusal, None, &token, &nonce),
    }
}

/// Confirms the address for a person who knows the account's password or is signed in to it, or explains why not. A
/// program that has signed the person in may send the access token along; then its session continues.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let nonce = Nonce::generate(&*api.entropy);
    let media_type = "application/x-www-form-urlencoded";
    let form = match read_body(request, media_type).await {
        Ok(bytes) => LinkForm::parse(&bytes),
        Err(failure) => return failed(failure, &nonce),
    };
    let offer = match api.authlog.read_link(&form.token).await {
        Ok(offer) => offer,
        Err(refusal) => return refused(refusal, None, &form.token, &nonce),
    };
    let answered = if form.action == FORGOTTEN {
        let asked = api.authlog.request_reset_by_link(&form.token, &context);
        asked.await.map(|()| reset_is_mailed(&nonce))
    } else {
        let proof = match presented_token(&headers) {
            "" => LinkProof::Password(&form.password),
            token => LinkProof::Session(token),
        };
        let keeps_session = matches!(proof, LinkProof::Session(_));
        let followed = api.authlog.follow_link(&form.token, proof, &context);
        followed.await.map(|link| done(link, keeps_session, &nonce))
    };
    answered.unwrap_or_else(|refusal| refused(refusal, Some(&offer), &form.token, &nonce))
}

/// The account for which the link was requested.
fn account(offer: &LinkOffer) -> String {
    let registered = offer.registered_at.to_the_minute();
    match &offer.username {
        Some(username) => format!(
            "the account <strong>{}</strong>, registered at {registered}",
            Escaped(username.as_str())
        ),
        None => format!("an account that was registered at {registered}"),
    }
}

fn explanation(offer: &LinkOffer) -> String {
    let account = account(offer);
    match offer.link {
        Link::Verifies => format!(
            "<p>This e-mail address was given for {account}. To confirm that both are yours, enter the password of the \
             account.</p>"
        ),
        Link::ChangesAddress => format!(
            "<p>{account} is to use this e-mail address from now on, instead of the one before. To confirm that both are \
             yours, enter the password of the account.</p>",
            account = capitalised(&account)
        ),
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

/// The alternative for a person who does not know the password, perhaps because another person registered the account.
fn forgotten(token: &Escaped<'_>) -> String {
    format!(
        r#"
<p>You do not know the password, or did not register this account? Request a link to set a new password; it is mailed to this
address. The account is yours then, and everyone who is signed in to it is signed out.</p>
<form method="post" action="verify-email">
<input type="hidden" name="token" value="{token}">
<button type="submit" name="action" value="{FORGOTTEN}">Set a new password</button>
</form>"#
    )
}

/// The form. `offer` is `None` if the link could not be looked up; the form keeps the token even then.
fn form_page(
    status: StatusCode,
    offer: Option<&LinkOffer>,
    trouble: Option<&str>,
    token: &str,
    nonce: &Nonce,
) -> Response {
    let alert = trouble.map_or_else(String::new, |trouble| {
        format!(
            "<p role=\"alert\" id=\"trouble\">{}</p>\n",
            Escaped(trouble)
        )
    });
    let described = trouble.map_or("", |_| " aria-describedby=\"trouble\"");
    let token = Escaped(token);
    let explanation = offer.map(explanation).unwrap_or_default();
    let forgotten = offer
        .filter(|offer| offer.link == Link::Verifies)
        .map(|_| forgotten(&token))
        .unwrap_or_default();
    let content = format!(
        r#"{alert}{explanation}
<form method="post" action="verify-email">
<input type="hidden" name="token" value="{token}">
<label for="password">Password of the account</label>
<input type="password" id="password" name="password" autocomplete="current-password" required autofocus{described}>
<button type="submit">Confirm</button>
</form>{forgotten}"#
    );
    page(status, "Confirm your e-mail address", &content, nonce)
}

fn reset_is_mailed(nonce: &Nonce) -> Response {
    let content = r#"<p role="status">A link to set a new password is on its way to this e-mail address. You can close this page.</p>"#;
    page(StatusCode::ACCEPTED, "Check your mail", content, nonce)
}

fn done(link: Link, keeps_session: bool, nonce: &Nonce) -> Response {
    let changed = match link {
        Link::Verifies => "Your e-mail address is confirmed.",
        Link::ChangesAddress => {
            "Your account has this e-mail address now. Sign in with it from now on."
        }
    };
    let ended = if keeps_session {
        "Every other session of the account has ended."
    } else {
        "Every session of the account has ended: please sign in again."
    };
    let content = format!(r#"<p role="status">{changed} {ended} You can close this page.</p>"#);
    page(StatusCode::OK, "E-mail address confirmed", &content, nonce)
}

fn refused(refusal: Refusal, offer: Option<&LinkOffer>, token: &str, nonce: &Nonce) -> Response {
    let again = |status, trouble| form_page(status, offer, Some(trouble), token, nonce);
    let later = |status| {
        let trouble = "The service is temporarily unavailable. Please try again in a moment.";
        again(status, trouble)
    };
    match refusal {
        Refusal::Invalid(_) => again(
            StatusCode::BAD_REQUEST,
            "Please enter the password of the account.",
        ),
        Refusal::WrongCredentials { .. } => again(StatusCode::FORBIDDEN, "The password is wrong."),
        Refusal::IdentifierTaken(_) => {
            let content = r#"<p role="alert">This e-mail address belongs to an account already. Nothing was changed.</p>"#;
            page(StatusCode::CONFLICT, "That did not work", content, nonce)
        }
        Refusal::InvalidVerificationToken
        | Refusal::InvalidAccessToken
        | Refusal::Forbidden
        | Refusal::InvalidRefreshToken
        | Refusal::RefreshTokenReused
        | Refusal::InvalidResetToken
        | Refusal::UnknownAccount
        | Refusal::UnknownSession
        | Refusal::SecondFactor(_)
        | Refusal::LastAdministrator => {
            let content = r#"<p role="alert">This link is not valid, has expired, or was used before.</p>
<p>Ask for a new one where you are signed in. Only the newest link works.</p>"#;
            let title = "This link no longer works";
            page(StatusCode::BAD_REQUEST, title, content, nonce)
        }
        Refusal::TooManyAttempts { retry_after } => {
            let trouble = "Too many attempts. Please wait a moment and try again.";
            let page = again(StatusCode::TOO_MANY_REQUESTS, trouble);
            retry_later(page, retry_after)
        }
        Refusal::Overloaded { retry_after } => {
            overloaded(later(StatusCode::SERVICE_UNAVAILABLE), retry_after)
        }
        Refusal::Unavailable(cause) => unavailable(later(StatusCode::SERVICE_UNAVAILABLE), &*cause),
    }
}

#[cfg(test)]
mod tests {
    use authlog_domain::{Timestamp, Username};

    use super::*;
    use crate::native::reset_page::pages::Nonce;
    use crate::tests::{every_refusal, text};

    fn offer(link: Link) -> LinkOffer {
        LinkOffer {
            link,
            username: Username::parse("ann-b").ok(),
            registered_at: Timestamp::from_unix_millis(0),
        }
    }

    #[test]
    fn every_refusal_has_a_page_with_its_status() {
        let nonce = Nonce::generate(&crate::tests::NoEntropy);
        let offer = offer(Link::Verifies);
        let statuses: Vec<u16> = every_refusal()
            .into_iter()
            .map(|refusal| refused(refusal, Some(&offer), "token", &nonce))
            .map(|page| page.status().as_u16())
            .collect();
        assert_eq!(
            statuses,
            [
                400, 409, 403, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 429, 503, 503
            ]
        );
    }

    #[test]
    fn the_page_says_which_sessions_have_ended() {
        let nonce = Nonce::generate(&crate::tests::NoEntropy);
        for link in [Link::Verifies, Link::ChangesAddress] {
            let all = text(done(link, false, &nonce));
            assert!(
                all.contains("Every session of the account has ended"),
                "{all}"
            );
            let others = text(done(link, true, &nonce));
            assert!(
                others.contains("Every other session of the account has ended"),
                "{others}"
            );
        }
    }

    #[test]
    fn the_form_repeats_only_the_token_and_escapes_it() {
        let nonce = Nonce::generate(&crate::tests::NoEntropy);
        let token = r#""><script>"#;
        let offer = offer(Link::Verifies);
        let html = text(form_page(StatusCode::OK, Some(&offer), None, token, &nonce));
        assert_eq!(
            html.matches(r#"value="&quot;&gt;&lt;script&gt;""#).count(),
            2
        );
        assert!(!html.contains("<script"));
    }

    #[test]
    fn the_page_names_the_account_and_offers_a_reset_only_for_its_current_address() {
        let nonce = Nonce::generate(&crate::tests::NoEntropy);
        for (link, offers) in [(Link::Verifies, true), (Link::ChangesAddress, false)] {
            let offer = offer(link);
            let html = text(form_page(StatusCode::OK, Some(&offer), None, "t", &nonce));
            assert!(html.contains("<strong>ann-b</strong>, registered at 1970-01-01 00:00 UTC"));
            assert_eq!(html.contains("Set a new password"), offers, "{link:?}");
        }
    }
}
