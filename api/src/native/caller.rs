//! Extractors that authenticate the caller. A handler that takes one runs only with a valid access token.

use std::sync::Arc;

use authlog_application::CallerProof;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::Response;
use serde::de::DeserializeOwned;

use super::problem::refused;
use crate::Api;
use crate::http::{JsonBody, presented_token};

/// The proof `P` of the presented access token. Without it the request is refused.
pub(super) struct Bearer<P>(pub P);

impl<P: CallerProof> FromRequestParts<Arc<Api>> for Bearer<P> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Response> {
        let token = presented_token(&parts.headers);
        let proof = P::by_token(&api.authlog, token).await;
        proof.map(Self).map_err(refused)
    }
}

/// A JSON body, and the proof `P` of the access token that was presented with it. The proof is made after the body has
/// arrived, so that a client cannot keep a proof for as long as it takes to send a body.
pub(super) struct BearerWithBody<P, T>(pub P, pub T);

impl<P: CallerProof, T: DeserializeOwned + Send> FromRequest<Arc<Api>> for BearerWithBody<P, T> {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Response> {
        let token = presented_token(request.headers()).to_owned();
        let JsonBody(body) = JsonBody::from_request(request, api).await?;
        let proof = P::by_token(&api.authlog, &token).await.map_err(refused)?;
        Ok(Self(proof, body))
    }
}
