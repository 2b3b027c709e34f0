//! Proofs of who calls and what they may do. Use cases take these proofs, and only this module creates them.
//!
//! - [`Caller`]: the bearer of a valid access token.
//! - [`Authorized`]: a caller whose account has a role that gives a permission ([`Admin`], [`Auditor`], [`LogReader`],
//!   [`TokenInspector`]). The roles of each permission are in `policy.rs` and nowhere else.
//! - [`Entitlement`]: a permission that is checked repeatedly during a long request.
//! - [`Operator`]: the person at the command line. Only the composition root gets one, so that code that serves requests
//!   cannot act as the operator.
//! - `ProvedSession`, `ProvedPassword`: what a command about the caller's own account needs in addition.

mod authenticate;
mod authorize;
mod entitlement;
mod operator;
mod policy;
mod proof;

use std::collections::HashMap;

use authlog_domain::UserId;

pub(crate) use authenticate::LiveAccess;
pub use authenticate::{Caller, CallerProof};
pub use authorize::{Authorized, Identity};
pub use entitlement::Entitlement;
pub use operator::Operator;
pub use policy::{
    Admin, Audit, Auditor, InspectTokens, LogReader, ManageAccounts, Permission, ReadLog,
    TokenInspector,
};
pub(crate) use proof::ProvedSession;

use crate::RequestContext;

/// Who may change and erase the accounts of other people: an administrator or the operator.
pub trait ManagesAccounts: sealed::Sealed + Sync {
    /// The metadata of an event of the account `user` that they cause.
    #[doc(hidden)]
    fn metadata(&self, context: &RequestContext, user: UserId) -> HashMap<String, String>;

    /// Whether they may lock, demote or erase the last administrator. The operator may, because the operator can create
    /// another one.
    #[doc(hidden)]
    fn may_remove_last_administrator(&self) -> bool;
}

/// Who may read the history of any account, with its personal data: an auditor or the operator.
pub trait ReadsHistories: sealed::Sealed + Sync {}

impl ManagesAccounts for Admin {
    fn metadata(&self, context: &RequestContext, user: UserId) -> HashMap<String, String> {
        context.metadata_by(self.account().id, user)
    }

    fn may_remove_last_administrator(&self) -> bool {
        false
    }
}

impl ManagesAccounts for Operator {
    fn metadata(&self, context: &RequestContext, user: UserId) -> HashMap<String, String> {
        context.metadata(user)
    }

    fn may_remove_last_administrator(&self) -> bool {
        true
    }
}

impl ReadsHistories for Auditor {}
impl ReadsHistories for Operator {}

mod sealed {
    /// Keeps other crates from implementing the traits above.
    pub trait Sealed {}
    impl Sealed for super::Admin {}
    impl Sealed for super::Auditor {}
    impl Sealed for super::Operator {}
}
