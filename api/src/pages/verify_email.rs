//! The page on which a person confirms an e-mail address. It needs no JavaScript. Opening it confirms nothing, because
//! mail scanners open links too. Access to the mailbox does not prove that the account belongs to the same person, so
//! the page names the account and asks for its password, unless the browser is signed in to it.

use std::sync::Arc;

use authlog_application::{BrowserSession, Link, LinkOffer, LinkProof, Refusal, RequestContext};
use axum::Extension;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::form::Form;
use super::frame::Frame;
use super::html::{Escaped, alert, first, hidden, password};
use super::session::{FORM_TOKEN, read_form, session_of};
use super::trouble;
use crate::Api;
use crate::http::presented_token;

/// The value of `action` with which a person requests a link to set a new password.
const FORGOTTEN: &str = "forgotten";

/// What a link does, and what its page needs to know of the person in front of it.
struct Visit {
    offer: LinkOffer,
    /// The text for forms of the browser's session, if that is of the account. Then no password is asked for.
    form_token: Option<String>,
}

impl Visit {
    fn of(offer: LinkOffer, session: Option<&BrowserSession>) -> Self {
        Self {
            offer,
            form_token: session.map(BrowserSession::form_token),
        }
    }
}

/// The link of this token, and the session of the browser if the person is signed in to the account of the link.
async fn visit(
    api: &Api,
    headers: &HeaderMap,
    token: &str,
) -> Result<(Visit, Option<BrowserSession>), Refusal> {
    let offer = api.authlog.read_link(token).await?;
    let session = session_of(api, headers).await?;
    let own = session.filter(|session| session.account().id == offer.account);
    Ok((Visit::of(offer, own.as_ref()), own))
}

/// Shows the form, or that the link is invalid.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let frame = Frame::of_link(&api);
    let query = Form::of_query(query.as_deref());
    let token = query.text("token");
    match visit(&api, &headers, token).await {
        Ok((visit, _)) => form_page(&frame, StatusCode::OK, Some(&visit), None, token),
        Err(refusal) => refused(&frame, refusal, None, token),
    }
}

/// Confirms the address for a person who knows the account's password or is signed in to it, or explains why not. A browser
/// that is signed in shows so by a form that was made for its session. A program that has signed the person in may send the
/// access token along. Then the session continues.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let frame = Frame::of_link(&api);
    let form = match read_form(request, &api).await {
        Ok(form) => form,
        Err(failed) => return failed,
    };
    let token = form.text("token");
    let (visit, session) = match visit(&api, &headers, token).await {
        Ok(found) => found,
        Err(refusal) => return refused(&frame, refusal, None, token),
    };
    let answered = if form.text("action") == FORGOTTEN {
        let asked = api.authlog.request_reset_by_link(token, &context);
        asked.await.map(|()| reset_is_mailed(&frame))
    } else {
        let made_for = session.filter(|session| session.has_made(form.text(FORM_TOKEN)));
        let proof = match (presented_token(&headers), &made_for) {
            ("", Some(session)) => LinkProof::Browser(session),
            ("", None) => LinkProof::Password(form.text("password")),
            (access, _) => LinkProof::Session(access),
        };
        let followed = api.authlog.follow_link(token, proof, &context);
        followed.await.map(|link| done(&frame, link, proof))
    };
    answered.unwrap_or_else(|refusal| refused(&frame, refusal, Some(&visit), token))
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

