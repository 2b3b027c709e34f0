//! An axum extractor of the claims of a request.

use axum_core::extract::{FromRef, FromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use crate::claims::Claims;
use crate::refused::Refused;
use crate::requirement::Requirement;
use crate::verifier::Verifier;

/// The claims of the access token of a request. A handler with this argument is called only for requests with an accepted token.
///
/// The [`Verifier`] is the state of the router, or a part of it by `FromRef`.
///
/// ```
/// use authlog_verifier::{Authenticated, Refused, RequireScope, Verifier};
/// use axum::{Router, extract::State, routing::get};
///
/// async fn orders(State(verifier): State<Verifier>, token: Authenticated) -> Result<String, Refused> {
///     token.require(&verifier, &RequireScope::new("orders.read"))?;
///     Ok(format!("the orders of {}", token.claims().subject()))
/// }
///
/// fn router(verifier: Verifier) -> Router {
///     Router::new().route("/orders", get(orders)).with_state(verifier)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Authenticated(Claims);

impl Authenticated {
    /// The claims.
    pub fn claims(&self) -> &Claims {
        &self.0
    }

    /// Checks a requirement. A refusal is also an answer.
    ///
    /// # Errors
    /// The token does not meet it.
    pub fn require(
        &self,
        verifier: &Verifier,
        requirement: &impl Requirement,
    ) -> Result<(), Refused> {
        requirement.check(&self.0, verifier.now())
    }
}

impl<S> FromRequestParts<S> for Authenticated
where
    S: Send + Sync,
    Verifier: FromRef<S>,
{
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let verifier = Verifier::from_ref(state);
        verifier.verify_headers(&parts.headers).await.map(Self)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.to_response().map(axum_core::body::Body::from)
    }
}
