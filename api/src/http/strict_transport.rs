//! The policy for `Strict-Transport-Security` (RFC 6797): which hosts browsers will visit over HTTPS only.

use axum::http::HeaderValue;

/// The scope of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrictTransport {
    /// The header is not sent.
    Off,
    /// The host of the public URL.
    Host,
    /// That host and all its subdomains (ASVS 5.0.0, 3.4.1).
    Subdomains,
}

impl StrictTransport {
    /// Parses the value of the setting.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "host" => Some(Self::Host),
            "subdomains" => Some(Self::Subdomains),
            _ => None,
        }
    }

    /// The value of the header, valid for a year, which is the minimum of ASVS.
    pub(super) const fn header(self) -> Option<HeaderValue> {
        match self {
            Self::Off => None,
            Self::Host => Some(HeaderValue::from_static("max-age=31536000")),
            Self::Subdomains => Some(HeaderValue::from_static(
                "max-age=31536000; includeSubDomains",
            )),
        }
    }
}