fn explanation(visit: &Visit) -> String {
    let account = account(&visit.offer);
    let confirm = match visit.form_token {
        Some(_) => "You are signed in to it. Confirm that this address is yours.",
        None => "To confirm that both are yours, enter the password of the account.",
    };
    match visit.offer.link {
        Link::Verifies => {
            format!("<p>This e-mail address was given for {account}. {confirm}</p>")
        }
        Link::ChangesAddress => format!(
            "<p>{account} is to use this e-mail address from now on, instead of the one before. {confirm}</p>",
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
fn forgotten(frame: &Frame<'_>, token: &str) -> String {
    let (base, token) = (frame.base(), hidden("token", token));
    format!(
        r#"
<p>You do not know the password, or did not register this account? Request a link to set a new password; it is mailed to this
address. The account is yours then, and everyone who is signed in to it is signed out.</p>
<form method="post" action="{base}/verify-email">
{token}
<button type="submit" name="action" value="{FORGOTTEN}">Set a new password</button>
</form>"#
    )
}

/// The form. `visit` is `None` if the link could not be looked up; the form keeps the token even then.
fn form_page(
    frame: &Frame<'_>,
    status: StatusCode,
    visit: Option<&Visit>,
    trouble: Option<&str>,
    token: &str,
) -> Response {
    let forgotten = visit
        .filter(|visit| visit.offer.link == Link::Verifies)
        .map(|_| forgotten(frame, token))
        .unwrap_or_default();
    let proof = match visit.and_then(|visit| visit.form_token.as_deref()) {
        Some(form_token) => hidden(FORM_TOKEN, form_token),
        None => password(
            "password",
            "Password of the account",
            "current-password",
            first(trouble),
        ),
    };
    let content = format!(
        r#"{alert}{explanation}
<form method="post" action="{base}/verify-email">
{token}
{proof}
<button type="submit">Confirm</button>
</form>{forgotten}"#,
        alert = alert(trouble),
        explanation = visit.map(explanation).unwrap_or_default(),
        base = frame.base(),
        token = hidden("token", token),
    );
    frame.page(status, "Confirm your e-mail address", &content)
}

fn reset_is_mailed(frame: &Frame<'_>) -> Response {
    let content = r#"<p role="status">A link to set a new password is on its way to this e-mail address. You can close this page.</p>"#;
    frame.page(StatusCode::ACCEPTED, "Check your mail", content)
}

fn done(frame: &Frame<'_>, link: Link, proof: LinkProof<'_>) -> Response {
    let changed = match link {
        Link::Verifies => "Your e-mail address is confirmed.",
        Link::ChangesAddress => {
            "Your account has this e-mail address now. Sign in with it from now on."
        }
    };
    let ended = match proof {
        LinkProof::Session(_) | LinkProof::Browser(_) => {
            "Every other session of the account has ended."
        }
        LinkProof::Password(_) => "Every session of the account has ended: please sign in again.",
    };
    let (path, words) = match proof {
        LinkProof::Browser(_) => ("/security", "Go to your account"),
        LinkProof::Session(_) | LinkProof::Password(_) => ("/sign-in", "Sign in here"),
    };
    let content = format!(
        r#"<p role="status">{changed} {ended}</p>
<p><a href="{base}{path}">{words}</a>, or close this page.</p>"#,
        base = frame.base()
    );
    frame.page(StatusCode::OK, "E-mail address confirmed", &content)
}

fn refused(frame: &Frame<'_>, refusal: Refusal, visit: Option<&Visit>, token: &str) -> Response {
    let again = |status, trouble: &str| form_page(frame, status, visit, Some(trouble), token);
    match refusal {
        Refusal::Invalid(_) => {
            let is_signed_in = visit.is_some_and(|visit| visit.form_token.is_some());
            let words = if is_signed_in {
                "This page was out of date. Please confirm once more."
            } else {
                "Please enter the password of the account."
            };
            again(StatusCode::BAD_REQUEST, words)
        }
        Refusal::IdentifierTaken(_) => {
            let trouble = "This e-mail address belongs to an account already. Nothing was changed.";
            trouble::page(frame, StatusCode::CONFLICT, trouble)
        }
        Refusal::WrongCredentials { .. }
        | Refusal::TooManyAttempts { .. }
        | Refusal::Overloaded { .. }
        | Refusal::Unavailable(_) => trouble::refused(refusal, "The password is wrong.", again),
        _ => {
            let content = r#"<p role="alert">This link is not valid, has expired, or was used before.</p>
<p>Ask for a new one where you are signed in. Only the newest link works.</p>"#;
            let title = "This link no longer works";
            frame.page(StatusCode::BAD_REQUEST, title, content)
        }
    }
}

#[cfg(test)]
mod tests {
    use authlog_domain::{Timestamp, UserId, Username};
    use uuid::Uuid;

    use super::*;
    use crate::tests::{every_refusal, text};

    fn visit(link: Link) -> Visit {
        Visit {
            offer: LinkOffer {
                account: UserId::new(Uuid::nil()),
                link,
                username: Username::parse("ann-b").ok(),
                registered_at: Timestamp::from_unix_millis(0),
            },
            form_token: None,
        }
    }

    #[test]
    fn every_refusal_has_a_page_with_its_status() {
        let frame = Frame::without_links();
        let visit = visit(Link::Verifies);
        let statuses: Vec<u16> = every_refusal()
            .into_iter()
            .map(|refusal| refused(&frame, refusal, Some(&visit), "token"))
            .map(|page| page.status().as_u16())
            .collect();
        assert_eq!(
            statuses,
            [
                400, 400, 409, 403, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400,
                429, 503, 503
            ]
        );
    }

    #[test]
    fn the_page_says_which_sessions_have_ended() {
        let frame = Frame::without_links();
        for link in [Link::Verifies, Link::ChangesAddress] {
            let all = text(done(&frame, link, LinkProof::Password("")));
            assert!(
                all.contains("Every session of the account has ended"),
                "{all}"
            );
            let others = text(done(&frame, link, LinkProof::Session("")));
            assert!(
                others.contains("Every other session of the account has ended"),
                "{others}"
            );
        }
    }

    #[test]
    fn the_form_repeats_only_the_token_and_escapes_it() {
        let frame = Frame::without_links();
        let token = r#""><script>"#;
        let visit = visit(Link::Verifies);
        let html = text(form_page(&frame, StatusCode::OK, Some(&visit), None, token));
        assert_eq!(
            html.matches(r#"value="&quot;&gt;&lt;script&gt;""#).count(),
            2
        );
        assert!(!html.contains("<script"));
    }

    #[test]
    fn the_page_names_the_account_and_offers_a_reset_only_for_its_current_address() {
        let frame = Frame::without_links();
        for (link, offers) in [(Link::Verifies, true), (Link::ChangesAddress, false)] {
            let visit = visit(link);
            let html = text(form_page(&frame, StatusCode::OK, Some(&visit), None, "t"));
            assert!(html.contains("<strong>ann-b</strong>, registered at 1970-01-01 00:00 UTC"));
            assert_eq!(html.contains("Set a new password"), offers, "{link:?}");
        }
    }
}
