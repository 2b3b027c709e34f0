//! Through what and from where a request came, read off the request.

use std::net::{IpAddr, SocketAddr};

use authlog_application::{ClientPresence, RequestContext};
use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;

use super::{Surface, TrustedProxies};
use crate::Api;

/// Programs call themselves something shorter than this many characters; the rest is not worth sealing and storing.
const USER_AGENT_LENGTH: usize = 256;

/// The context of `request` from a client of this `presence`, which is given a name here: one that a client chose could be another's.
pub(super) fn request_context(
    api: &Api,
    surface: &Surface,
    request: &Request,
    presence: ClientPresence,
) -> RequestContext {
    RequestContext {
        request: api.entropy.random_uuid(),
        contract: surface.contract,
        address: address(&api.settings.trusted_proxies, request),
        user_agent: user_agent(request.headers()),
        presence,
    }
}

/// From where it came, as far as anybody can say.
fn address(trusted: &TrustedProxies, request: &Request) -> Option<IpAddr> {
    let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
    Some(trusted.client_of(peer.ip(), request.headers()))
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
    fn a_user_agent_is_bounded_and_may_be_any_bytes() {
        let long = HeaderValue::from_bytes(&b"\xff".repeat(1000)).unwrap();
        let headers = HeaderMap::from_iter([(USER_AGENT, long)]);
        assert_eq!(user_agent(&headers).unwrap().chars().count(), 256);
        assert_eq!(user_agent(&HeaderMap::new()), None);
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address_that_it_stands_for() {
        let mut request = Request::new(axum::body::Body::empty());
        let nobody = TrustedProxies::default();
        assert_eq!(address(&nobody, &request), None);
        let peer: SocketAddr = "[::ffff:192.0.2.7]:40000".parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        assert_eq!(
            address(&nobody, &request),
            Some("192.0.2.7".parse().unwrap())
        );
    }
}
