//! The upgrade that claims addresses by their mailbox, for stores of a version that claimed only their spelling.

use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::{Account, StoreError};
use authlog_domain::UserId;
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::errors::store_error;
use super::rows::{ACCOUNT, account};
use crate::ClaimUpgrade;
use crate::sealing::Stored;
use crate::store::{ClaimDigest, MAILBOX_CLAIMS, MailboxClaims, mailbox_claims};

type Answer<T> = Result<T, StoreError>;

#[async_trait]
impl ClaimUpgrade for SqliteStore {
    async fn mailboxes_are_claimed(&self) -> Answer<bool> {
        const SELECT: &str = "SELECT 1 FROM finished_upgrades WHERE name = ?";
        self.readers
            .read(|connection| connection.prepare_cached(SELECT)?.exists([MAILBOX_CLAIMS]))
            .await
    }

    async fn since_mailbox_claims(&self) -> Answer<Option<Duration>> {
        Ok(None)
    }

    async fn claim_mailboxes_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Answer<Option<MailboxClaims>> {
        let page = self
            .readers
            .read(move |connection| accounts_after(connection, after, limit))
            .await?;
        let Some(last) = page.last().map(|stored| stored.row.id) else {
            return Ok(None);
        };
        let due = mailbox_claims(&self.vault, page);
        if due.is_empty() {
            return Ok(Some(MailboxClaims { last, claimed: 0 }));
        }
        let claimed = self
            .writer
            .write(move |connection| claim(connection, &due).map_err(store_error))
            .await?;
        Ok(Some(MailboxClaims { last, claimed }))
    }

    async fn finish_mailbox_claims(&self) -> Answer<()> {
        const INSERT: &str = "INSERT OR IGNORE INTO finished_upgrades (name) VALUES (?)";
        self.writer
            .write(|connection| {
                connection
                    .execute(INSERT, [MAILBOX_CLAIMS])
                    .map(drop)
                    .map_err(store_error)
            })
            .await
    }
}

fn accounts_after(
    connection: &Connection,
    after: Option<UserId>,
    limit: u32,
) -> rusqlite::Result<Vec<Stored<Account>>> {
    let sql = format!(
        "SELECT {ACCOUNT} FROM accounts AS a WHERE a.user_id > ? ORDER BY a.user_id LIMIT ?"
    );
    let after = after.map_or_else(String::new, |user| user.to_string());
    connection
        .prepare_cached(&sql)?
        .query_map(params![after, limit], |row| account(row, 0))?
        .collect()
}

/// Leaves out accounts that were changed meanwhile, which claimed their mailbox themselves, and accounts that were
/// erased. A mailbox of another account stays with that account.
fn claim(connection: &Connection, due: &[(ClaimDigest, i64)]) -> rusqlite::Result<u64> {
    const INSERT: &str = "
        INSERT OR IGNORE INTO identifier_claims (kind, digest, owner)
        SELECT ?, ?, user_id FROM accounts WHERE user_id = ? AND version = ?";
    let mut insert = connection.prepare_cached(INSERT)?;
    let mut claimed = 0;
    for (claim, version) in due {
        let owner = claim.owner.to_string();
        claimed += insert.execute(params![claim.kind.as_str(), claim.digest, owner, version])?;
    }
    Ok(claimed as u64)
}
