//! The published contracts. A new one is a folder here and a line in [`ALL`].

mod api;
mod api_auth;
mod users;
mod v1_auth;

use crate::exchange::Surface;

/// Every contract.
pub(crate) const ALL: [&Surface; 4] = [
    &api_auth::SURFACE,
    &users::SURFACE,
    &api::SURFACE,
    &v1_auth::SURFACE,
];
