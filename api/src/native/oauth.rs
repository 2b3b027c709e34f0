//! Token introspection (RFC 7662) and revocation (RFC 7009).

use std::borrow::Cow;
use std::sync::Arc;

use authlog_application::{
    ActiveToken, CallerProof, ExpectedToken, Introspected, RequestContext, TokenInspector,
};
use authlog_domain::{
    Authentication, AuthenticationLevel, AuthenticationMethods, Role, SessionId, UserId,
};
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use url::form_urlencoded;
use uuid::Uuid;

use super::problem::{failed, refused, unauthenticated};
use crate::Api;
use crate::http::{presented_token, read_body};
use crate::oauth2::{
    Parameters, authenticated, grant_refused, invalid_request, read_form, unreadable, uses_basic,
};

/// The form of both requests. It holds a token and has no `Debug`.
struct TokenForm {
    token: String,
    expected: ExpectedToken,
}

/// The response for an invalid token (RFC 7662 §2.2). It gives no reason.
#[derive(Serialize)]
struct InactiveOut {
    active: bool,
}

/// The response for a valid token of a contract (RFC 7662 §2.2), which has no scopes and no client.
#[derive(Serialize)]
struct ActiveOut<'a> {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    username: &'a str,
    sub: UserId,
    sid: SessionId,
    role: Role,
    iat: i64,
    exp: i64,
    iss: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<Uuid>,
    #[serde(flatten)]
    authentication: Option<AuthenticationOut>,
}

/// How the person was authenticated (RFC 9470 §6.2).
#[derive(Serialize)]
struct AuthenticationOut {
    amr: AuthenticationMethods,
    acr: AuthenticationLevel,
    auth_time: i64,
}

impl AuthenticationOut {
    fn of(authentication: Authentication) -> Self {
        let Authentication {
            amr,
            acr,
            auth_time,
            factor: _,
        } = authentication;
        Self {
            amr,
            acr,
            auth_time: auth_time.unix_seconds(),
        }
    }
}

/// Introspects a token, for callers with the right to do so: clients with credentials of their own, and accounts and clients with
/// an access token.
pub(super) async fn introspect(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Response> {
    let caller = presented_token(&headers);
    if caller.is_empty() || uses_basic(&headers) {
        return introspect_for_client(&api, &headers, request).await;
    }
    let inspector = TokenInspector::by_token(&api.authlog, caller).await;
    let inspector = inspector.map_err(refused)?;
    let form = form(&api, request).await?;
    let active = api
        .authlog
        .introspect(&inspector, &form.token, form.expected);
    let active = active.await.map_err(refused)?;
    Ok(introspected(&api, active, form.expected))
}

/// Introspects a token for a client that authenticates itself (RFC 7662 §2.1).
async fn introspect_for_client(
    api: &Api,
    headers: &HeaderMap,
    request: Request,
) -> Result<Response, Response> {
    let form = match read_form(api, request).await {
        Ok(form) if names_client(headers, &form) => form,
        Err(unread) if uses_basic(headers) => return Err(unread),
        // Without any credentials, nothing is said about the form.
        _ => return Err(unauthenticated()),
    };
    let client = authenticated(api, headers, &form).await?;
    let token = form.required("token").map_err(unreadable)?;
    let hint = form.optional("token_type_hint").map_err(unreadable)?;
    let expected = expected_token(hint);
    let active = api
        .authlog
        .introspect_for_client(&client, token, expected)
        .await;
    let active = active.map_err(|refusal| grant_refused(headers, refusal))?;
    Ok(introspected(api, active, expected))
}

/// The response about a token.
fn introspected(api: &Api, active: Option<Introspected>, expected: ExpectedToken) -> Response {
    match active {
        Some(Introspected::Contract(token)) => {
            let (iss, aud) = api.authlog.issuer_and_audience();
            Json(active_out(&token, expected, iss, aud)).into_response()
        }
        Some(Introspected::Application(mut members)) => {
            members.insert("active".to_owned(), true.into());
            Json(members).into_response()
        }
        None => Json(InactiveOut { active: false }).into_response(),
    }
}

/// Ends the session of a token. A token of a contract needs no other authentication than itself, because its clients are public
/// and have no credentials of their own (RFC 7009 §2.1). A token of an OAuth client is revoked for that client only.
pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Response> {
    // The token type is evident from the token, so the hint is ignored (RFC 7009 §2.1).
    let bytes = body(&api, request).await?;
    let TokenForm { token, .. } = parse(&bytes).map_err(invalid_request)?;
    let parameters = Parameters::parse(&bytes);
    if let Some(form) = parameters.ok().filter(|form| names_client(&headers, form)) {
        let client = authenticated(&api, &headers, &form).await?;
        let revoked = api.authlog.revoke_for_client(&client, &token, &context);
        let revoked = revoked.await;
        revoked.map_err(|refusal| grant_refused(&headers, refusal))?;
        return Ok(StatusCode::OK.into_response());
    }
    let revoked = api.authlog.revoke(&token, &context).await;
    revoked.map_err(refused)?;
    Ok(StatusCode::OK.into_response())
}

fn active_out<'a>(
    token: &'a ActiveToken,
    expected: ExpectedToken,
    iss: &'a str,
    aud: &'a str,
) -> ActiveOut<'a> {
    ActiveOut {
        active: true,
        // RFC 6749 §5.1 defines a type for access tokens only.
        token_type: (expected == ExpectedToken::Access).then_some("Bearer"),
        username: token.account.sign_in_name(),
        sub: token.account.id,
        sid: token.session,
        role: token.account.role,
        iat: token.issued_at.unix_seconds(),
        exp: token.expires_at.unix_seconds(),
        iss,
        aud,
        jti: token.token,
        authentication: token.authentication.map(AuthenticationOut::of),
    }
}

