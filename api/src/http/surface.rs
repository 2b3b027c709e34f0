//! A surface: the routes under one base path, which answer in one format.

use std::sync::Arc;
use std::time::Duration;

use authlog_domain::{ContractName, Timestamp};
use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::ACCEPT_ENCODING;
use axum::response::Response;

use super::{RequestError, retry_later};
use crate::Api;

/// `Retry-After` of a response to a request that timed out or that exceeded a limit on concurrent work.
const AFTER_A_TIMEOUT: Duration = Duration::from_secs(1);

/// The routes under one base path, and the format of their errors.
pub(crate) struct Surface {
    /// The name of the surface in recorded events.
    pub contract: ContractName,
    /// The base path, without a slash at its end. Empty for Authlog's own endpoints.
    pub base: &'static str,
    /// The route table.
    pub routes: fn() -> Router<Arc<Api>>,
    /// Writes an error that occurred before a use case was called, in the surface's format.
    pub failed: fn(RequestError, Timestamp) -> Response,
}

/// What the shared HTTP layer has to know about the endpoints that it serves.
pub(crate) struct Endpoints {
    /// The published contracts.
    pub contracts: &'static [&'static Surface],
    /// The endpoints of OAuth that answer in the form of RFC 6749.
    pub oauth2: &'static [&'static Surface],
    /// The surface of every path that is under no contract's base path and is no page.
    pub native: &'static Surface,
    /// The surface of the hosted pages.
    pub pages: &'static Surface,
    /// Whether a path is that of a page.
    pub is_page: fn(&str) -> bool,
    /// Routes that change nothing, although their method is not safe.
    pub read_only: &'static [&'static str],
    /// Routes that pages of every site may read, without cookies.
    pub public: &'static [&'static str],
    /// Routes by which a proxy asks about another request: method and headers are those of that request.
    pub forward_auth: &'static [&'static str],
    /// Routes that monitoring requests every few seconds. A success is logged at debug level only.
    pub probes: &'static [&'static str],
}

impl Endpoints {
    /// The surface of `path`. The longest base path wins, so `/api/auth/…` does not belong to `/api`.
    pub fn surface_of(&self, path: &str) -> &'static Surface {
        self.contracts
            .iter()
            .chain(self.oauth2)
            .copied()
            .filter(|surface| surface.covers(path))
            .max_by_key(|surface| surface.base.len())
            .unwrap_or(if (self.is_page)(path) {
                self.pages
            } else {
                self.native
            })
    }
}

impl Surface {
    /// The response to a request that failed before a use case was called.
    pub fn fail(&self, failure: RequestError, at: Timestamp) -> Response {
        let mut response = (self.failed)(failure, at);
        match failure {
            RequestError::LimitExceeded | RequestError::TimedOut => {
                retry_later(response, AFTER_A_TIMEOUT)
            }
            RequestError::EncodedBody => {
                // RFC 9110 §15.5.16: tells the client that the content coding is the problem.
                let supported = HeaderValue::from_static("identity");
                response.headers_mut().insert(ACCEPT_ENCODING, supported);
                response
            }
            _ => response,
        }
    }

    fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.base)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ENDPOINTS;

    #[test]
    fn the_longest_base_path_wins_and_ends_at_a_slash() {
        for (path, contract) in [
            ("/api/auth/login", ContractName::ApiAuth),
            ("/api/auth", ContractName::ApiAuth),
            ("/api/authx", ContractName::Api),
            ("/api/login", ContractName::Api),
            ("/api", ContractName::Api),
            ("/apix", ContractName::Authlog),
            ("/users/", ContractName::Users),
            ("/v1/auth/%ff", ContractName::V1Auth),
            ("/v1", ContractName::Authlog),
            ("/oauth2/token", ContractName::OAuth),
            ("/oauth2/device_authorization", ContractName::OAuth),
            ("/oauth2/userinfo", ContractName::OAuth),
            ("/oauth2/par", ContractName::OAuth),
            ("/oauth2/authorize", ContractName::Authlog),
            ("/oauth2/introspect", ContractName::Authlog),
            ("/", ContractName::Authlog),
            ("*", ContractName::Authlog),
        ] {
            assert_eq!(ENDPOINTS.surface_of(path).contract, contract, "{path}");
        }
    }
}
