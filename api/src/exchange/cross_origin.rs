//! Which sites' pages may call from a browser (the CORS protocol of the Fetch standard).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::CorsLayer;
use url::Url;

use crate::Api;

/// The place that a reader of server-sent events has reached, when it comes back.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How long a browser may remember what it was allowed.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// The sites. By default none: a page of ours is all that calls from a browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<HeaderValue>);

impl AllowedOrigins {
    /// Reads origins (`https://app.example.com, http://localhost:3000`) with commas between them. Each is one site:
    /// with a pattern, or `null`, sites that nobody had in mind could use the cookies of whoever visits them.
    pub fn parse(text: &str) -> Option<Self> {
        let origins = text.split(',').map(|text| {
            let url = Url::parse(text.trim()).ok()?;
            let origin = url.origin().ascii_serialization();
            let is_all = url.path() == "/"
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none();
            let is_site = matches!(url.scheme(), "http" | "https")
                && !url.host_str().unwrap_or("*").contains('*');
            (is_all && is_site)
                .then(|| HeaderValue::from_str(&origin).ok())
                .flatten()
        });
        origins.collect::<Option<_>>().map(Self)
    }

    /// `router`, open to them. Without any it says nothing of other sites, and browsers keep them out.
    pub(crate) fn open(&self, router: Router<Arc<Api>>) -> Router<Arc<Api>> {
        if self.0.is_empty() {
            return router;
        }
        router.layer(
            CorsLayer::new()
                .allow_origin(self.0.clone())
                .allow_credentials(true)
                .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
                .allow_headers([AUTHORIZATION, CONTENT_TYPE, LAST_EVENT_ID])
                .expose_headers([RETRY_AFTER, HeaderName::from_static("x-request-id")])
                .max_age(REMEMBERED),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_origin_is_one_site() {
        let read = |text| {
            AllowedOrigins::parse(text).map(|origins| {
                origins
                    .0
                    .iter()
                    .map(|it| it.to_str().unwrap().to_owned())
                    .collect()
            })
        };
        let expected = ["https://app.example.com", "http://localhost:3000"].map(str::to_owned);
        assert_eq!(
            read("https://APP.example.com/, http://localhost:3000"),
            Some(expected.to_vec())
        );
        for wrong in [
            "",
            "*",
            "null",
            "https://*.example.com",
            "https://example.com/path",
            "https://user@example.com",
            "app.example.com",
            "file:///tmp",
            "https://a.example.com,",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
