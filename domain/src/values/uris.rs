//! The URIs of an OAuth client: where it receives answers, and for which resource servers it asks tokens.
//!
//! The text is kept as it was written, because redirect URIs are compared as strings (RFC 9700 section 4.1.3).

use serde::{Deserialize, Serialize};
use url::Url;

use super::{Flaw, public_text_value};

/// The longest URI, in bytes. Browsers and proxies accept several times as much, and the answer is added to it.
const MAX_LENGTH: usize = 512;

/// A URI to which the answer to an authorization request may be sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RedirectUri(String);
public_text_value!(RedirectUri);

impl RedirectUri {
    /// Parses an absolute URI without a fragment. Its scheme is `https`, `http` for a loopback address or `localhost`, or a
    /// private one with a dot, as a native app has it (RFC 8252 sections 7.1 and 7.3).
    ///
    /// # Errors
    /// The flaw of the text: missing, longer than 512 bytes, or no such URI.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let uri = absolute(text)?;
        let is_private = uri.scheme().contains('.') && has_no_user(&uri);
        if !(is_private || is_https_or_local(text, &uri)) {
            return Err(Flaw::Malformed);
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether an authorization request may name `requested`. Both are compared as strings, except for the port of a loopback
    /// address: a native app listens on a port that the system assigned (RFC 8252 section 7.3).
    pub fn matches(&self, requested: &str) -> bool {
        if self.0 == requested {
            return true;
        }
        match (without_port(&self.0), without_port(requested)) {
            (Some(registered), Some(requested)) => registered == requested,
            _ => false,
        }
    }
}

/// The `http` URI of a loopback address as its host and what follows the port. `None` for any other URI.
fn without_port(uri: &str) -> Option<(&str, &str)> {
    for host in ["http://127.0.0.1", "http://[::1]"] {
        let Some(rest) = uri.strip_prefix(host) else {
            continue;
        };
        let Some(after) = rest.strip_prefix(':') else {
            return is_end_of_authority(rest).then_some((host, rest));
        };
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let (port, rest) = after.split_at(digits);
        let is_port = port.parse::<u16>().is_ok();
        return (is_port && is_end_of_authority(rest)).then_some((host, rest));
    }
    None
}

fn is_end_of_authority(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['/', '?'])
}

/// A URI that Authlog calls: `https`, or `http` on the same machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HttpsUri(String);
public_text_value!(HttpsUri);

