//! What an application asks for: parameters in the URL, in a form, or those that it pushed (RFC 9126 §4).

use authlog_application::{Authlog, OpenedRequest};
use axum::extract::Request;
use axum::response::Response;

use super::application::on_the_way;
use super::frame::see_other;
use super::trouble;
use crate::Api;
use crate::http::read_body;
use crate::oauth2::{ASKED, Parameters, Unreadable};

/// The longest request, in bytes. The longest that clients send have an ID token hint and requested claims, and are half as
/// long.
pub(super) const LONGEST_REQUEST: usize = 8 * 1024;

/// What is said of a longer one.
pub(super) const TOO_LONG: &str = "The request of the application is too long.";

/// A request as the browser sent it, and what it asks for.
pub(super) struct Requested {
    /// What the browser sent. Of a pushed request, only what this service uses.
    sent: Parameters,
    /// What the client pushed, if it did.
    pushed: Option<Parameters>,
    /// Whether the request was pushed too long ago to begin.
    has_expired: bool,
}

/// Why nothing is known that a page could lead to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// A parameter cannot be read.
    Unreadable(Unreadable),
    /// The URL is longer than [`LONGEST_REQUEST`].
    TooLong,
    /// The `request_uri` is not one of this service, is another client's, or was pushed too long ago.
    NotPushed,
}

impl From<Unreadable> for Unusable {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable(unreadable)
    }
}

impl Requested {
    /// The request in the query of the authorization endpoint.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub(super) fn parse(api: &Api, query: &str) -> Result<Self, Unusable> {
        let sent = Parameters::parse(query.as_bytes())?;
        if sent.encoded_with(ASKED, None).len() > LONGEST_REQUEST {
            return Err(Unusable::TooLong);
        }
        match pushed_uri(&sent)? {
            None => Ok(Self {
                sent,
                pushed: None,
                has_expired: false,
            }),
            Some(uri) => Self::opened(api, &sent, uri),
        }
    }

    /// All other parameters that the browser sent are ignored: the client did not push them (RFC 9126 §4, RFC 9101 §5).
    fn opened(api: &Api, sent: &Parameters, uri: &str) -> Result<Self, Unusable> {
        let client = sent.required("client_id")?;
        let opened = api.authlog.open_pushed(client, uri);
        let OpenedRequest {
            parameters,
            has_expired,
        } = opened.ok_or(Unusable::NotPushed)?;
        let mut pushed = Parameters::of(parameters);
        pushed.set("client_id", client);
        if let Some(asked) = sent.optional(ASKED)? {
            pushed.set(ASKED, asked);
        }
        Ok(Self {
            sent: sent.only(&["client_id", "request_uri", ASKED]),
            pushed: Some(pushed),
            has_expired,
        })
    }

    /// What the application asks for.
    pub(super) fn parameters(&self) -> &Parameters {
        self.pushed.as_ref().unwrap_or(&self.sent)
    }

    /// Whether the client pushed it.
    pub(super) fn is_pushed(&self) -> bool {
        self.pushed.is_some()
    }

    /// Whether it was pushed too long ago to begin.
    pub(super) fn has_expired(&self) -> bool {
        self.has_expired
    }

    /// The query with which the browser comes back.
    pub(super) fn query(&self) -> String {
        self.sent.encoded()
    }

    /// The query with this value of `authlog_asked`.
    pub(super) fn query_with(&self, asked: &str) -> String {
        self.sent.encoded_with(ASKED, Some(asked))
    }
}

/// The query that says the same as a form and the query of its address. The parameters are encoded again, because a form may hold
/// bytes that no URL has.
///
/// # Errors
/// The page that says what is wrong. `error_page` makes it of a sentence.
pub(super) async fn query_of_post(
    api: &Api,
    query: Option<String>,
    request: Request,
    error_page: fn(&Api, &str) -> Response,
) -> Result<String, Response> {
    let form = read_body(request, "application/x-www-form-urlencoded").await;
    let form = form.map_err(|failure| trouble::failed(failure, api.now()))?;
    let query = query.unwrap_or_default();
    let sent = [query.as_bytes(), form.as_ref()].join(&b'&');
    let parameters = Parameters::parse(&sent);
    let parameters = parameters.map_err(|it| error_page(api, &it.sentence()))?;
    Ok(parameters.encoded())
}

/// The redirect to a request with this query, or the page of `error_page` if it is too long.
pub(super) fn redirect_to_get(
    api: &Api,
    path: &str,
    query: &str,
    error_page: fn(&Api, &str) -> Response,
) -> Response {
    // A client of HTTP may accept no longer header.
    if query.len() > 2 * LONGEST_REQUEST {
        return error_page(api, TOO_LONG);
    }
    on_the_way(see_other(api, &format!("{path}?{query}")))
}

/// The `request_uri`, if it has the form of this service. Any other one is a URL of the client's, which is not fetched.
fn pushed_uri(sent: &Parameters) -> Result<Option<&str>, Unreadable> {
    let mut values = sent.repeated("request_uri");
    if !values.any(Authlog::is_pushed) {
        return Ok(None);
    }
    sent.optional("request_uri")
}
