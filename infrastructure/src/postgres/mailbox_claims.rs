//! The upgrade that claims addresses by their mailbox, for stores of a version that claimed only their spelling.

use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::StoreError;
use authlog_domain::UserId;

use super::PostgresStore;
use super::rows::{CheckedAccountRow, account_columns, checked_account_columns};
use crate::ClaimUpgrade;
use crate::sealing::Stored;
use crate::store::{MAILBOX_CLAIMS, MailboxClaims, mailbox_claims};

/// The migration that introduced claims to mailboxes.
const MIGRATION: i64 = 23;

const ACCOUNTS_AFTER: &str = concat!(
    "SELECT * FROM ( SELECT ",
    checked_account_columns!(),
    r" FROM accounts a
        WHERE $1::uuid IS NULL OR a.user_id > $1 ORDER BY a.user_id LIMIT $2
    ) AS page"
);

/// Leaves out accounts that were changed meanwhile, which claimed their mailbox themselves, and accounts that were
/// erased. A mailbox of another account stays with that account. Claims are inserted in the order of their digests,
/// like those of every append, so that they do not deadlock.
const CLAIM: &str = r"
    INSERT INTO identifier_claims (kind, digest, owner)
    SELECT 'email', due.digest, due.owner
      FROM unnest($1::bytea[], $2::uuid[], $3::bigint[]) AS due (digest, owner, version)
      JOIN accounts a ON a.user_id = due.owner AND a.version = due.version
     WHERE NOT (due.owner = ANY (coalesce((SELECT hold_accounts($2)), '{}')))
     ORDER BY due.digest
    ON CONFLICT (kind, digest) DO NOTHING";

#[async_trait]
impl ClaimUpgrade for PostgresStore {
    async fn mailboxes_are_claimed(&self) -> Result<bool, StoreError> {
        const SELECT: &str = "SELECT EXISTS (SELECT FROM finished_upgrades WHERE name = $1)";
        self.connections
            .ask(|pool| {
                sqlx::query_scalar(SELECT)
                    .bind(MAILBOX_CLAIMS)
                    .fetch_one(pool)
            })
            .await
    }

    async fn since_mailbox_claims(&self) -> Result<Option<Duration>, StoreError> {
        self.since_migration(MIGRATION).await.map(Some)
    }

    async fn claim_mailboxes_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Option<MailboxClaims>, StoreError> {
        let rows: Vec<CheckedAccountRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(ACCOUNTS_AFTER)
                    .bind(after.map(UserId::as_uuid))
                    .bind(i64::from(limit))
                    .fetch_all(pool)
            })
            .await?;
        let page: Vec<Stored<_>> = rows
            .into_iter()
            .map(Stored::try_from)
            .collect::<Result<_, _>>()?;
        let Some(last) = page.last().map(|stored| stored.row.id) else {
            return Ok(None);
        };
        let due = mailbox_claims(&self.vault, page);
        let digests: Vec<_> = due.iter().map(|(claim, _)| claim.digest).collect();
        let owners: Vec<_> = due.iter().map(|(claim, _)| claim.owner.as_uuid()).collect();
        let versions: Vec<_> = due.iter().map(|(_, version)| *version).collect();
        if due.is_empty() {
            return Ok(Some(MailboxClaims { last, claimed: 0 }));
        }
        let claimed = self
            .connections
            .ask(|pool| {
                sqlx::query(CLAIM)
                    .bind(&digests)
                    .bind(&owners)
                    .bind(&versions)
                    .execute(pool)
            })
            .await?;
        Ok(Some(MailboxClaims {
            last,
            claimed: claimed.rows_affected(),
        }))
    }

    async fn finish_mailbox_claims(&self) -> Result<(), StoreError> {
        const INSERT: &str =
            "INSERT INTO finished_upgrades (name) VALUES ($1) ON CONFLICT DO NOTHING";
        self.connections
            .ask(|pool| sqlx::query(INSERT).bind(MAILBOX_CLAIMS).execute(pool))
            .await?;
        Ok(())
    }
}
