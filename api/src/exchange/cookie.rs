//! Cookies, as far as we use them (RFC 6265).

use std::fmt;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

/// A cookie for a browser to keep: it is sent back to `path` alone, by our own pages alone, and no script can read it.
pub(crate) struct Cookie<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value, which must be made of token characters; empty to have the browser forget it.
    pub value: &'a str,
    /// Under which path it is sent back.
    pub path: &'a str,
    /// How long it is kept.
    pub max_age: Duration,
    /// Whether it is sent over HTTPS alone.
    pub secure: bool,
}

impl fmt::Display for Cookie<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name, value, path, ..
        } = self;
        let max_age = self.max_age.as_secs();
        let secure = if self.secure { "; Secure" } else { "" };
        write!(
            f,
            "{name}={value}; Max-Age={max_age}; Path={path}; HttpOnly; SameSite=Strict{secure}"
        )
    }
}

/// The value of the first cookie of that name that has one.
pub(crate) fn cookie_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| key.trim() == name)
        .map(|(_, value)| unquoted(value.trim()))
        .find(|value| !value.is_empty())
}

/// RFC 6265 §4.1.1 allows a value in double quotes.
fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_header_holds_a_cookie_or_none(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            shaped in "((refreshToken|a|)[ ]?=?[ ]?\"?[!-~]{0,12}\"?;?[ ]?){0,5}",
        ) {
            for bytes in [bytes.as_slice(), shaped.as_bytes()] {
                let Ok(value) = HeaderValue::from_bytes(bytes) else { continue };
                let headers = HeaderMap::from_iter([(COOKIE, value)]);
                let found = cookie_value(&headers, "refreshToken");
                prop_assert!(found.is_none_or(|value| !value.is_empty() && !value.contains(';')));
            }
        }
    }

    fn headers(cookies: &[&str]) -> HeaderMap {
        cookies
            .iter()
            .map(|cookie| (COOKIE, HeaderValue::from_str(cookie).unwrap()))
            .collect()
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        for (cookies, value) in [
            (&["refreshToken=abc"][..], Some("abc")),
            (&["a=1; refreshToken=abc.d-e_f=; b=2"], Some("abc.d-e_f=")),
            (&["a=1", " refreshToken = abc "], Some("abc")),
            (&["refreshToken=\"abc\""], Some("abc")),
            (&["refreshToken=; refreshToken=abc"], Some("abc")),
            (&["xrefreshToken=abc; refreshtoken=abc"], None),
            (&["refreshToken"], None),
            (&[";;=;"], None),
            (&[], None),
        ] {
            let headers = headers(cookies);
            assert_eq!(cookie_value(&headers, "refreshToken"), value, "{cookies:?}");
        }
    }

    #[test]
    fn a_cookie_is_for_browsers_alone() {
        let cookie = Cookie {
            name: "refreshToken",
            value: "abc",
            path: "/api/auth",
            max_age: Duration::from_secs(60),
            secure: true,
        };
        assert_eq!(
            cookie.to_string(),
            "refreshToken=abc; Max-Age=60; Path=/api/auth; HttpOnly; SameSite=Strict; Secure"
        );
        let plain = Cookie {
            secure: false,
            ..cookie
        };
        assert!(!plain.to_string().contains("Secure"));
    }
}
