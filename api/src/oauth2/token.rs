//! The token endpoint (RFC 6749 §3.2).

use std::sync::Arc;

use authlog_application::{
    AuthenticatedClient, CodeExchange, DpopProof, GrantRefusal, OAuthTokens, RequestContext,
};
use authlog_domain::client::GrantType;
use axum::extract::{Request, State};
use axum::http::header::PRAGMA;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Serialize;

use super::TOKEN;
use super::client_request::{authenticated, read_form};
use super::dpop::proof_of_post;
use super::error::{error, refused, unreadable};
use super::parameters::{Parameters, Unreadable};
use crate::Api;

/// The grant type of devices (RFC 8628 §3.4).
pub(crate) const DEVICE_CODE: &str = GrantType::DeviceCode.as_str();

/// The answer to a grant (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).
#[derive(Serialize)]
struct TokensOut {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    scope: String,
}

/// Exchanges a grant for tokens.
pub(super) async fn token(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Response> {
    let form = read_form(&api, request).await?;
    let client = authenticated(&api, &headers, &form).await?;
    let grant = Grant::of(&form).map_err(unreadable)?;
    let grant = grant.ok_or_else(unsupported)?;
    let proof = proof_of_post(&api, &headers, TOKEN);
    let proof = proof.map_err(|refusal| refused(&headers, refusal.into()))?;
    let granted = grant.exchanged(&api, &client, proof.as_ref(), &context);
    let granted = granted.await;
    let tokens = granted.map_err(|refusal| refused(&headers, refusal))?;
    // For caches of HTTP/1.0 (RFC 6749 §5.1). `Cache-Control` is that of every response.
    Ok(([(PRAGMA, "no-cache")], Json(tokens_out(tokens))).into_response())
}

/// What a client exchanges for tokens. It has no `Debug`.
enum Grant<'a> {
    Code {
        code: &'a str,
        redirect_uri: Option<&'a str>,
        verifier: Option<&'a str>,
        resources: Vec<&'a str>,
    },
    Refresh {
        token: &'a str,
        scope: Option<&'a str>,
        resources: Vec<&'a str>,
    },
    Client {
        scope: Option<&'a str>,
        resources: Vec<&'a str>,
    },
    Device {
        code: &'a str,
        resources: Vec<&'a str>,
    },
}

impl<'a> Grant<'a> {
    /// The grant in a form; `None` for another grant type.
    fn of(form: &'a Parameters) -> Result<Option<Self>, Unreadable> {
        let resources = form.repeated("resource").collect();
        Ok(Some(match form.required("grant_type")? {
            "authorization_code" => Self::Code {
                code: form.required("code")?,
                redirect_uri: form.optional("redirect_uri")?,
                verifier: form.optional("code_verifier")?,
                resources,
            },
            "refresh_token" => Self::Refresh {
                token: form.required("refresh_token")?,
                scope: form.optional("scope")?,
                resources,
            },
            "client_credentials" => Self::Client {
                scope: form.optional("scope")?,
                resources,
            },
            DEVICE_CODE => Self::Device {
                code: form.required("device_code")?,
                resources,
            },
            _ => return Ok(None),
        }))
    }

    async fn exchanged(
        &self,
        api: &Api,
        client: &AuthenticatedClient,
        proof: Option<&DpopProof>,
        context: &RequestContext,
    ) -> Result<OAuthTokens, GrantRefusal> {
        let authlog = &api.authlog;
        match self {
            Self::Code {
                code,
                redirect_uri,
                verifier,
                resources,
            } => {
                let exchange = CodeExchange {
                    code,
                    redirect_uri: *redirect_uri,
                    verifier: *verifier,
                    resources,
                };
                authlog.redeem_code(client, exchange, proof, context).await
            }
            Self::Refresh {
                token,
                scope,
                resources,
            } => {
                let refreshed =
                    authlog.refresh_application(client, token, *scope, resources, proof, context);
                refreshed.await
            }
            Self::Client { scope, resources } => {
                authlog.client_credentials(client, *scope, resources, proof)
            }
            Self::Device { code, resources } => {
                let redeemed = authlog.redeem_device_code(client, code, resources, proof, context);
                redeemed.await
            }
        }
    }
}

fn tokens_out(tokens: OAuthTokens) -> TokensOut {
    TokensOut {
        access_token: tokens.access,
        token_type: if tokens.is_bound { "DPoP" } else { "Bearer" },
        expires_in: tokens.expires_in.as_secs(),
        refresh_token: tokens.refresh,
        id_token: tokens.id_token,
        scope: tokens.scopes.to_string(),
    }
}

fn unsupported() -> Response {
    error(
        StatusCode::BAD_REQUEST,
        "unsupported_grant_type",
        "The grant type must be authorization_code, refresh_token, client_credentials or urn:ietf:params:oauth:grant-type:device_code.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(form: &str) -> Parameters {
        Parameters::parse(form.as_bytes()).ok().unwrap()
    }

    #[test]
    fn a_grant_has_its_parameters_each_once() {
        let form = parsed(
            "grant_type=authorization_code&code=c&redirect_uri=r&code_verifier=v&resource=a&resource=b",
        );
        assert!(matches!(
            Grant::of(&form),
            Ok(Some(Grant::Code {
                code: "c",
                redirect_uri: Some("r"),
                verifier: Some("v"),
                resources,
            })) if resources == ["a", "b"]
        ));
        let form = parsed("grant_type=refresh_token&refresh_token=t&scope=a+b");
        assert!(matches!(
            Grant::of(&form),
            Ok(Some(Grant::Refresh {
                token: "t",
                scope: Some("a b"),
                ..
            }))
        ));
        let form = parsed(
            "grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code=d&resource=a",
        );
        assert!(matches!(
            Grant::of(&form),
            Ok(Some(Grant::Device { code: "d", resources })) if resources == ["a"]
        ));
        let form = parsed("grant_type=client_credentials");
        assert!(matches!(
            Grant::of(&form),
            Ok(Some(Grant::Client { scope: None, .. }))
        ));
    }

    #[test]
    fn a_grant_that_cannot_be_read_names_the_parameter() {
        for (form, error) in [
            ("", Unreadable::Missing("grant_type")),
            ("code=c", Unreadable::Missing("grant_type")),
            ("grant_type=authorization_code", Unreadable::Missing("code")),
            (
                "grant_type=authorization_code&code=a&code=b",
                Unreadable::Repeated("code"),
            ),
            (
                "grant_type=urn:ietf:params:oauth:grant-type:device_code&code=c",
                Unreadable::Missing("device_code"),
            ),
            (
                "grant_type=refresh_token&grant_type=refresh_token",
                Unreadable::Repeated("grant_type"),
            ),
            (
                "grant_type=refresh_token&refresh_token=",
                Unreadable::Missing("refresh_token"),
            ),
        ] {
            assert_eq!(Grant::of(&parsed(form)).err(), Some(error), "{form}");
        }
        for form in ["grant_type=password", "grant_type=implicit&code=c"] {
            assert!(matches!(Grant::of(&parsed(form)), Ok(None)), "{form}");
        }
    }
}
