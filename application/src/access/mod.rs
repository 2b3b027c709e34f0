//! Who calls, and what they may do. A use case takes a proof of it, and only this module makes one.
//!
//! - [`Caller`]: the bearer of a good access token.
//! - [`Authorized`]: a caller whose account has a role that gives a permission ([`Admin`], [`Auditor`], [`LogReader`],
//!   [`TokenInspector`]). The roles of each permission are in `policy.rs` and nowhere else.
//! - [`Entitlement`]: a permission that is checked again and again while a request goes on.
//! - [`Operator`]: who runs the program at the command line. Only the composition root gets one, so that nothing that
//!   serves requests can act as the operator.
//! - `ProvedSession`, `ProvedPassword`: what a command about one's own account needs besides.

mod authenticate;
mod authorize;
mod entitlement;
mod operator;
mod policy;
mod proof;

use std::collections::HashMap;

use authlog_domain::UserId;

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
    /// The metadata of an event that they bring about for the account of `user`.
    #[doc(hidden)]
    fn metadata(&self, context: &RequestContext, user: UserId) -> HashMap<String, String>;

    /// Whether they may take the rights of the last administrator: the operator can make another one.
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
    /// Implemented here alone.
    pub trait Sealed {}
    impl Sealed for super::Admin {}
    impl Sealed for super::Auditor {}
    impl Sealed for super::Operator {}
}
