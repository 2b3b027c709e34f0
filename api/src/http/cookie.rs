//! The cookies of this service (RFC 6265).

use std::fmt;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

/// The largest number of cookies with one name that are read. A browser sends several if they belong to different paths
/// or domains.
const COOKIES_OF_ONE_NAME: usize = 8;

/// Attributes of every cookie: which requests it is sent with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieScope {
    /// Whether browsers send cookies over HTTPS only. Turn it off only for development without HTTPS.
    pub secure: bool,
    /// The path of the public URL, without a slash at its end. Browsers see the paths of this service below it.
    pub path_prefix: String,
    /// Whether pages of other sites use the cookies too.
    pub cross_site: bool,
}

impl Default for CookieScope {
    fn default() -> Self {
        Self {
            secure: true,
            path_prefix: String::new(),
            cross_site: false,
        }
    }
}

/// A cookie to be set. Browsers send it back to `path` only, and no script can read it.
pub(crate) struct Cookie<'a> {
    /// The name.
    pub name: &'a str,
    /// The value, which consists of token characters. If it is empty, the browser deletes the cookie.
    pub value: &'a str,
    /// The path to which it is sent back, relative to the public URL.
    pub path: &'a str,
    /// How long the browser keeps it.
    pub max_age: Duration,
    /// Which requests it is sent with.
    pub scope: &'a CookieScope,
}

impl fmt::Display for Cookie<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            value,
            path,
            scope,
            ..
        } = self;
        let max_age = self.max_age.as_secs();
        let prefix = &scope.path_prefix;
        write!(
            f,
            "{name}={value}; Max-Age={max_age}; Path={prefix}{path}; HttpOnly"
        )?;
        // A browser that blocks third-party cookies keeps a partitioned cookie for each top-level site.
        f.write_str(if scope.cross_site {
            "; SameSite=None; Secure; Partitioned"
        } else if scope.secure {
            "; SameSite=Strict; Secure"
        } else {
            "; SameSite=Strict"
        })
    }
}

/// The distinct, non-empty values of the cookies named `name`, in the order of the browser: the longest path comes
/// first (RFC 6265 §5.4). Cookies with other names may hold any bytes, because browsers also send cookies of other
/// programs.
pub(crate) fn cookie_values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let pairs = headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
    let mut values = Vec::new();
    for pair in pairs {
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let (key, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        let value = std::str::from_utf8(value).map(unquoted).unwrap_or_default();
        if key == name.as_bytes() && !value.is_empty() && !values.contains(&value) {
            values.push(value);
        }
        if values.len() == COOKIES_OF_ONE_NAME {
            break;
        }
    }
    values
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
        fn any_header_yields_a_cookie_or_none(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            shaped in "((refreshToken|a|)[ ]?=?[ ]?\"?[!-~]{0,12}\"?;?[ ]?){0,5}",
        ) {
            for bytes in [bytes.as_slice(), shaped.as_bytes()] {
                let Ok(value) = HeaderValue::from_bytes(bytes) else { continue };
                let headers = HeaderMap::from_iter([(COOKIE, value)]);
                let found = cookie_values(&headers, "refreshToken");
                prop_assert!(found.len() <= COOKIES_OF_ONE_NAME);
                prop_assert!(found.iter().all(|value| !value.is_empty() && !value.contains(';')));
            }
        }
    }

    fn found(cookies: &[&[u8]]) -> Vec<String> {
        let headers = cookies
            .iter()
            .map(|cookie| (COOKIE, HeaderValue::from_bytes(cookie).unwrap()))
            .collect();
        let values = cookie_values(&headers, "refreshToken");
        values.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        for (cookies, values) in [
            (&[&b"refreshToken=abc"[..]][..], &["abc"][..]),
            (&[b"a=1; refreshToken=abc.d-e_f=; b=2"], &["abc.d-e_f="]),
            (&[b"a=1", b" refreshToken = abc "], &["abc"]),
            (&[b"refreshToken=\"abc\""], &["abc"]),
            (&[b"refreshToken=; refreshToken=abc"], &["abc"]),
            (&[b"xrefreshToken=abc; refreshtoken=abc"], &[]),
            (&[b"refreshToken"], &[]),
            (&[b";;=;"], &[]),
            (&[], &[]),
        ] {
            assert_eq!(found(cookies), values);
        }
    }

    #[test]
    fn cookies_of_other_programs_may_hold_any_bytes() {
        for foreign in [
            "utm=Unders\u{f8}gelse".as_bytes(),
            b"utm=Unders\xf8gelse",
            b"utm",
            b"=",
            b"a=\"1\t",
            b"\xff\xfe=\xff",
            b"refreshToken=\xff",
        ] {
            let before = [foreign, b"; refreshToken=abc"].concat();
            let after = [b"refreshToken=abc; ", foreign].concat();
            for cookies in [
                &[&before[..]][..],
                &[&after[..]],
                &[foreign, b"refreshToken=abc"],
            ] {
                assert_eq!(found(cookies), ["abc"]);
            }
        }
    }

    #[test]
    fn repeated_cookies_are_all_read_up_to_a_bound() {
        let cookies = b"refreshToken=one; refreshToken=two; refreshToken=one";
        assert_eq!(found(&[cookies]), ["one", "two"]);
        let many: Vec<String> = (0..100).map(|it| format!("refreshToken={it}")).collect();
        assert_eq!(found(&[many.join("; ").as_bytes()]).len(), 8);
    }

    #[test]
    fn a_cookie_is_not_readable_by_scripts() {
        let cookie = |scope: &CookieScope| {
            let cookie = Cookie {
                name: "refreshToken",
                value: "abc",
                path: "/api/auth",
                max_age: Duration::from_secs(60),
                scope,
            };
            cookie.to_string()
        };
        assert_eq!(
            cookie(&CookieScope::default()),
            "refreshToken=abc; Max-Age=60; Path=/api/auth; HttpOnly; SameSite=Strict; Secure"
        );
        let plain = CookieScope {
            secure: false,
            path_prefix: "/login/here".to_owned(),
            ..CookieScope::default()
        };
        assert_eq!(
            cookie(&plain),
            "refreshToken=abc; Max-Age=60; Path=/login/here/api/auth; HttpOnly; SameSite=Strict"
        );
        let cross_site = CookieScope {
            cross_site: true,
            ..CookieScope::default()
        };
        assert_eq!(
            cookie(&cross_site),
            "refreshToken=abc; Max-Age=60; Path=/api/auth; HttpOnly; SameSite=None; Secure; Partitioned"
        );
    }
}
