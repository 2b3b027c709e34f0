//! A surface: everything under one base path, which answers in one form.

use std::sync::Arc;
use std::time::Duration;

use authlog_domain::{ContractName, Timestamp};
use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::ACCEPT_ENCODING;
use axum::response::Response;

use super::{Failure, retry_later};
use crate::{Api, contracts, own};

/// When it is worth asking again after an answer was not ready in time, or too much was under way.
const AFTER_A_TIMEOUT: Duration = Duration::from_secs(1);

/// Everything under one base path.
pub(crate) struct Surface {
    /// What it is called in the log of events.
    pub contract: ContractName,
    /// The path under which everything is answered in this form.
    pub base: &'static str,
    /// The route table.
    pub routes: fn() -> Router<Arc<Api>>,
    /// Says in the surface's form that a request did not get as far as a use case.
    pub failed: fn(Failure, Timestamp) -> Response,
}

impl Surface {
    /// The surface to which `path` belongs. The longest base wins: `/api/auth/…` is not `/api`'s.
    pub fn of(path: &str) -> &'static Self {
        contracts::ALL
            .into_iter()
            .filter(|surface| surface.covers(path))
            .max_by_key(|surface| surface.base.len())
            .unwrap_or(&own::SURFACE)
    }

    /// The answer to a request that did not get as far as a use case.
    pub fn fail(&self, failure: Failure, at: Timestamp) -> Response {
        let mut response = (self.failed)(failure, at);
        match failure {
            Failure::Crowded | Failure::Unfinished => retry_later(response, AFTER_A_TIMEOUT),
            Failure::EncodedBody => {
                // RFC 9110 §15.5.16: so a client learns that the coding is what is not supported.
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

    #[test]
    fn the_longest_base_wins_and_ends_at_a_slash() {
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
            ("/", ContractName::Authlog),
            ("*", ContractName::Authlog),
        ] {
            assert_eq!(Surface::of(path).contract, contract, "{path}");
        }
    }
}
