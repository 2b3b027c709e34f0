//! How the verifier gets access tokens for the feed.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::time::Instant;

use crate::http_client::{Address, HttpClient};
use crate::trouble::Trouble;

/// The largest answer of the token endpoint.
const LARGEST_ANSWER: usize = 64 * 1024;

/// A token is replaced this long before it expires, or after four fifths of a short life.
const RENEW_BEFORE: Duration = Duration::from_secs(30);

/// The lifetimes that are believed. A token that is said to have expired already must not be replaced all the time.
const SHORTEST_LIFE: Duration = Duration::from_secs(5);
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// The characters that are escaped in a form (RFC 6749 appendix B).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// An error of a provider of tokens.
pub type TokenError = Box<dyn std::error::Error + Send + Sync>;

type Providing = Pin<Box<dyn Future<Output = Result<ProvidedToken, TokenError>> + Send>>;

/// An access token for the feed.
pub struct ProvidedToken {
    /// The token.
    pub token: String,
    /// How long it is valid. Without it, the token is used until the feed refuses it.
    pub expires_in: Option<Duration>,
}

/// How access tokens for the feed are obtained.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// By the grant `client_credentials` (RFC 6749 §4.4).
    Client {
        id: String,
        secret: String,
    },
    Provider(Arc<dyn Fn() -> Providing + Send + Sync>),
}

impl Credentials {
    pub(crate) fn provider<F, P>(provider: P) -> Self
    where
        P: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<ProvidedToken, TokenError>> + Send + 'static,
    {
        Self::Provider(Arc::new(move || Box::pin(provider())))
    }
}

/// Obtains access tokens.
#[derive(Clone)]
pub(crate) struct Tokens {
    pub(crate) http: HttpClient,
    pub(crate) endpoint: Address,
    pub(crate) credentials: Credentials,
}

/// A token, and when to replace it.
pub(crate) struct FeedToken {
    pub(crate) authorization: HeaderValue,
    pub(crate) renew_at: Option<Instant>,
}

impl FeedToken {
    pub(crate) fn is_due(&self) -> bool {
        self.renew_at.is_some_and(|at| at <= Instant::now())
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<u64>,
}

impl Tokens {
    /// Another token.
    pub(crate) async fn obtain(&self) -> Result<FeedToken, Trouble> {
        let asked = Instant::now();
        let token = match &self.credentials {
            Credentials::Client { id, secret } => self.grant(id, secret).await?,
            Credentials::Provider(provider) => provider().await.map_err(Trouble::Token)?,
        };
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.token))
            .map_err(|_| Trouble::Token("it has characters that no token has".into()))?;
        authorization.set_sensitive(true);
        let renew_at = token.expires_in.map(|lifetime| {
            let lifetime = lifetime.clamp(SHORTEST_LIFE, LONGEST_LIFE);
            let early = lifetime.saturating_sub(RENEW_BEFORE);
            asked + early.max(lifetime.mul_f64(0.8))
        });
        Ok(FeedToken {
            authorization,
            renew_at,
        })
    }

    async fn grant(&self, id: &str, secret: &str) -> Result<ProvidedToken, Trouble> {
        let escaped = |text| utf8_percent_encode(text, ESCAPED);
        // RFC 6749 §2.3.1: both are encoded as in a form first.
        let basic = STANDARD.encode(format!("{}:{}", escaped(id), escaped(secret)));
        let mut authorization =
            HeaderValue::try_from(format!("Basic {basic}")).map_err(Trouble::connection)?;
        authorization.set_sensitive(true);
        let request = Request::post("/")
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let body = "grant_type=client_credentials&scope=events.read".to_owned();
        let fetched = self
            .http
            .fetch(&self.endpoint, request, body, LARGEST_ANSWER)
            .await;
        let (_, body) = fetched.map_err(|trouble| match trouble {
            Trouble::Status {
                retry_after: Some(_),
                ..
            } => trouble,
            other => Trouble::Token(other.to_string().into()),
        })?;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| Trouble::Token("the answer has no access token".into()))?;
        Ok(ProvidedToken {
            token: answer.access_token,
            expires_in: answer.expires_in.map(Duration::from_secs),
        })
    }
}
