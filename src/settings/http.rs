//! Settings of the HTTP service.

use std::net::SocketAddr;
use std::time::Duration;

use authlog_api::{AllowedOrigins, StrictTransport, TrustedProxies};
use url::Url;

use super::declare::settings;
use super::format::{Format, SWITCH, number, time};
use super::sources::Sources;

/// Maximum of `AUTHLOG_SHUTDOWN_DELAY`. Load balancers ask every few seconds whether a node is ready, so minutes are enough
/// for each of them to notice.
const LONGEST_SHUTDOWN_DELAY: Duration = Duration::from_secs(5 * 60);

settings! {
    /// How clients reach the service.
    pub(crate) struct Http in "HTTP settings" {
        /// Address and port to serve on
        listen: SocketAddr = ADDRESS.default("127.0.0.1:8080"),
        /// URL under which people reach the service; https makes cookies Secure
        public_url: Option<Url> = PUBLIC_URL.optional("http:// and the listening address"),
        /// Hosts that browsers visit over HTTPS only, if the public URL is https: subdomains, host or off
        hsts: StrictTransport = HSTS.default("subdomains"),
        /// Addresses and networks of trusted proxies, separated by commas; they report the client's address
        trusted_proxies: TrustedProxies = TRUSTED_PROXIES.or_empty(),
        /// Origins whose pages may call the service from a browser, separated by commas
        cors_origins: AllowedOrigins = CORS_ORIGINS.or_empty(),
        /// Whether pages of these origins that belong to another site may use the refresh cookie: none (they may) or
        /// strict (they may not)
        cookie_same_site: SameSite = COOKIE_SAME_SITE.default("strict"),
        /// Highest number of open connections; one client may have a quarter of them
        max_connections: usize = CONNECTIONS.default("10000"),
        /// How long requests are accepted after SIGTERM, while /readyz answers 503
        shutdown_delay: Duration = SHUTDOWN_DELAY.default("0s"),
        /// Limits on guessing and flooding: on or off
        rate_limit: bool = SWITCH.default("on"),
    }
}

/// Which pages may use the refresh cookie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SameSite {
    /// Pages of the service's own site.
    Strict,
    /// Pages of every origin in `cors_origins`.
    None,
}

const ADDRESS: Format<SocketAddr> = Format::new(
    "ADDRESS",
    "an IP address and a port, such as 127.0.0.1:8080 or [::]:8080",
    |text| text.parse().ok(),
);

const PUBLIC_URL: Format<Url> = Format::new(
    "URL",
    "the http or https URL under which people reach the service, such as https://auth.example.com or https://example.com/auth, without a query, a fragment, a user or a semicolon",
    public_url,
);

const HSTS: Format<StrictTransport> =
    Format::new("HOSTS", "subdomains, host or off", StrictTransport::parse);

const TRUSTED_PROXIES: Format<TrustedProxies> = Format::new(
    "NETWORKS",
    "addresses and networks with commas between them, such as 10.0.0.0/8, 192.0.2.7",
    TrustedProxies::parse,
);

const CORS_ORIGINS: Format<AllowedOrigins> = Format::new(
    "ORIGINS",
    "origins with commas between them, such as https://app.example.com; no path, no pattern",
    AllowedOrigins::parse,
);

const COOKIE_SAME_SITE: Format<SameSite> =
    Format::new("NAME", "strict or none", |text| match text {
        "strict" => Some(SameSite::Strict),
        "none" => Some(SameSite::None),
        _ => None,
    });

const CONNECTIONS: Format<usize> = Format::new(
    "NUMBER",
    "a number of connections from 8 to 1000000",
    |text| number(text, 8..=1_000_000),
);

const SHUTDOWN_DELAY: Format<Duration> = Format::new(
    "TIME",
    "a time up to 5m, such as 0s or 15s",
    |text| match text {
        "0" | "0s" => Some(Duration::ZERO),
        text => time(text).filter(|delay| *delay <= LONGEST_SHUTDOWN_DELAY),
    },
);

impl Http {
    /// Reads the settings, and checks each by itself and all together.
    ///
    /// # Errors
    /// A setting is not valid, or two contradict each other.
    pub(super) fn from_sources(sources: &Sources) -> anyhow::Result<Self> {
        let http = Self::read(sources)?;
        let is_https = |url: &Url| url.scheme() == "https";
        anyhow::ensure!(
            !http.allows_cross_site_cookies()
                || http.public_url.as_ref().is_some_and(is_https) && !http.cors_origins.is_empty(),
            "AUTHLOG_COOKIE_SAME_SITE is none, which needs AUTHLOG_PUBLIC_URL=https://… (browsers accept such a cookie only over HTTPS) and AUTHLOG_CORS_ORIGINS (the sites whose pages may use it)"
        );
        Ok(http)
    }

    /// Whether a page of an allowed origin may use the refresh cookie although it belongs to another site than the service.
    pub(crate) fn allows_cross_site_cookies(&self) -> bool {
        self.cookie_same_site == SameSite::None
    }
}

/// A URL to which paths can be appended, and whose path can be the `Path` of a cookie (RFC 6265 §4.1.1).
fn public_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_base = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && !url.path().contains(';');
    is_base.then_some(url)
}
