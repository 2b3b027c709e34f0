//! The published contracts. A new contract is a folder here and an entry in [`ALL`].

mod api;
mod api_auth;
mod users;
mod v1_auth;

use crate::http::Surface;

/// Every contract.
pub(crate) static ALL: [&Surface; 4] = [
    &api_auth::SURFACE,
    &users::SURFACE,
    &api::SURFACE,
    &v1_auth::SURFACE,
];
