//! The header that asks for the second factor of a login.

use authlog_application::{CHALLENGE_LIFETIME, Refusal};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

/// The header. It is sent only after the right password, with the refusal of a wrong one.
pub(crate) const SECOND_FACTOR: HeaderName = HeaderName::from_static("authlog-second-factor");

/// The response of a contract to the refusal of a login, with the challenge if the login can be finished with a second factor.
pub(crate) fn refuse_sign_in(
    mut refusal: Refusal,
    refused: impl FnOnce(Refusal) -> Response,
) -> Response {
    let challenge = match &mut refusal {
        Refusal::WrongCredentials { challenge, .. } => challenge.take(),
        _ => None,
    };
    let mut response = refused(refusal);
    let seconds = CHALLENGE_LIFETIME.as_secs();
    let value = challenge.and_then(|challenge| {
        let methods = challenge.methods.iter().map(|method| method.as_str());
        let methods = methods.collect::<Vec<_>>().join(" ");
        let sealed = challenge.sealed;
        let text = format!("{sealed}; methods=\"{methods}\"; expires={seconds}");
        HeaderValue::from_str(&text).ok()
    });
    if let Some(value) = value {
        response.headers_mut().insert(SECOND_FACTOR, value);
    }
    response
}
