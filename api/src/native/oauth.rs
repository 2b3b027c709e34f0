//! Token introspection (RFC 7662) and revocation (RFC 7009).

use std::sync::Arc;

use authlog_application::ports::{ClientTokenClaims, TokenKind};
use authlog_application::{
    ActiveToken, CallerProof, ExpectedToken, Introspected, LiveApplication, RequestContext,
    TokenInspector,
};
use authlog_domain::{
    Authentication, AuthenticationLevel, AuthenticationMethods, ClientId, KeyThumbprint, Role,
    Scopes, SessionId, UserId,
};
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use uuid::Uuid;

use super::problem::{failed, refused, unauthenticated};
use crate::Api;
use crate::http::{form_pairs, presented_token, read_body};
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

/// The response for a valid token of OAuth (RFC 7662 §2.2).
#[derive(Serialize)]
struct ApplicationOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<AuthenticationLevel>,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    amr: Option<AuthenticationMethods>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    client_id: &'a ClientId,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<ConfirmationOut<'a>>,
    exp: i64,
    iat: i64,
    iss: &'a str,
    jti: Uuid,
    scope: &'a Scopes,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
    sub: SubjectOut<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
}

/// The person, or the client itself.
#[derive(Serialize)]
#[serde(untagged)]
enum SubjectOut<'a> {
    User(UserId),
    Client(&'a ClientId),
}

/// The key to which a token is bound (RFC 9449 §6.2).
#[derive(Serialize)]
struct ConfirmationOut<'a> {
    jkt: &'a KeyThumbprint,
}

impl<'a> ApplicationOut<'a> {
    fn of_session(live: &'a LiveApplication, iss: &'a str) -> Self {
        let LiveApplication {
            token,
            oauth,
            account,
        } = live;
        // A refresh token has no audience and no type (RFC 6749 §5.1), and its session knows the key.
        let is_access = token.kind == TokenKind::Access;
        let key = oauth.key.as_ref().filter(|_| is_access);
        // The username is personal data, which the scope `profile` gives.
        let username = account.username.as_ref();
        let username = username.filter(|_| oauth.scopes.contains("profile"));
        let authentication = token.authentication;
        Self {
            acr: authentication.map(|it| it.acr),
            active: true,
            amr: authentication.map(|it| it.amr),
            aud: is_access.then_some(&oauth.audience),
            auth_time: authentication.map(|it| it.auth_time.unix_seconds()),
            client_id: &oauth.client,
            cnf: key.map(|jkt| ConfirmationOut { jkt }),
            exp: token.expires_at.unix_seconds(),
            iat: token.issued_at.unix_seconds(),
            iss,
            jti: token.token,
            scope: &oauth.scopes,
            sid: Some(token.session),
            sub: SubjectOut::User(token.user),
            token_type: is_access.then(|| scheme(key)),
            username: username.map(|it| it.as_str()),
        }
    }

    fn of_client(claims: &'a ClientTokenClaims, iss: &'a str) -> Self {
        let key = claims.key.as_ref();
        Self {
            acr: None,
            active: true,
            amr: None,
            aud: Some(&claims.audience),
            auth_time: None,
            client_id: &claims.client,
            cnf: key.map(|jkt| ConfirmationOut { jkt }),
            exp: claims.expires_at.unix_seconds(),
            iat: claims.issued_at.unix_seconds(),
            iss,
            jti: claims.token,
            scope: &claims.scopes,
            sid: None,
            sub: SubjectOut::Client(&claims.client),
            token_type: Some(scheme(key)),
            username: None,
        }
    }
}

/// How an access token with this key is presented.
fn scheme(key: Option<&KeyThumbprint>) -> &'static str {
    if key.is_some() { "DPoP" } else { "Bearer" }
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
    let (iss, aud) = api.authlog.issuer_and_audience();
    match active {
        Some(Introspected::Contract(token)) => {
            Json(active_out(&token, expected, iss, aud)).into_response()
        }
        Some(Introspected::Application(live)) => {
            Json(ApplicationOut::of_session(&live, iss)).into_response()
        }
        Some(Introspected::Client(claims)) => {
            Json(ApplicationOut::of_client(&claims, iss)).into_response()
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
    for (name, value) in form_pairs(bytes) {
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

#[cfg(test)]
mod tests {
    use super::*;

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
