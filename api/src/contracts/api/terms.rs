//! What contract D promises about its tokens.

use std::time::Duration;

use authlog_application::{AccessFormat, SessionTerms};
use authlog_domain::ContractName;

/// A UUID that is good for a day, and nothing to renew it with.
pub(super) const TERMS: SessionTerms = SessionTerms::new(
    ContractName::Api,
    AccessFormat::Opaque,
    Duration::from_secs(24 * 60 * 60),
    None,
);
