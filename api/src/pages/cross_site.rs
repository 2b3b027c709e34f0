//! Which pages may submit a form to this service: its own.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use url::Url;

/// The header in which browsers say which page sent a request (Fetch Metadata). No script can set it. Browsers leave it out
/// over plain HTTP, except for this machine.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Whether a form was submitted by a page of this service, as far as the browser says. `public_url` is the URL of this
/// service. Pages of the same site are refused as well: another host of the domain may belong to another person. A request
/// without any of these headers does not come from a page of a current browser.
pub(super) fn is_own_form(headers: &HeaderMap, public_url: &str) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter().peekable();
    if sites.peek().is_some() {
        // `none` is a form that the person submits once more, with the browser's own button.
        return sites.all(|site| site == "same-origin" || site == "none");
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    origins.all(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        is_of_public_url(origin, public_url) || is_of_host(origin, public_url, headers)
    })
}

/// Whether the page that links here belongs to this service. A message in the URL is shown only then, because everyone can
/// make a link with it.
pub(super) fn is_own_link(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    sites.all(|site| site == "same-origin")
}

fn is_of_public_url(origin: &str, public_url: &str) -> bool {
    let own = Url::parse(public_url);
    own.is_ok_and(|own| own.origin().ascii_serialization() == origin)
}

/// Without HTTPS the service may be reached by another name than that of the public URL, on a developer's machine.
fn is_of_host(origin: &str, public_url: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = origin.strip_prefix("http://");
    public_url.starts_with("http://") && authority.is_some() && authority == host
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(sent: &[(&'static str, &'static str)]) -> HeaderMap {
        let headers = sent.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        headers.collect()
    }

    #[test]
    fn a_form_of_another_page_is_recognised() {
        let https = "https://auth.example/login";
        let plain = "http://127.0.0.1:8080";
        for (public_url, sent, is_own) in [
            (https, &[][..], true),
            (https, &[("sec-fetch-site", "same-origin")], true),
            (https, &[("sec-fetch-site", "none")], true),
            (https, &[("sec-fetch-site", "same-site")], false),
            (https, &[("sec-fetch-site", "cross-site")], false),
            (https, &[("sec-fetch-site", "")], false),
            (
                https,
                &[
                    ("sec-fetch-site", "same-origin"),
                    ("sec-fetch-site", "cross-site"),
                ],
                false,
            ),
            // What the browser says of the site is stronger than the origin.
            (
                https,
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://auth.example"),
                ],
                false,
            ),
            (https, &[("origin", "https://auth.example")], true),
            (
                https,
                &[("origin", "http://auth.example"), ("host", "auth.example")],
                false,
            ),
            (https, &[("origin", "https://auth.example:8443")], false),
            (https, &[("origin", "https://evil.example")], false),
            (https, &[("origin", "null")], false),
            (https, &[("origin", "")], false),
            (
                https,
                &[("origin", "https://auth.example"), ("origin", "null")],
                false,
            ),
            (
                plain,
                &[
                    ("origin", "http://localhost:8080"),
                    ("host", "localhost:8080"),
                ],
                true,
            ),
            (
                plain,
                &[
                    ("origin", "http://localhost:9090"),
                    ("host", "localhost:8080"),
                ],
                false,
            ),
            (plain, &[("origin", "http://127.0.0.1:8080")], true),
            (plain, &[("origin", "null"), ("host", "null")], false),
        ] {
            assert_eq!(is_own_form(&headers(sent), public_url), is_own, "{sent:?}");
        }
    }

    #[test]
    fn a_message_in_a_link_of_another_page_is_not_shown() {
        for (sent, is_own) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "cross-site")], false),
        ] {
            assert_eq!(is_own_link(&headers(sent)), is_own, "{sent:?}");
        }
    }
}
