//! The origin of a request, which is recorded with the events that it causes.

use std::net::IpAddr;

use authlog_application::{ClientPresence, RequestContext};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;

use super::Surface;
use crate::Api;

/// The longest user agent that is recorded, in characters. Real ones are shorter; the rest is not worth sealing and
/// storing.
const USER_AGENT_LENGTH: usize = 256;

/// The context of `request`. The id is generated here, because a client could choose the id of another request.
pub(super) fn request_context(
    api: &Api,
    surface: &Surface,
    request: &Request,
    address: Option<IpAddr>,
    presence: ClientPresence,
) -> RequestContext {
    RequestContext {
        request: api.entropy.random_uuid(),
        contract: surface.contract,
        address,
        user_agent: user_agent(request.headers()),
        presence,
    }
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    headers.get(USER_AGENT).map(|value| {
        String::from_utf8_lossy(value.as_bytes())
            .chars()
            .take(USER_AGENT_LENGTH)
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_user_agent_is_truncated_and_may_be_any_bytes() {
        let long = HeaderValue::from_bytes(&b"\xff".repeat(1000)).unwrap();
        let headers = HeaderMap::from_iter([(USER_AGENT, long)]);
        assert_eq!(user_agent(&headers).unwrap().chars().count(), 256);
        assert_eq!(user_agent(&HeaderMap::new()), None);
    }
}
