//! The HTTP layer that all surfaces share: it admits, identifies, logs and answers every request.

mod arrival;
mod authorization;
mod body;
mod client_address;
mod cookie;
mod cross_origin;
mod date_format;
mod fallbacks;
mod json_field;
mod log_index;
mod outage;
mod process_request;
mod refusals;
mod request_context;
mod request_error;
mod second_factor;
mod strict_transport;
mod surface;

pub(crate) use arrival::Arrival;
pub(crate) use authorization::presented_token;
#[cfg(test)]
pub(crate) use body::parse_object;
pub(crate) use body::{JsonBody, read_body};
pub use client_address::TrustedProxies;
pub(crate) use client_address::network_of;
pub use cookie::CookieScope;
pub(crate) use cookie::{Cookie, cookie_values};
pub use cross_origin::AllowedOrigins;
pub(crate) use cross_origin::with_cors_headers;
pub(crate) use date_format::{day_first, year_first};
pub(crate) use fallbacks::{unknown_path, wrong_method};
pub(crate) use json_field::{JsonField, reject_non_strings};
pub(crate) use outage::{overloaded, retry_later, unavailable};
pub(crate) use process_request::process_request;
pub(crate) use refusals::Refusals;
pub(crate) use request_error::RequestError;
pub(crate) use second_factor::{SECOND_FACTOR, refuse_sign_in};
pub use strict_transport::StrictTransport;
pub(crate) use surface::{Endpoints, Surface};
