//! Look-ups of accounts and sessions.

use std::borrow::Cow;
use std::sync::LazyLock;

use async_trait::async_trait;
use authlog_application::ports::{
    Account, CredentialDigest, Directory, Identifier, IdentifierKind, LiveSessions,
    PasskeyWithAccount, SessionWithAccount, SignInRecord, StoreError, StoredPasskey, StoredTotp,
    TokenDigest,
};
use authlog_domain::{AccountNumber, SessionId, Timestamp, UserId};
use authlog_projections::SessionRecord;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::SqliteStore;
use super::errors::store_error;
use super::factors::{PASSKEY, PASSKEY_COLUMNS, PasskeyRow, factors_of, passkey, passkeys_of};
use super::rows::{ACCOUNT, SESSION, SESSION_COLUMNS, account, opaque_token, session};
use crate::sealing::{Stored, StoredStanding};
use crate::store::{
    MAX_PAGE_SESSIONS, MAX_SESSIONS_EXAMINED, SealedFactor, live_page, parents_of, readable_row,
};

/// A session by the digest of its opaque token, with its account. Every check of an opaque token runs it, so that its long text is
/// made once.
static BY_OPAQUE_TOKEN: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT t.session_id, t.expires_at, t.mac, {SESSION}, {ACCOUNT} FROM opaque_tokens AS t
         JOIN sessions AS s ON s.session_id = t.session_id
         JOIN accounts AS a ON a.user_id = s.user_id
         WHERE t.digest = ? AND t.expires_at > ?"
    )
});

/// A session by its id, with its account.
static WITH_ACCOUNT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {SESSION}, {ACCOUNT} FROM sessions AS s JOIN accounts AS a ON a.user_id = s.user_id
         WHERE s.session_id = ?"
    )
});

/// An account by its id.
static ACCOUNT_BY_ID: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {ACCOUNT} FROM accounts AS a WHERE a.user_id = ?"));

/// The accounts after the place of the account `?1`, or of the one before it if no account ever had that number.
fn page_of_accounts() -> String {
    format!(
        "SELECT {ACCOUNT} FROM account_places AS p INDEXED BY account_places_in_order
         CROSS JOIN accounts AS a ON a.number = p.number
         WHERE p.listed = 1 AND p.place > coalesce(
            (SELECT b.place FROM account_places AS b WHERE b.number <= ?1 ORDER BY b.number DESC LIMIT 1), 0)
         ORDER BY p.place LIMIT ?2"
    )
}

/// Sessions of the account's current epoch.
fn sessions_in_order() -> String {
    format!(
        "SELECT {SESSION} FROM sessions AS s INDEXED BY sessions_in_order
         WHERE s.user_id = ?1 AND s.epoch = (SELECT session_epoch FROM accounts WHERE user_id = ?1) AND s.session_id > ?2
         ORDER BY s.session_id LIMIT ?3"
    )
}

/// The session that was kept from an earlier epoch.
fn kept_session() -> String {
    format!(
        "SELECT {SESSION} FROM accounts AS a JOIN sessions AS s ON s.session_id = a.kept_session
         WHERE a.user_id = ?1 AND s.user_id = ?1 AND s.epoch <> a.session_epoch AND s.session_id > ?2"
    )
}

/// The session `?1`.
fn session_by_id() -> String {
    format!("SELECT {SESSION} FROM sessions AS s WHERE s.session_id = ?1")
}

/// The session `?1`, if it is of its account's current epoch, or was kept.
fn session_of_epoch() -> String {
    format!(
        "SELECT {SESSION} FROM sessions AS s JOIN accounts AS a ON a.user_id = s.user_id
         WHERE s.session_id = ?1 AND (s.epoch = a.session_epoch OR s.session_id = a.kept_session)"
    )
}

/// The condition that selects the claim to a spelling or, if there is none, the claim to its mailbox.
const CLAIMED: &str = "i.kind = ?1 AND i.digest = coalesce(
    (SELECT s.digest FROM identifier_claims AS s WHERE s.kind = ?1 AND s.digest = ?2), ?3)";

#[async_trait]
impl Directory for SqliteStore {
    async fn find_for_sign_in(
        &self,
        identifier: &Identifier,
    ) -> Result<Option<SignInRecord>, StoreError> {
        // The credential has to be the one that the account names. Any other would belong to another state of the
        // account.
        let sql = format!(
            "SELECT c.sealed, c.password_hash, {ACCOUNT} FROM identifier_claims AS i
             JOIN accounts AS a ON a.user_id = i.owner
             JOIN credentials AS c ON c.user_id = a.user_id AND c.credential_id = a.credential_id
             WHERE {CLAIMED}"
        );
        let found = self
            .find(sql, self.claimed(identifier), |row| {
                Ok((account(row, 2)?, (row.get(0)?, row.get(1)?)))
            })
            .await?;
        let seals = &self.vault.seals;
        Ok(found.map(|(account, hash)| seals.sign_in_record(account, hash)))
    }

