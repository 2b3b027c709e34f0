//! What every surface shares: how a request is taken in, named, logged and answered whatever happens.

mod arrival;
mod authorization;
mod body;
mod calendar;
mod carry_out;
mod client_address;
mod cookie;
mod cross_origin;
mod failure;
mod fallbacks;
mod member;
mod outage;
mod refusals;
mod request_context;
mod strict_transport;
mod surface;

pub(crate) use arrival::Arrival;
pub(crate) use authorization::presented_token;
#[cfg(test)]
pub(crate) use body::parse_object;
pub(crate) use body::{JsonBody, read_body};
pub(crate) use calendar::{day_first, year_first};
pub(crate) use carry_out::carry_out;
pub use client_address::TrustedProxies;
pub(crate) use client_address::network_of;
pub use cookie::CookieScope;
pub(crate) use cookie::{Cookie, cookie_values};
pub use cross_origin::AllowedOrigins;
pub(crate) use cross_origin::as_read_by;
pub(crate) use failure::Failure;
pub(crate) use fallbacks::{unknown_path, wrong_method};
pub(crate) use member::{Member, only_texts};
pub(crate) use outage::{overloaded, retry_later, unavailable};
pub(crate) use refusals::Refusals;
pub use strict_transport::StrictTransport;
pub(crate) use surface::Surface;
