//! The sites whose pages may call this service from a browser (CORS, Fetch standard).

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ALLOW, ORIGIN,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::Response;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use url::Url;

use super::SECOND_FACTOR;
use super::log_index::{LOG_INDEX, PREFERENCE_APPLIED};

/// How long a browser may cache the answer to a preflight request.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// Response headers that scripts of these sites may read, in addition to those that every script may read.
const EXPOSED: [HeaderName; 8] = [
    SECOND_FACTOR,
    RETRY_AFTER,
    WWW_AUTHENTICATE,
    ALLOW,
    ACCEPT_ENCODING,
    HeaderName::from_static("x-request-id"),
    LOG_INDEX,
    PREFERENCE_APPLIED,
];

/// The allowed origins. None by default: then only pages of this service can call it from a browser.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins {
    origins: Vec<HeaderValue>,
    /// The CORS layer. `None` without allowed origins: responses then have no CORS headers, and browsers keep other
    /// sites out.
    cors: Option<CorsLayer>,
}

impl AllowedOrigins {
    /// Parses origins, separated by commas (`https://app.example.com, http://localhost:3000`). Each names one site.
    /// Returns `None` for any other text. A pattern or `null` is not accepted: it could allow sites that the operator does
    /// not know, and their pages could use the cookies of their visitors.
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
        let origins: Vec<HeaderValue> = origins.collect::<Option<_>>()?;
        // Any request header is allowed. Unknown headers of tracing, client libraries and proxies are ignored, and
        // these sites may send every header that grants access anyway.
        let cors = CorsLayer::new()
            .allow_origin(origins.clone())
            .allow_credentials(true)
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(EXPOSED)
            .max_age(PREFLIGHT_MAX_AGE);
        Some(Self {
            origins,
            cors: Some(cors),
        })
    }

    /// Whether no origin is allowed.
    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// Whether a request with these headers comes from a page of an allowed origin or of `own`, or from no page at all.
    /// A browser sends the page's origin with every POST (Fetch standard §3.2), and no script can change it.
    pub(crate) fn admit(&self, headers: &HeaderMap, own: &str) -> bool {
        headers.get_all(ORIGIN).iter().all(|origin| {
            self.origins.contains(origin)
                || Url::parse(own)
                    .is_ok_and(|own| own.origin().ascii_serialization().as_bytes() == origin)
        })
    }

    /// Records which page sends `request`, for the response to it.
    pub(crate) fn page_of<B>(&self, request: &Request<B>) -> Option<Page> {
        let cors = self.cors.clone()?;
        Some(Page::new(cors, request))
    }

    /// The same for a public resource: a page of any other site may read it as well, but its browser sends no cookies.
    pub(crate) fn page_of_any_site<B>(&self, request: &Request<B>) -> Option<Page> {
        let origin = request.headers().get(ORIGIN);
        match origin.filter(|origin| !self.origins.contains(origin)) {
            Some(_) => Some(Page::new(for_every_site(), request)),
            None => self.page_of(request),
        }
    }
}

/// The headers with which a browser describes the page that sent a request.
pub(crate) struct Page {
    cors: CorsLayer,
    head: Request<()>,
}

impl Page {
    fn new<B>(cors: CorsLayer, request: &Request<B>) -> Self {
        let mut head = Request::new(());
        *head.method_mut() = request.method().clone();
        for name in [
            ORIGIN,
            ACCESS_CONTROL_REQUEST_METHOD,
            ACCESS_CONTROL_REQUEST_HEADERS,
        ] {
            if let Some(value) = request.headers().get(&name) {
                head.headers_mut().insert(name, value.clone());
            }
        }
        Self { cors, head }
    }
}

/// The CORS layer of public resources.
fn for_every_site() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED)
        .max_age(PREFLIGHT_MAX_AGE)
}

/// Adds the CORS headers that let the page that sent the request read `response`. A preflight request gets a response
/// of its own.
pub(crate) async fn with_cors_headers(page: Option<Page>, response: Response) -> Response {
    let Some(Page { cors, head }) = page else {
        return response;
    };
    let mut response = Some(response);
    let answer = service_fn(move |_: Request<()>| {
        ready(Ok::<_, Infallible>(response.take().unwrap_or_default()))
    });
    match cors.layer(answer).oneshot(head).await {
        Ok(response) => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_origin_names_one_site() {
        let read = |text| {
            AllowedOrigins::parse(text).map(|origins| {
                origins
                    .origins
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

    #[test]
    fn cookies_are_for_allowed_pages_and_for_programs() {
        let origins = AllowedOrigins::parse("https://app.example.com").unwrap();
        let admits = |sent: &[&'static str]| {
            let sent = sent.iter().map(|it| (ORIGIN, HeaderValue::from_static(it)));
            origins.admit(&sent.collect(), "https://auth.example.org/login")
        };
        assert!(admits(&[]));
        assert!(admits(&["https://app.example.com"]));
        assert!(admits(&["https://auth.example.org"]));
        for stranger in [
            "null",
            "",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://evil.example.com",
            "https://auth.example.org/login",
        ] {
            assert!(!admits(&[stranger]), "{stranger}");
            assert!(
                !admits(&["https://app.example.com", stranger]),
                "{stranger}"
            );
        }
    }
}
