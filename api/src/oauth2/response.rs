//! The answer to an authorization or a logout request: a redirect to the application (RFC 6749 §4.1.2, RFC 9207).

use axum::http::header::LOCATION;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use url::{Origin, Url, form_urlencoded};

/// Whether a page shares its window with the page that opened it.
pub(crate) const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The policy of every answer on the way to an application: with any other one, an application that opened this service in a
/// window of its own would lose that window.
pub(crate) const KEEPS_OPENER: HeaderValue = HeaderValue::from_static("unsafe-none");

/// Where the answer goes: a redirect URI that is registered for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResponseTarget {
    redirect_uri: String,
    /// `state`, which goes back as it came.
    state: Option<String>,
}

impl ResponseTarget {
    /// The target at a redirect URI that was compared with those of the client.
    pub(crate) fn new(redirect_uri: &str, state: Option<&str>) -> Self {
        Self {
            redirect_uri: redirect_uri.to_owned(),
            state: state.map(str::to_owned),
        }
    }

    /// The redirect with a code.
    pub(crate) fn code(&self, code: &str, issuer: &str) -> Response {
        self.redirect(&[("code", code)], issuer)
    }

    /// The redirect with an error. `description` is a sentence for the developer of the application, of printable ASCII
    /// without quotes and backslashes (RFC 6749 §4.1.2.1).
    pub(crate) fn error(&self, code: &str, description: &str, issuer: &str) -> Response {
        let parameters = [("error", code), ("error_description", description)];
        self.redirect(&parameters, issuer)
    }

    /// The redirect after a logout, with `state` alone (OpenID Connect RP-Initiated Logout 1.0 §3).
    pub(crate) fn signed_out(&self) -> Response {
        see_other(self.location(&[], None))
    }

    fn redirect(&self, parameters: &[(&str, &str)], issuer: &str) -> Response {
        see_other(self.location(parameters, Some(issuer)))
    }

    /// The redirect URI with these parameters in addition to its own (RFC 6749 §3.1.2), `state` and `iss`.
    fn location(&self, parameters: &[(&str, &str)], issuer: Option<&str>) -> String {
        let uri = &self.redirect_uri;
        let state = self.state.as_deref().map(|state| ("state", state));
        let issuer = issuer.map(|issuer| ("iss", issuer));
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .extend_pairs(state)
            .extend_pairs(issuer)
            .finish();
        let separator = match uri.split_once('?') {
            _ if query.is_empty() => "",
            None => "?",
            Some((_, own)) if own.is_empty() || own.ends_with('&') => "",
            Some(_) => "&",
        };
        format!("{uri}{separator}{query}")
    }

    /// The source expression that allows a form of a page to end at the application (CSP Level 3 §2.3.1). Chromium applies
    /// `form-action` to the redirects that follow a form.
    pub(crate) fn form_action(&self) -> String {
        let url = Url::parse(&self.redirect_uri).ok();
        let origin = url.as_ref().map(Url::origin).filter(Origin::is_tuple);
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        // No source expression has an IPv6 address, and some characters of a host would end it.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        match origin.filter(|_| host.bytes().all(is_plain)) {
            Some(origin) => origin.ascii_serialization(),
            None => url.map_or_else(String::new, |url| format!("{}:", url.scheme())),
        }
    }
}

/// The redirect of a browser to an application.
fn see_other(location: String) -> Response {
    match HeaderValue::try_from(location) {
        Ok(location) => {
            let headers = [(LOCATION, location), (OPENER_POLICY, KEEPS_OPENER)];
            // With 303 the browser never repeats a form at the application (RFC 9700 §4.12).
            (StatusCode::SEE_OTHER, headers).into_response()
        }
        // A redirect URI is printable ASCII, so this does not happen.
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://auth.example/login";

    fn location(redirect_uri: &str, state: Option<&str>) -> String {
        let response = ResponseTarget::new(redirect_uri, state).code("c.1", ISSUER);
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        assert_eq!(response.headers()[OPENER_POLICY], "unsafe-none");
        response.headers()[LOCATION].to_str().unwrap().to_owned()
    }

    #[test]
    fn the_answer_is_added_to_the_query_of_the_redirect_uri() {
        let iss = "iss=https%3A%2F%2Fauth.example%2Flogin";
        for (uri, start) in [
            ("https://app.example/cb", "https://app.example/cb?"),
            ("https://app.example/cb?", "https://app.example/cb?"),
            ("https://app.example/cb?a=1", "https://app.example/cb?a=1&"),
            ("https://app.example/cb?a=1&", "https://app.example/cb?a=1&"),
            ("com.example.app:/cb", "com.example.app:/cb?"),
        ] {
            assert_eq!(location(uri, None), format!("{start}code=c.1&{iss}"));
        }
    }

    #[test]
    fn the_state_goes_back_as_it_came() {
        let answer = location("https://app.example/cb", Some("a b&c=\u{e4}\r\n#+\"<"));
        let url = Url::parse(&answer).unwrap();
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        assert_eq!(pairs[1].1, "a b&c=\u{e4}\r\n#+\"<");
        assert_eq!(url.fragment(), None);
        assert_eq!(pairs[2], ("iss".to_owned(), ISSUER.to_owned()));
    }

    #[test]
    fn after_a_logout_only_the_state_is_added() {
        for (uri, state, expected) in [
            ("https://app.example/", None, "https://app.example/"),
            ("https://app.example/?a=1", None, "https://app.example/?a=1"),
            (
                "https://app.example/?a=1",
                Some("x y"),
                "https://app.example/?a=1&state=x+y",
            ),
            (
                "https://app.example",
                Some("s"),
                "https://app.example?state=s",
            ),
        ] {
            let response = ResponseTarget::new(uri, state).signed_out();
            assert_eq!(response.status(), StatusCode::SEE_OTHER);
            assert_eq!(response.headers()[LOCATION], expected);
        }
    }

    #[test]
    fn an_error_has_its_code_and_a_sentence() {
        let target = ResponseTarget::new("https://app.example/cb", Some("s"));
        let response = target.error("login_required", "Sign in first.", ISSUER);
        assert_eq!(
            response.headers()[LOCATION],
            "https://app.example/cb?error=login_required&error_description=Sign+in+first.&state=s\
             &iss=https%3A%2F%2Fauth.example%2Flogin"
        );
    }

    #[test]
    fn a_form_may_end_at_the_origin_of_the_application() {
        for (uri, source) in [
            ("https://app.example/cb?x=1", "https://app.example"),
            ("https://app.example:8443/cb", "https://app.example:8443"),
            ("http://127.0.0.1:49152/cb", "http://127.0.0.1:49152"),
            ("http://localhost/cb", "http://localhost"),
            ("http://[::1]:49152/cb", "http:"),
            ("https://a;script-src.example/cb", "https:"),
            ("com.example.app:/cb", "com.example.app:"),
            ("com.example.app://cb", "com.example.app:"),
        ] {
            assert_eq!(ResponseTarget::new(uri, None).form_action(), source);
        }
    }
}
