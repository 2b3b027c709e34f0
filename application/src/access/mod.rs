//! Proofs of who calls and what they may do. Use cases take these proofs, and only this module creates them.
//!
//! - [`Caller`]: the bearer of a valid access token.
//! - [`BrowserSession`]: the person whose browser sent the cookie of a live browser session, as a [`Caller`] with their account.
//! - [`Authorized`]: a caller whose account has a role that gives a permission ([`Admin`], [`FreshAdmin`]), and who showed a second
//!   factor if the settings demand one of the role.
//! - [`AuthorizedActor`]: such a caller, or a client with an access token of its own and the scope of the permission ([`Auditor`],
//!   [`LogReader`], [`TokenInspector`]). The roles and the scope of each permission are in `policy.rs` and nowhere else.
//! - [`Entitlement`]: a permission that is checked repeatedly during a long request.
//! - [`AuthenticatedClient`]: an application that authenticated, or a public one that names itself. The tokens of people's
//!   applications are checked in `application.rs`, those of clients themselves in `client_bearer.rs`. None of them is a [`Caller`].
//! - [`DpopProof`]: the holder of a key sent the request. Tokens can be bound to that key.
//! - [`Operator`]: the person at the command line. Only the composition root gets one, so that code that serves requests
//!   cannot act as the operator.
//! - `ProvedSession`, `ProvedPassword`, `ProvedOwner`: what a command about the caller's own account needs in addition.

mod acting;
mod actor;
mod application;
mod authenticate;
mod authorize;
mod browser;
mod client;
mod client_bearer;
mod dpop;
mod entitlement;
mod level;
mod operator;
mod owner;
mod policy;
mod proof;

use std::collections::HashMap;

use authlog_domain::UserId;
use authlog_domain::user::Authority;

pub use acting::AuthorizedActor;
pub use actor::Actor;
pub use application::LiveApplication;
pub(crate) use application::TokenUse;
pub(crate) use authenticate::LiveAccess;
pub use authenticate::{Caller, CallerProof};
pub use authorize::{Authorized, Identity};
pub use browser::BrowserSession;
pub use client::{AuthenticatedClient, ClientCredentials, ClientProof};
pub use dpop::DpopProof;
pub use entitlement::Entitlement;
pub use operator::Operator;
pub(crate) use owner::OwnerNeeds;
pub use owner::OwnerProof;
pub use policy::{
    Admin, Audit, Auditor, ChangeAccounts, FreshAdmin, InspectTokens, LogReader, ManageAccounts,
    Permission, ReadLog, ScopedPermission, TokenInspector,
};
pub(crate) use proof::ProvedSession;

use crate::RequestContext;

/// Who may see the accounts of other people, and the clients: an administrator or the operator.
pub trait ManagesAccounts: sealed::Sealed + Sync {}

/// Who may change and erase the accounts of other people, and change clients: an administrator who has just shown the second
/// factor, if one is demanded, or the operator.
pub trait ChangesAccounts: ManagesAccounts {
    /// The account of the administrator.
    #[doc(hidden)]
    fn own_account(&self) -> Option<UserId>;

    /// The authority of their commands.
    #[doc(hidden)]
    fn authority(&self) -> Authority;

    /// The metadata of an event of the account `user` that they cause.
    #[doc(hidden)]
    fn metadata(&self, context: &RequestContext, user: UserId) -> HashMap<String, String>;

    /// The metadata of an event of a client that they cause.
    #[doc(hidden)]
    fn metadata_of_client(&self, context: &RequestContext) -> HashMap<String, String>;

    /// Whether they may lock, demote or erase the last administrator. The operator may, because the operator can create
    /// another one.
    #[doc(hidden)]
    fn may_remove_last_administrator(&self) -> bool;
}

/// Who may read the history of any account, with its personal data, and of any client: an auditor or the operator.
pub trait ReadsHistories: sealed::Sealed + Sync {}

impl ManagesAccounts for Admin {}
impl ManagesAccounts for FreshAdmin {}
impl ManagesAccounts for Operator {}

impl ChangesAccounts for FreshAdmin {
    fn own_account(&self) -> Option<UserId> {
        Some(self.account().id)
    }

    fn authority(&self) -> Authority {
        Authority::Administrator
    }

    fn metadata(&self, context: &RequestContext, user: UserId) -> HashMap<String, String> {
        context.metadata_by(self.caller(), user)
    }

    fn metadata_of_client(&self, context: &RequestContext) -> HashMap<String, String> {
        context.metadata_of_administrator(self.caller())
    }

    fn may_remove_last_administrator(&self) -> bool {
        false
    }
}

impl ChangesAccounts for Operator {
    fn own_account(&self) -> Option<UserId> {
        None
    }

    fn authority(&self) -> Authority {
        Authority::Operator
    }

    fn metadata(&self, context: &RequestContext, user: UserId) -> HashMap<String, String> {
        context.metadata(user)
    }

    fn metadata_of_client(&self, context: &RequestContext) -> HashMap<String, String> {
        context.metadata_of_operator()
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
    impl Sealed for super::FreshAdmin {}
    impl Sealed for super::Auditor {}
    impl Sealed for super::Operator {}
}
