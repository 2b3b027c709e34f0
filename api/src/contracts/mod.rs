//! The published contracts. A new contract is a folder here and an entry in [`ALL`].

mod api;
mod api_auth;
mod users;
mod v1_auth;

use authlog_application::{SessionTerms, SignedIn};
use authlog_domain::ContractName;
use axum::response::Response;

use crate::Api;
use crate::http::Surface;

/// Every contract.
pub(crate) static ALL: [&Surface; 4] = [
    &api_auth::SURFACE,
    &users::SURFACE,
    &api::SURFACE,
    &v1_auth::SURFACE,
];

/// How a contract signs in: the terms of its sessions, and the response to a login.
pub(crate) struct SignIn {
    pub(crate) terms: SessionTerms,
    pub(crate) response: fn(&Api, &SignedIn) -> Response,
}

/// The contract with this base path, such as `/api/auth`.
pub(crate) fn by_base(base: &str) -> Option<ContractName> {
    let mut contracts = ALL.into_iter();
    let found = contracts.find(|surface| surface.base == base)?;
    Some(found.contract)
}

/// How the contract signs in; `None` for other interfaces, which do not.
pub(crate) fn sign_in_of(contract: ContractName) -> Option<SignIn> {
    let (terms, response): (_, fn(&Api, &SignedIn) -> Response) = match contract {
        ContractName::ApiAuth => (api_auth::TERMS, api_auth::signed_in_response),
        ContractName::Users => (users::TERMS, users::signed_in_response),
        ContractName::Api => (api::TERMS, api::signed_in_response),
        ContractName::V1Auth => (v1_auth::TERMS, v1_auth::signed_in_response),
        ContractName::Authlog | ContractName::OAuth | ContractName::Cli => return None,
    };
    Some(SignIn { terms, response })
}
