//! A tower layer that lets only requests with an accepted token pass.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::refused::Refused;
use crate::requirement::Requirement;
use crate::verifier::Verifier;

/// A layer that answers requests without an accepted token, and gives the [`Claims`](crate::Claims) of other requests to the service as
/// an extension.
///
/// ```
/// use authlog_verifier::{AuthenticateLayer, RequireScope, Verifier};
///
/// fn layer(verifier: Verifier) -> AuthenticateLayer {
///     AuthenticateLayer::new(verifier).require(RequireScope::new("orders.read"))
/// }
/// ```
#[derive(Clone)]
#[must_use]
pub struct AuthenticateLayer {
    verifier: Verifier,
    requirements: Vec<Arc<dyn Requirement>>,
}

impl AuthenticateLayer {
    /// A layer that accepts every token that the verifier accepts.
    pub fn new(verifier: Verifier) -> Self {
        Self {
            verifier,
            requirements: Vec::new(),
        }
    }

    /// Requires this as well.
    pub fn require(mut self, requirement: impl Requirement) -> Self {
        self.requirements.push(Arc::new(requirement));
        self
    }
}

impl fmt::Debug for AuthenticateLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AuthenticateLayer")
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Authenticate<S> {
        Authenticate {
            inner,
            layer: self.clone(),
        }
    }
}

/// The service of an [`AuthenticateLayer`].
#[derive(Clone, Debug)]
pub struct Authenticate<S> {
    inner: S,
    layer: AuthenticateLayer,
}

impl<S, B, R> Service<Request<B>> for Authenticate<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The service that was polled until it is ready is the one to call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        Box::pin(async move {
            match layer.admit(request.headers()).await {
                Ok(claims) => {
                    request.extensions_mut().insert(claims);
                    inner.call(request).await
                }
                Err(refused) => Ok(refused.to_response().map(R::from)),
            }
        })
    }
}

impl AuthenticateLayer {
    async fn admit(&self, headers: &http::HeaderMap) -> Result<crate::Claims, Refused> {
        let claims = self.verifier.verify_headers(headers).await?;
        let now = self.verifier.now();
        for requirement in &self.requirements {
            requirement.check(&claims, now)?;
        }
        Ok(claims)
    }
}
