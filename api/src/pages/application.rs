//! The application that sent a person to sign in here.

use authlog_application::AuthorizationTarget;
use axum::http::HeaderMap;
use axum::response::Response;

use super::next::Next;
use super::requested::Requested;
use crate::Api;
use crate::oauth2::{ASKED, KEEPS_OPENER, OPENER_POLICY, ResponseTarget};

/// An application to which signing in leads. Its redirect URI is registered.
pub(super) struct Application {
    /// Its name, for people.
    pub(super) name: String,
    /// Where a form of the pages may end, as a source expression.
    pub(super) form_action: String,
    /// `login_hint`: the name that the person probably signs in with.
    pub(super) login_hint: Option<String>,
    /// Whether the person has to sign in even if signed in.
    pub(super) asks_again: bool,
}

/// The longest `login_hint` that is used, in bytes: an e-mail address fits (RFC 5321 §4.5.3.1).
const LONGEST_HINT: usize = 320;

impl Application {
    /// The application whose authorization request `next` is. `None` for any other path, and for a request that will be
    /// answered with an error page.
    pub(super) async fn of(api: &Api, next: &Next) -> Option<Self> {
        let requested = Requested::parse(api, next.authorization_query()?).ok()?;
        let parameters = requested.parameters();
        let client = parameters.optional("client_id").ok()?;
        let redirect_uri = parameters.optional("redirect_uri").ok()?;
        let target = api.authlog.authorization_target(client, redirect_uri).await;
        let login_hint = parameters.optional("login_hint").ok()?;
        let login_hint = login_hint.filter(|hint| hint.len() <= LONGEST_HINT);
        Some(Self {
            login_hint: login_hint.map(str::to_owned),
            asks_again: parameters.repeated(ASKED).next().is_some(),
            ..Self::at(&target.ok()?)
        })
    }

    /// The application that is answered at `target`.
    pub(super) fn at(target: &AuthorizationTarget) -> Self {
        Self {
            name: target.client().settings.name.as_str().to_owned(),
            form_action: ResponseTarget::new(target.redirect_uri(), None).form_action(),
            login_hint: None,
            asks_again: false,
        }
    }
}

/// An answer on the way to an application. Every one of them keeps the window of the application.
pub(super) fn on_the_way(mut response: Response) -> Response {
    keep_opener(response.headers_mut());
    response
}

/// Lets the application keep its connection to the window that it opened.
pub(super) fn keep_opener(headers: &mut HeaderMap) {
    headers.insert(OPENER_POLICY, KEEPS_OPENER);
}