    async fn taken(&self, identifiers: &[Identifier]) -> Result<Vec<IdentifierKind>, StoreError> {
        const SELECT: &str = "SELECT 1 FROM identifier_claims WHERE kind = ? AND digest = ?";
        let wanted: Vec<_> = identifiers
            .iter()
            .map(|it| (it.kind(), self.vault.pepper.digests(it)))
            .collect();
        self.readers
            .read(move |connection| {
                let mut select = connection.prepare_cached(SELECT)?;
                let mut taken = Vec::new();
                for (kind, digests) in wanted {
                    for digest in digests {
                        if select.exists(params![kind.as_str(), digest])? && !taken.contains(&kind)
                        {
                            taken.push(kind);
                        }
                    }
                }
                Ok(taken)
            })
            .await
    }

    async fn find_account(&self, identifier: &Identifier) -> Result<Option<Account>, StoreError> {
        let sql = format!(
            "SELECT {ACCOUNT} FROM identifier_claims AS i JOIN accounts AS a ON a.user_id = i.owner
             WHERE {CLAIMED}"
        );
        let found = self
            .find(sql, self.claimed(identifier), |row| account(row, 0))
            .await?;
        Ok(found.and_then(|account| self.vault.seals.accept(account)))
    }

    async fn authenticator_apps(&self, user: UserId) -> Result<Vec<StoredTotp>, StoreError> {
        let rows = self
            .readers
            .read(move |connection| factors_of(connection, user))
            .await?;
        rows.into_iter()
            .filter_map(|(row, wrapped)| {
                let stored = SealedFactor {
                    user,
                    factor: row.factor,
                    sealed: &row.sealed,
                    wrapped: &wrapped,
                };
                stored.totp(&self.vault, row.last_step).transpose()
            })
            .collect()
    }

    async fn passkeys(&self, user: UserId) -> Result<Vec<StoredPasskey>, StoreError> {
        let rows = self
            .readers
            .read(move |connection| passkeys_of(connection, user))
            .await?;
        rows.into_iter()
            .filter_map(|row| self.opened_passkey(user, &row).transpose())
            .collect()
    }

