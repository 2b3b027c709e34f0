//! What both stores share: the plan of an append, the keys, and the ports that a store implements.

mod claims;
mod clients;
mod columns;
mod errors;
mod factors;
mod keys;
mod live_sessions;
mod log_row;
mod mail;
mod opening;
mod plan;
mod planner;
mod revocations;
mod secret;
mod signing_keys;
mod upgrade;

use std::path::PathBuf;

use async_trait::async_trait;
use authlog_application::ports::{
    Clients, DeviceAuthorizations, Directory, Doctor, EventLog, EventStore, Health, History,
    Housekeeping, LogoutQueue, MailGate, MailQueue, MasterKeyRotation, Rebuild, ResetRequests,
    RevocationSource, SharedSecrets, StoreError,
};
use authlog_domain::Timestamp;

use crate::tokens::{KeyPurpose, KeyRecord, SigningKeys};
use crate::transparency::{LogRecords, LogTree, SchemaCheck};

pub(crate) use claims::{ClaimDigest, Pepper};
pub(crate) use clients::clients_page;
pub(crate) use columns::{aliased_columns, column_list, update_on_conflict};
use errors::owner;
pub(crate) use errors::{readable_row, unreadable};
pub(crate) use factors::{SealedFactor, SealedFactorChange, SealedFactorChangeKind};
pub(crate) use keys::{KeyVault, WrappedKeys, shared_secret_place, signing_key_place};
pub(crate) use live_sessions::{MAX_PAGE_SESSIONS, MAX_SESSIONS_EXAMINED, live_page, parents_of};
pub(crate) use log_row::{AtCursor, LogRow, leaf_hash};
pub(crate) use mail::{LONGEST_POSTPONEMENT, MailEntry};
pub(crate) use opening::check_keys;
pub use opening::{OpenError, StoreAccess};
pub(crate) use plan::{AppendPlan, Erasure, Predecessor, in_time};
pub(crate) use planner::AppendPlanner;
pub(crate) use revocations::{readable_revocation, revocation, revoking_types};
pub(crate) use secret::{STORE_SECRET, StoreSecret};
pub(crate) use signing_keys::{KeyChange, StoredKeys};
pub use upgrade::{ClaimUpgrade, MailboxClaims, SealUpgrade};
pub(crate) use upgrade::{MAILBOX_CLAIMS, mailbox_claims};

/// Declares a trait that is the union of other traits, and implements it for every type that has them.
macro_rules! union {
    ($(#[$doc:meta])* $name:ident: $($port:ident),+ $(,)?) => {
        $(#[$doc])*
        pub trait $name: $($port +)+ {}

        impl<S> $name for S where S: $($port +)+ {}
    };
}

union! {
    /// A store: every port whose adapter keeps data, and the secrets that nodes share.
    Store:
        EventStore,
        EventLog,
        History,
        Doctor,
        Directory,
        Clients,
        DeviceAuthorizations,
        RevocationSource,
        ResetRequests,
        MailQueue,
        LogoutQueue,
        MailGate,
        Rebuild,
        Health,
        Housekeeping,
        SharedSecrets,
        LogTree,
        LogRecords,
        MasterKeyRotation,
        SigningKeyStore,
        SealUpgrade,
        ClaimUpgrade,
        SchemaCheck,
}

/// The keys that sign tokens. All nodes of one store use the same set for each purpose. It is sealed under the master key.
#[async_trait]
pub trait SigningKeyStore: Send + Sync {
    /// Every key of this purpose, retired ones included, and the number of the last change. Keys that cannot be used are left
    /// out of the keys and listed among the faults.
    async fn signing_keys(
        &self,
        purpose: KeyPurpose,
        now: Timestamp,
    ) -> Result<SigningKeys, StoreError>;

    /// Writes new and changed keys of this purpose, all or none, if no change was made since the one with the number `after`.
    /// Returns whether they were written. Also removes the rows of keys named in `removed` that cannot be used, and a key of
    /// access tokens from the time before there was a set of keys.
    async fn change_signing_keys(
        &self,
        purpose: KeyPurpose,
        after: i64,
        changed: &[KeyRecord],
        removed: &[String],
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Also keeps the names of retired keys in this file. They stay retired even if the store is restored or changed.
    ///
    /// # Errors
    /// The file cannot be read or written.
    fn keep_retired_keys_in(&self, file: PathBuf) -> std::io::Result<()>;
}
