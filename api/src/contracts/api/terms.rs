//! The token lifetimes of `/api`.

use std::time::Duration;

use authlog_application::{AccessFormat, SessionTerms};
use authlog_domain::ContractName;

/// A UUID that is valid for a day, without a refresh token.
pub(in crate::contracts) const TERMS: SessionTerms = SessionTerms::new(
    ContractName::Api,
    AccessFormat::Opaque,
    Duration::from_secs(24 * 60 * 60),
    None,
);