impl HttpsUri {
    /// Parses an absolute URI without a fragment.
    ///
    /// # Errors
    /// The flaw of the text: missing, longer than 512 bytes, or no such URI.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let uri = absolute(text)?;
        if !is_https_or_local(text, &uri) {
            return Err(Flaw::Malformed);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A resource server for which a client can ask a token (RFC 8707 section 2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Audience(String);
public_text_value!(Audience);

impl Audience {
    /// Parses an absolute URI without a fragment.
    ///
    /// # Errors
    /// The flaw of the text: missing, longer than 512 bytes, or no such URI.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let uri = absolute(text)?;
        if !has_no_user(&uri) {
            return Err(Flaw::Malformed);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Parses a URI that is written in ASCII, without a fragment and without the characters that browsers replace: `\` is `/` to
/// them, so the text would name another host than a reader sees.
fn absolute(text: &str) -> Result<Url, Flaw> {
    if text.is_empty() {
        return Err(Flaw::Required);
    }
    if text.len() > MAX_LENGTH {
        return Err(Flaw::TooLong { max: MAX_LENGTH });
    }
    let is_plain =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>');
    if !text.bytes().all(is_plain) {
        return Err(Flaw::Malformed);
    }
    Url::parse(text).map_err(|_| Flaw::Malformed)
}

fn has_no_user(uri: &Url) -> bool {
    uri.username().is_empty() && uri.password().is_none()
}

/// Whether the URI is `https`, or `http` of this machine. The text has to name the host as it is read: browsers also read
/// `https:host` and `https:///host` as `https://host`, and `http://0x7f.1` as `http://127.0.0.1`.
fn is_https_or_local(text: &str, uri: &Url) -> bool {
    let (Some(host), true) = (uri.host_str(), has_no_user(uri)) else {
        return false;
    };
    match text.split_once("://") {
        Some(("https", rest)) => !rest.starts_with('/') && !host.contains('*'),
        Some(("http", rest)) => {
            matches!(host, "127.0.0.1" | "[::1]" | "localhost") && rest.starts_with(host)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_uri_is_https_or_local_or_of_an_app() {
        for text in [
            "https://app.example/callback",
            "https://app.example",
            "https://app.example:8443/callback?tenant=1",
            "http://127.0.0.1/callback",
            "http://127.0.0.1:8080/callback",
            "http://[::1]/callback",
            "http://localhost:3000/",
            "com.example.app:/callback",
            "com.example.app://callback",
        ] {
            assert_eq!(RedirectUri::parse(text).unwrap().as_str(), text);
        }
        for text in [
            "http://app.example/callback",
            "http://127.0.0.2/callback",
            "http://localhost.example/",
            "http://0x7f.1/callback",
            "https://app.example/#fragment",
            "https://app.example#",
            "https://user@app.example/",
            "https://user:password@app.example/",
            "https://*.example/callback",
            "https:app.example/callback",
            "https:///callback",
            "https://app.example\\@other.example/",
            "https://app.example/two words",
            "https://äpp.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "app:/callback",
            "/callback",
            "app.example/callback",
            "https://",
            "file:///etc/passwd",
        ] {
            assert_eq!(RedirectUri::parse(text), Err(Flaw::Malformed), "{text}");
        }
        assert_eq!(RedirectUri::parse(""), Err(Flaw::Required));
        let long = format!("https://app.example/{}", "a".repeat(512));
        assert_eq!(RedirectUri::parse(&long), Err(Flaw::TooLong { max: 512 }));
    }

    fn matches(registered: &str, requested: &str) -> bool {
        RedirectUri::parse(registered).unwrap().matches(requested)
    }

    #[test]
    fn redirect_uris_are_compared_as_strings() {
        let registered = "https://app.example/callback";
        assert!(matches(registered, registered));
        for requested in [
            "https://app.example/callback/",
            "https://app.example/callback?x=1",
            "https://APP.example/callback",
            "https://app.example:443/callback",
            "https://app.example/%63allback",
            "https://app.example/callback#x",
            "",
        ] {
            assert!(!matches(registered, requested), "{requested}");
        }
    }

    #[test]
    fn the_port_of_a_loopback_address_is_free() {
        for (registered, requested) in [
            (
                "http://127.0.0.1/callback",
                "http://127.0.0.1:49152/callback",
            ),
            (
                "http://127.0.0.1:8080/callback",
                "http://127.0.0.1/callback",
            ),
            ("http://[::1]:1/", "http://[::1]:65535/"),
            ("http://127.0.0.1", "http://127.0.0.1:80"),
            ("http://127.0.0.1?a=b", "http://127.0.0.1:80?a=b"),
        ] {
            assert!(matches(registered, requested), "{registered} {requested}");
        }
        for (registered, requested) in [
            (
                "http://localhost/callback",
                "http://localhost:49152/callback",
            ),
            ("http://127.0.0.1/callback", "http://[::1]/callback"),
            ("http://127.0.0.1/callback", "http://127.0.0.1:49152/other"),
            (
                "http://127.0.0.1/callback",
                "http://127.0.0.1:65536/callback",
            ),
            ("http://127.0.0.1/callback", "http://127.0.0.1:/callback"),
            ("http://127.0.0.1/callback", "http://127.0.0.1:+80/callback"),
            ("http://127.0.0.1/callback", "https://127.0.0.1:80/callback"),
            (
                "http://127.0.0.1/callback",
                "http://127.0.0.1:80@other.example/callback",
            ),
            ("http://127.0.0.1", "http://127.0.0.1.other.example"),
            (
                "https://app.example/callback",
                "https://app.example:444/callback",
            ),
        ] {
            assert!(!matches(registered, requested), "{registered} {requested}");
        }
    }

    #[test]
    fn what_authlog_calls_is_https_or_local() {
        assert!(HttpsUri::parse("https://app.example/logout").is_ok());
        assert!(HttpsUri::parse("http://127.0.0.1:8080/logout").is_ok());
        assert!(HttpsUri::parse("http://app.example/logout").is_err());
        assert!(HttpsUri::parse("com.example.app:/logout").is_err());
    }

    #[test]
    fn an_audience_is_an_absolute_uri_without_fragment() {
        for text in [
            "https://api.example",
            "https://api.example/v1",
            "urn:example:api",
        ] {
            assert!(Audience::parse(text).is_ok(), "{text}");
        }
        for text in [
            "api",
            "/v1",
            "https://api.example#x",
            "https://me@api.example",
        ] {
            assert!(Audience::parse(text).is_err(), "{text}");
        }
    }
}
