//! The cookie of a browser session.

use axum::http::HeaderMap;

use crate::http::{CookieScope, cookie_values};

/// How long a browser session lasts. It is not extended, so that showing a page writes nothing.
pub(super) const LIFETIME: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// The name of the cookie. Over HTTPS, browsers accept a name with this prefix only from the host itself, with `Secure`, with
/// `Path=/` and without `Domain` (RFC 6265bis §4.1.3.2). So no other host of the domain and no page over HTTP can set it.
const fn name(scope: &CookieScope) -> &'static str {
    if scope.secure {
        "__Host-authlog"
    } else {
        "authlog"
    }
}

/// The values of the cookie in a request. A browser sends several if another program of the host sets a cookie of this name.
pub(super) fn values<'a>(headers: &'a HeaderMap, scope: &CookieScope) -> Vec<&'a str> {
    cookie_values(headers, name(scope))
}

/// `Set-Cookie` with this secret. `SameSite=Lax` and not `Strict`, because an application sends people here with a redirect.
pub(super) fn set(secret: &str, scope: &CookieScope, max_age: std::time::Duration) -> String {
    let (name, seconds) = (name(scope), max_age.as_secs());
    let secure = if scope.secure { "; Secure" } else { "" };
    format!("{name}={secret}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{secure}")
}

/// `Set-Cookie` that deletes the cookie.
pub(super) fn delete(scope: &CookieScope) -> String {
    set("", scope, std::time::Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_cookie_is_for_this_host_alone_for_every_path_of_the_public_url() {
        let https = CookieScope {
            path_prefix: "/login".to_owned(),
            cross_site: true,
            ..CookieScope::default()
        };
        assert_eq!(
            set("abc", &https, Duration::from_secs(60)),
            "__Host-authlog=abc; Max-Age=60; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
        let plain = CookieScope {
            secure: false,
            ..CookieScope::default()
        };
        assert_eq!(
            delete(&plain),
            "authlog=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"
        );
    }
}
