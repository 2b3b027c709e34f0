//! Authorizes a request for a reverse proxy: nginx `auth_request`, Traefik ForwardAuth, Envoy `ext_authz` over HTTP.

use std::sync::Arc;

use authlog_application::Identity;
use authlog_domain::Role;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::form_urlencoded;

use super::account::bad_request;
use super::problem::{refused, unauthenticated};
use crate::Api;
use crate::http::presented_token;

/// For proxies with a configurable URL. The required roles are in the query.
const CHOSEN: &str = "/forward-auth";

/// The prefix for proxies that append the path and the query of the client's request (Envoy). The first segment holds
/// the required roles.
const BELOW: &str = "/forward-auth/";

/// The routes. A proxy repeats the method and often the `Content-Length` of its client's request, but not the body, so
/// no body is awaited on these routes.
pub(crate) const ROUTES: [&str; 4] = [
    CHOSEN,
    "/forward-auth/{roles}",
    "/forward-auth/{roles}/",
    "/forward-auth/{roles}/{*original}",
];

/// Stands for the required roles if every role is sufficient.
const ANY_ROLE: &str = "any";

/// The characters that are not encoded in a header value. All others are percent-encoded as UTF-8 (RFC 3986 §2.1): a
/// name may have any letters, and a header field allows ASCII only.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@')
    .remove(b'+');

const SUBJECT: HeaderName = HeaderName::from_static("x-auth-subject");
const USERNAME: HeaderName = HeaderName::from_static("x-auth-username");
const EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const EMAIL_VERIFIED: HeaderName = HeaderName::from_static("x-auth-email-verified");
const ROLE: HeaderName = HeaderName::from_static("x-auth-role");
const SESSION: HeaderName = HeaderName::from_static("x-auth-session");

/// The routes accept any method, because it is that of the client's request. They do not answer preflight requests: a
/// CORS layer would answer 200 to every `OPTIONS`, and the proxy would let it through to the application.
pub(crate) fn routes() -> Router<Arc<Api>> {
    ROUTES.iter().fold(Router::new(), |router, route| {
        router.route(route, routing::any(check))
    })
}

/// 200 with the identity of the token's owner, or a refusal.
async fn check(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let roles = required_roles(&uri).map_err(bad_request)?;
    let token = presented_token(&headers);
    if token.is_empty() {
        return Err(unauthenticated());
    }
    let identity = api.authlog.identify_bearer(token, &roles).await;
    Ok(identity_headers(&identity.map_err(refused)?).into_response())
}

/// Every header is in every response, and is empty if the account has no such attribute. So a proxy that copies a
/// header replaces the value that its client sent.
fn identity_headers(identity: &Identity) -> [(HeaderName, HeaderValue); 6] {
    let account = &identity.account;
    let username = account.username.as_ref().map_or("", |it| it.as_str());
    let email = account.email.as_ref().map_or("", |it| it.as_str());
    let verified = account.email.is_some() && account.email_verified;
    [
        (SUBJECT, encoded(&account.id.to_string())),
        (USERNAME, encoded(username)),
        (EMAIL, encoded(email)),
        (
            EMAIL_VERIFIED,
            HeaderValue::from_static(if verified { "true" } else { "false" }),
        ),
        (ROLE, HeaderValue::from_static(account.role.as_str())),
        (SESSION, encoded(&identity.session.to_string())),
    ]
}

fn encoded(text: &str) -> HeaderValue {
    let encoded = utf8_percent_encode(text, ENCODED).to_string();
    HeaderValue::try_from(encoded).unwrap_or(const { HeaderValue::from_static("") })
}

/// The roles of which the account must have one. An invalid requirement is refused, because ignoring a misspelt role
/// would let every account in.
fn required_roles(uri: &Uri) -> Result<Vec<Role>, &'static str> {
    if let Some(below) = uri.path().strip_prefix(BELOW) {
        // The other segments and the query belong to the client's request. They may hold anything, and are not decoded.
        return match below.split('/').next().unwrap_or_default() {
            ANY_ROLE => Ok(Role::ALL.to_vec()),
            names => roles_in(names),
        };
    }
    let mut roles = None;
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        if name != "role" {
            return Err("The only allowed parameter is role.");
        }
        if roles.replace(roles_in(&value)?).is_some() {
            return Err("The parameter role occurs more than once. Separate roles with commas.");
        }
    }
    Ok(roles.unwrap_or_else(|| Role::ALL.to_vec()))
}

fn roles_in(names: &str) -> Result<Vec<Role>, &'static str> {
    let roles = names.split(',').map(Role::parse);
    roles
        .collect::<Option<_>>()
        .ok_or("A required role is unknown. The roles are user, service, auditor and admin.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn required(uri: &str) -> Option<Vec<Role>> {
        required_roles(&uri.parse().unwrap()).ok()
    }

    #[test]
    fn required_roles_are_read_from_the_query_or_the_first_segment() {
        let all = Role::ALL.to_vec();
        for (uri, roles) in [
            ("/forward-auth", Some(all.clone())),
            ("/forward-auth?", Some(all.clone())),
            ("/forward-auth?role=admin", Some(vec![Role::Admin])),
            (
                "/forward-auth?role=admin%2Cauditor",
                Some(vec![Role::Admin, Role::Auditor]),
            ),
            ("/forward-auth/any/", Some(all.clone())),
            ("/forward-auth/any/%ff?role=admin", Some(all)),
            (
                "/forward-auth/admin/any/x?role=user",
                Some(vec![Role::Admin]),
            ),
            ("/forward-auth/admin/../any/", Some(vec![Role::Admin])),
        ] {
            assert_eq!(required(uri), roles, "{uri}");
        }
    }

    #[test]
    fn an_invalid_requirement_is_refused() {
        for uri in [
            "/forward-auth?role=",
            "/forward-auth?role=Admin",
            "/forward-auth?role=any",
            "/forward-auth?role=admin,",
            "/forward-auth?role=admin&role=user",
            "/forward-auth?roles=admin",
            "/forward-auth/",
            "/forward-auth//any",
            "/forward-auth/dashboard",
            "/forward-auth/an%79/",
            "/forward-auth/admin,any/",
        ] {
            assert_eq!(required(uri), None, "{uri}");
        }
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_header_value_that_is_read_back(text in any::<String>()) {
            let value = encoded(&text);
            let decoded = percent_encoding::percent_decode(value.as_bytes()).decode_utf8();
            prop_assert_eq!(decoded.unwrap(), text);
            let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~@+%".contains(byte);
            prop_assert!(value.as_bytes().iter().all(is_safe));
        }
    }
}