/// Whether a request presents credentials of a client, or at least its id.
fn names_client(headers: &HeaderMap, form: &Parameters) -> bool {
    let mut named = ["client_id", "client_assertion"].into_iter();
    uses_basic(headers) || named.any(|name| form.repeated(name).next().is_some())
}

/// Parses the form of a request.
async fn form(api: &Api, request: Request) -> Result<TokenForm, Response> {
    let bytes = body(api, request).await?;
    parse(&bytes).map_err(invalid_request)
}

async fn body(api: &Api, request: Request) -> Result<Bytes, Response> {
    let media_type = "application/x-www-form-urlencoded";
    let bytes = read_body(request, media_type).await;
    bytes.map_err(|failure| failed(failure, api.now()))
}

fn parse(bytes: &[u8]) -> Result<TokenForm, &'static str> {
    let (mut token, mut hint) = (None, None);
    for (name, value) in parameters(bytes) {
        let parameter = match &*name {
            "token" => &mut token,
            "token_type_hint" => &mut hint,
            _ => continue,
        };
        // RFC 6749 §3.2: a parameter must not occur twice.
        if parameter.replace(value).is_some() {
            return Err("A parameter occurs more than once.");
        }
    }
    let token = token.filter(|token| !token.is_empty());
    Ok(TokenForm {
        token: token.ok_or("The parameter token is missing.")?.into_owned(),
        expected: expected_token(hint.as_deref()),
    })
}

/// The kind of token that a hint names. An unknown hint is ignored (RFC 7009 §2.1).
fn expected_token(hint: Option<&str>) -> ExpectedToken {
    match hint {
        Some("refresh_token") => ExpectedToken::Refresh,
        _ => ExpectedToken::Access,
    }
}

/// The parameters of a form. If nothing in the body is encoded, as with Authlog's tokens, it is not copied character by
/// character, which would cost more than the lookup of the token.
fn parameters(form: &[u8]) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    // All bytes are examined, without an early exit, so that the compiler can vectorise the loop.
    let is_encoded = form
        .iter()
        .fold(false, |found, letter| found | matches!(letter, b'%' | b'+'));
    match str::from_utf8(form) {
        Ok(form) if !is_encoded => form
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        _ => form_urlencoded::parse(form).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_form_is_read_as_browsers_write_it(
            form in prop_oneof![
                "[a=&%+20\u{e9}]{0,12}".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..40),
            ],
        ) {
            let expected: Vec<_> = form_urlencoded::parse(&form).collect();
            prop_assert_eq!(parameters(&form), expected);
        }
    }

    #[test]
    fn a_form_has_one_token_and_at_most_one_hint() {
        let form = parse(b"token=a.b-c&token_type_hint=refresh_token&more=1").ok();
        let form = form.unwrap();
        assert_eq!(form.token, "a.b-c");
        assert_eq!(form.expected, ExpectedToken::Refresh);
        let unknown = parse(b"token=a&token_type_hint=pat").ok().unwrap();
        assert_eq!(unknown.expected, ExpectedToken::Access);
        for bytes in [
            &b""[..],
            b"token=",
            b"token",
            b"token=a&token=b",
            b"token=a&token_type_hint=x&token_type_hint=y",
            b"%74oken=a&token=b",
            b"\xff\x00=%ff%00",
            b"{\"token\":\"a\"}",
        ] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
    }
}
