//! Where a person goes after signing in: a path of this service.

use url::Url;

use super::authorize::AUTHORIZE;
use super::device_sign_in::DEVICE;

/// The longest path that is kept, in bytes: an authorization request of an application, with what this service adds to it.
const MAX_LENGTH: usize = 10 * 1024;

/// A path of this service, relative to the public URL, with a query if it has one. No link can make it lead to another site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Next(String);

impl Next {
    /// The path, if it stays within this service however a browser reads it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_path = text.starts_with('/') && !text.starts_with("//");
        // Browsers drop tabs and line breaks from URLs, and read a backslash as a slash.
        let is_plain = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        let is_short = text.len() <= MAX_LENGTH;
        (is_path && is_plain && is_short && stays_below_the_public_url(text))
            .then(|| Self(text.to_owned()))
    }

    /// The path in `text`, or the person's own page.
    pub(super) fn or_security(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|| Self("/security".to_owned()))
    }

    /// The path.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the person came for this, and gets back to it also by a detour: to an application, or to a device.
    pub(super) fn is_a_purpose(&self) -> bool {
        let (path, _) = self.0.split_once('?').unwrap_or((&self.0, ""));
        self.authorization_query().is_some() || path == DEVICE
    }

    /// The query of the authorization request that the path is, if it is one.
    pub(super) fn authorization_query(&self) -> Option<&str> {
        let (path, query) = self.0.split_once('?')?;
        (path == AUTHORIZE).then_some(query)
    }
}

/// Whether the path has no segment that leads out of the path of the public URL, read by the rules of browsers (URL Standard).
fn stays_below_the_public_url(path: &str) -> bool {
    let url = Url::parse(&format!("https://host.invalid/base{path}"));
    url.is_ok_and(|url| url.host_str() == Some("host.invalid") && url.path().starts_with("/base/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_of_this_service_is_kept() {
        for path in [
            "/",
            "/security",
            "/security/password",
            "/oauth2/authorize?client_id=a&redirect_uri=https%3A%2F%2Fapp.example%2F",
            "/a?next=//b",
        ] {
            assert_eq!(Next::parse(path).unwrap().as_str(), path);
        }
    }

    #[test]
    fn a_person_gets_back_to_an_application_or_a_device() {
        for (path, is_a_purpose) in [
            ("/oauth2/authorize?client_id=a", true),
            ("/oauth2/authorize", false),
            ("/device", true),
            ("/device?user_code=WDJB-MJHT", true),
            ("/devices", false),
            ("/security", false),
        ] {
            assert_eq!(Next::or_security(path).is_a_purpose(), is_a_purpose);
        }
    }

    #[test]
    fn nothing_that_leads_to_another_site_or_application_is_kept() {
        let long = format!("/{}", "a".repeat(MAX_LENGTH));
        for path in [
            "",
            "security",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/a\\b",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "\t//evil.example",
            " //evil.example",
            "/\n/evil.example",
            "/a\r\nSet-Cookie: a=b",
            "/\0",
            "/ä",
            "/..",
            "/../other",
            "/a/../../other",
            "/%2e%2e/other",
            "/.%2E/other",
            &long,
        ] {
            assert_eq!(Next::parse(path), None, "{path:?}");
            assert_eq!(Next::or_security(path).as_str(), "/security");
        }
    }

    proptest! {
        #[test]
        fn any_text_stays_within_the_service(text in "[/\\\\a.%2eE:?#@ \t]{0,12}") {
            if let Some(next) = Next::parse(&text) {
                let base = Url::parse("https://auth.example/login/sign-in").unwrap();
                let led_to = base.join(&format!("/login{}", next.as_str())).unwrap();
                prop_assert_eq!(led_to.host_str(), Some("auth.example"));
                prop_assert!(led_to.path().starts_with("/login/"));
            }
        }
    }
}
