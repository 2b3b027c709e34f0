//! Upgrades of a store's data that run while it serves.

use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::{StoreError, TokenDigest};
use authlog_domain::UserId;
use authlog_projections::{Account, claims_of};

use super::claims::ClaimDigest;
use super::keys::KeyVault;
use crate::sealing::Stored;

/// Adds seals to passwords and tokens in a store of a version without them (`docs/adr/0011`). Every step can be
/// repeated and interrupted.
#[async_trait]
pub trait SealUpgrade: Send + Sync {
    /// Whether rows without a seal grant nothing in this store. The store is queried because another node may have
    /// finished the upgrade.
    async fn seals_are_required(&self) -> Result<bool, StoreError>;

    /// The age of the schema of this version in this store, by the store's clock. Nodes of the version before may run
    /// for some time after the schema was changed. `None` for a store that only one program serves at a time.
    async fn since_schema_upgrade(&self) -> Result<Option<Duration>, StoreError>;

    /// Seals up to `limit` passwords, starting after `after` in the store's order, and returns the account of the
    /// last one; `None` if none is left.
    async fn seal_credentials_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Option<UserId>, StoreError>;

    /// Seals up to `limit` opaque tokens, as [`Self::seal_credentials_after`] does passwords.
    async fn seal_opaque_tokens_after(
        &self,
        after: Option<TokenDigest>,
        limit: u32,
    ) -> Result<Option<TokenDigest>, StoreError>;

    /// Makes rows without a seal grant nothing, permanently. Returns `false` if another node changed the store's
    /// secret at the same time; the caller then tries again.
    async fn require_seals(&self) -> Result<bool, StoreError>;

    /// Empties up to `limit` plain hashes that also exist sealed, and returns how many it emptied.
    async fn remove_plain_hashes(&self, limit: u32) -> Result<u64, StoreError>;
}

/// Adds claims to mailboxes in a store of a version that claimed only the spelling of addresses (`docs/adr/0016`).
/// Every step can be repeated and interrupted.
#[async_trait]
pub trait ClaimUpgrade: Send + Sync {
    /// Whether every account has claimed its mailbox, unless another account owns that claim.
    async fn mailboxes_are_claimed(&self) -> Result<bool, StoreError>;

    /// The age of the schema with claims to mailboxes in this store, by the store's clock. Nodes of the version
    /// before may run for some time after the schema was changed. `None` for a store that only one program serves at
    /// a time.
    async fn since_mailbox_claims(&self) -> Result<Option<Duration>, StoreError>;

    /// Claims the mailboxes of up to `limit` accounts, starting after `after` in the store's order; `None` if none is
    /// left.
    async fn claim_mailboxes_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Option<MailboxClaims>, StoreError>;

    /// Records that every account was examined, and that no version will run again that knows only spellings.
    async fn finish_mailbox_claims(&self) -> Result<(), StoreError>;
}

/// One step of [`ClaimUpgrade::claim_mailboxes_after`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxClaims {
    /// The last account that was examined.
    pub last: UserId,
    /// How many claims this step added.
    pub claimed: u64,
}

/// The name under which a store records that mailboxes are claimed.
pub(crate) const MAILBOX_CLAIMS: &str = "mailbox-claims";

/// The claims to mailboxes that these accounts need in addition to those to the spellings of their addresses, each
/// with the version of the account's row. Rows without a valid MAC claim nothing.
pub(crate) fn mailbox_claims(
    vault: &KeyVault,
    accounts: Vec<Stored<Account>>,
) -> Vec<(ClaimDigest, i64)> {
    let accounts = accounts
        .into_iter()
        .filter_map(|stored| vault.seals.accept(stored));
    accounts
        .flat_map(|account| {
            let claims = claims_of(&account).into_iter();
            claims
                .filter(|claim| !claim.is_spelling)
                .map(move |claim| (vault.pepper.claim(&claim), account.version.cast_signed()))
        })
        .collect()
}
