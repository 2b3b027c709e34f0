//! Requests of clients: forms with the client's credentials.

use authlog_application::AuthenticatedClient;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;

use super::credentials::presented_credentials;
use super::error::{bad_credentials, failed, refused, unreadable};
use super::parameters::Parameters;
use crate::Api;
use crate::http::read_body;

/// The form in the body of a request.
///
/// # Errors
/// The answer to a body that is none.
pub(crate) async fn read_form(api: &Api, request: Request) -> Result<Parameters, Response> {
    let bytes = read_body(request, "application/x-www-form-urlencoded").await;
    let bytes = bytes.map_err(|failure| failed(failure, api.now()))?;
    Parameters::parse(&bytes).map_err(unreadable)
}

/// The client that sent a request with this form.
///
/// # Errors
/// The answer to a client that is not authenticated.
pub(crate) async fn authenticated(
    api: &Api,
    headers: &HeaderMap,
    form: &Parameters,
) -> Result<AuthenticatedClient, Response> {
    let presented = presented_credentials(headers, form);
    let presented = presented.map_err(|failure| bad_credentials(headers, failure))?;
    let credentials = presented.as_credentials();
    let client = api.authlog.authenticate_client(credentials).await;
    client.map_err(|refusal| refused(headers, refusal))
}
