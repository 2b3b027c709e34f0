//! Strict Transport Security (RFC 6797): which hosts browsers visit over HTTPS alone after an answer.

use axum::http::HeaderValue;

/// How far the policy reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrictTransport {
    /// There is none.
    Off,
    /// The host of the public URL.
    Host,
    /// That host and every host below it (ASVS 5.0.0, 3.4.1).
    Subdomains,
}

impl StrictTransport {
    /// Reads the value of the setting.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "host" => Some(Self::Host),
            "subdomains" => Some(Self::Subdomains),
            _ => None,
        }
    }

    /// The header's value: for a year, the least that ASVS accepts.
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