    async fn find_passkey(
        &self,
        digest: &CredentialDigest,
    ) -> Result<Option<PasskeyWithAccount>, StoreError> {
        let sql = format!(
            "SELECT {PASSKEY}, {ACCOUNT} FROM passkeys AS f
             JOIN subject_keys AS k ON k.user_id = f.user_id JOIN accounts AS a ON a.user_id = f.user_id
             WHERE f.credential_digest = ?"
        );
        let found = self
            .find(sql, [digest.0.to_vec()], |row| {
                Ok((passkey(row)?, account(row, PASSKEY_COLUMNS)?))
            })
            .await?;
        let Some((row, stored)) = found else {
            return Ok(None);
        };
        let Some(account) = self.vault.seals.accept(stored) else {
            return Ok(None);
        };
        let passkey = self.opened_passkey(account.id, &row)?;
        Ok(passkey.map(|passkey| PasskeyWithAccount { account, passkey }))
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>, StoreError> {
        let found = self
            .find(&*ACCOUNT_BY_ID, [user.to_string()], |row| account(row, 0))
            .await?;
        Ok(found.and_then(|account| self.vault.seals.accept(account)))
    }

    async fn accounts(
        &self,
        after: Option<AccountNumber>,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError> {
        let sql = page_of_accounts();
        let after = after.map_or(i64::MIN, AccountNumber::get);
        let rows = self
            .readers
            .read(move |connection| {
                let mut select = connection.prepare_cached(&sql)?;
                let rows = select.query_map(params![after, limit], |row| Ok(account(row, 0)))?;
                rows.collect()
            })
            .await?;
        readable_rows(rows)
    }

    async fn session(&self, session: SessionId) -> Result<Option<SessionWithAccount>, StoreError> {
        let id = session.to_string();
        let found = self
            .readers
            .read(move |connection| {
                let found = connection
                    .prepare_cached(&WITH_ACCOUNT)?
                    .query_row([id], |row| standing(row, 0))
                    .optional()?;
                let Some(mut found) = found else {
                    return Ok(None);
                };
                if let Some(parent) = found.session.row.parent() {
                    found.parent = session_of(connection, &session_by_id(), parent)?.map(Box::new);
                }
                Ok(Some(found))
            })
            .await;
        let found = readable_row(found)?.flatten();
        Ok(found.and_then(|standing| self.vault.seals.accept_standing(standing)))
    }

    async fn live_sessions(
        &self,
        user: UserId,
        now: Timestamp,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<LiveSessions, StoreError> {
        // Every id is greater than the empty text.
        let after = after.map_or_else(String::new, |session| session.to_string());
        let rows = self
            .page_readers
            .read(move |connection| {
                let user = user.to_string();
                let mut rows = connection
                    .prepare_cached(&sessions_in_order())?
                    .query_map(params![user, after, MAX_PAGE_SESSIONS as i64], |row| {
                        Ok(session(row, 0))
                    })?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                let mut kept = connection.prepare_cached(&kept_session())?;
                rows.extend(
                    kept.query_row(params![user, after], |row| Ok(session(row, 0)))
                        .optional()?,
                );
                let has_more = rows.len() >= MAX_PAGE_SESSIONS;
                let found = readable_rows(rows);
                let mut parents = Vec::new();
                for parent in found.as_deref().map(parents_of).unwrap_or_default() {
                    let parent = session_of(connection, &session_of_epoch(), parent)?;
                    parents.extend(parent.map(|it| it.row));
                }
                Ok((found, parents, has_more))
            })
            .await?;
        let (found, parents, has_more) = rows;
        Ok(live_page(found?, &parents, has_more, now, limit as usize))
    }

    async fn may_have_other_sessions(
        &self,
        user: UserId,
        kept: Option<SessionId>,
    ) -> Result<bool, StoreError> {
        const SELECT: &str = "
            SELECT 1 FROM (
                SELECT s.session_id, s.ended_at, count(*) OVER () AS sessions FROM (
                    SELECT s.session_id, s.ended_at FROM accounts AS a
                    JOIN sessions AS s ON s.user_id = a.user_id AND s.epoch = a.session_epoch
                    WHERE a.user_id = ?1 LIMIT ?3
                ) AS s
            ) AS s
            WHERE s.sessions = ?3 OR (s.ended_at IS NULL AND s.session_id IS NOT ?2)
            UNION ALL
            SELECT 1 FROM accounts AS a JOIN sessions AS s ON s.session_id = a.kept_session
            WHERE a.user_id = ?1 AND s.ended_at IS NULL AND s.session_id IS NOT ?2";
        let kept = kept.map(|session| session.to_string());
        self.readers
            .read(move |connection| {
                connection.prepare_cached(SELECT)?.exists(params![
                    user.to_string(),
                    kept,
                    MAX_SESSIONS_EXAMINED
                ])
            })
            .await
    }

    async fn session_by_opaque_token(
        &self,
        digest: &TokenDigest,
        now: Timestamp,
    ) -> Result<Option<SessionWithAccount>, StoreError> {
        let wanted = digest.clone();
        let found = self
            .find(
                &*BY_OPAQUE_TOKEN,
                (digest.0, now.unix_millis()),
                move |row| Ok((opaque_token(wanted, row, 0)?, standing(row, 3)?)),
            )
            .await?;
        let seals = &self.vault.seals;
        Ok(found.and_then(|(token, standing)| {
            seals.accept(token)?;
            seals.accept_standing(standing)
        }))
    }

    async fn next_account_number(&self) -> Result<AccountNumber, StoreError> {
        // A file that was assembled from others may have a counter that is behind the accounts. A counter that is far
        // ahead of them was changed by another program, and is ignored, as is one that was deleted.
        const NEXT: &str = "
            INSERT INTO account_numbers (only, last) VALUES (1, ?1 + 1)
            ON CONFLICT (only) DO UPDATE SET last = CASE WHEN last BETWEEN ?1 AND ?2 THEN last ELSE ?1 END + 1
            RETURNING last";
        let highest = self.highest_account_number().await?;
        let latest = highest.saturating_add(NUMBERS_AHEAD);
        self.writer
            .write(move |connection| {
                connection
                    .prepare_cached(NEXT)
                    .and_then(|mut next| next.query_row([highest, latest], |row| row.get(0)))
                    .map(AccountNumber::new)
                    .map_err(store_error)
            })
            .await
    }
}

/// The highest number of an account: the last integer that every JSON parser reads exactly.
const LAST_NUMBER: i64 = 1 << 53;

/// How far the counter of account numbers may be ahead of the accounts: numbers of registrations that failed and of accounts
/// that were erased lie between. It is more than any store has, and a fraction of [`LAST_NUMBER`].
const NUMBERS_AHEAD: i64 = 1 << 40;

/// How many accounts are examined for the highest number if the first one's row was forged.
const NUMBERS_LOOKED_AT: u32 = 100;

impl SqliteStore {
    fn opened_passkey(
        &self,
        user: UserId,
        row: &PasskeyRow,
    ) -> Result<Option<StoredPasskey>, StoreError> {
        let stored = SealedFactor {
            user,
            factor: row.factor,
            sealed: &row.sealed,
            wrapped: &row.wrapped,
        };
        stored.passkey(&self.vault, row.sign_count)
    }

    /// The highest number of an account whose row this service wrote.
    async fn highest_account_number(&self) -> Result<i64, StoreError> {
        for limit in [1, NUMBERS_LOOKED_AT] {
            let sql = format!(
                "SELECT {ACCOUNT} FROM accounts AS a WHERE a.number <= ? ORDER BY a.number DESC LIMIT ?"
            );
            let rows: Vec<Option<Stored<Account>>> = self
                .readers
                .read(move |connection| {
                    let mut select = connection.prepare_cached(&sql)?;
                    let rows = select
                        .query_map(params![LAST_NUMBER, limit], |row| Ok(account(row, 0).ok()))?;
                    rows.collect()
                })
                .await?;
            let seals = &self.vault.seals;
            let is_ours = |it: &Stored<Account>| !seals.are_required() || seals.is_sealed(it);
            if let Some(highest) = rows.into_iter().flatten().find(is_ours) {
                return Ok(highest.row.number.get());
            }
        }
        Ok(0)
    }

    /// The parameters of [`CLAIMED`].
    fn claimed(&self, identifier: &Identifier) -> (&'static str, [u8; 32], [u8; 32]) {
        let [spelling, mailbox] = self.vault.pepper.lookup(identifier);
        (identifier.kind().as_str(), spelling, mailbox)
    }

    /// The one row that `sql` selects, if it selects any that can be read.
    pub(super) async fn find<T: Send + 'static>(
        &self,
        sql: impl Into<Cow<'static, str>>,
        params: impl Params + Send + 'static,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let sql = sql.into();
        let row = self
            .readers
            .read(move |connection| {
                connection
                    .prepare_cached(&sql)?
                    .query_row(params, read)
                    .optional()
            })
            .await;
        Ok(readable_row(row)?.flatten())
    }
}

/// Those of the rows that can be read.
fn readable_rows<T>(rows: Vec<rusqlite::Result<Stored<T>>>) -> Result<Vec<T>, StoreError> {
    rows.into_iter()
        .filter_map(|row| readable_row(row.map_err(store_error)).transpose())
        .map(|row| Ok(row?.row))
        .collect()
}

/// The session whose [`SESSION`] columns begin at `first`, with its account's after them. Its parent is not read.
fn standing(row: &Row<'_>, first: usize) -> rusqlite::Result<StoredStanding> {
    Ok(StoredStanding {
        session: session(row, first)?,
        account: account(row, first + SESSION_COLUMNS)?,
        parent: None,
    })
}

/// The session with this id that `sql` selects. `None` if it selects none, or if its row cannot be read.
fn session_of(
    connection: &Connection,
    sql: &str,
    id: SessionId,
) -> rusqlite::Result<Option<Stored<SessionRecord>>> {
    let mut select = connection.prepare_cached(sql)?;
    let row = select
        .query_row([id.to_string()], |row| Ok(session(row, 0).ok()))
        .optional()?;
    Ok(row.flatten())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::connection::plan;

    #[test]
    fn a_page_reads_one_range_of_an_index_and_sorts_nothing() {
        for (sql, range) in [
            (
                page_of_accounts(),
                "SEARCH p USING INDEX account_places_in_order (place>?)",
            ),
            (
                sessions_in_order(),
                "SEARCH s USING INDEX sessions_in_order (user_id=? AND epoch=? AND session_id>?)",
            ),
        ] {
            let plan = plan(&sql);
            assert!(plan.iter().any(|step| step == range), "{plan:#?}");
            let is_bounded = |step: &String| !step.starts_with("SCAN") && !step.contains("TEMP");
            assert!(plan.iter().all(is_bounded), "{plan:#?}");
        }
    }
}
