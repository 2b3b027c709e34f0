//! The durable queue of what people are told by mail.

use async_trait::async_trait;
use authlog_application::ports::{DueMail, MailKind, MailQueue, StoreError};
use authlog_domain::{Timestamp, UserId};
use rusqlite::{Connection, Result, Row, params};
use serde_json::json;
use uuid::Uuid;

use super::SqliteStore;
use super::errors::{malformed, store_error};
use super::rows::{id, timestamp};
use crate::mail::skip;
use crate::store::{LONGEST_POSTPONEMENT, MailEntry};

type Answer<T> = std::result::Result<T, StoreError>;

#[async_trait]
impl MailQueue for SqliteStore {
    async fn take_due_mail(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Answer<Vec<DueMail>> {
        // A look that finds nothing, as nearly every one does, is no reason to write.
        if !self.readers.read(move |it| any_due(it, now)).await? {
            return Ok(vec![]);
        }
        let rows = self
            .writer
            .write(move |connection| {
                take(connection, now, leased_until, limit).map_err(store_error)
            })
            .await?;
        let mut taken = Vec::with_capacity(rows.len());
        for (mut mail, sealed) in rows {
            let address = match sealed {
                Some(sealed) => self.vault.open_address(mail.user, &sealed, self).await,
                None => Ok(None),
            };
            match address {
                Ok(address) => {
                    mail.address = address;
                    taken.push(mail);
                }
                Err(error) => skip(mail.id, &error),
            }
        }
        Ok(taken)
    }

    async fn enqueue_mail(&self, user: UserId, kind: MailKind, at: Timestamp) -> Answer<()> {
        let entry = MailEntry::new(self.vault.entropy.random_uuid(), user, kind, at);
        self.writer
            .write(move |connection| {
                write_mail(connection, &entry)
                    .map(drop)
                    .map_err(store_error)
            })
            .await
    }

    async fn complete_mail(&self, mail: &DueMail) -> Answer<()> {
        let (id, attempts, told) = (mail.id.to_string(), mail.attempts, mail.happened);
        self.writer
            .write(move |connection| complete(connection, &id, attempts, told).map_err(store_error))
            .await
    }

    async fn postpone_mail(&self, mail: &DueMail, at: Timestamp) -> Answer<()> {
        const UPDATE: &str = "UPDATE mail_queue SET due_at = ?2, unacknowledged = ?4 WHERE mail_id = ?1 AND attempts = ?3";
        let entry = (
            mail.id.to_string(),
            at.unix_millis(),
            mail.attempts,
            mail.unacknowledged,
        );
        self.execute(UPDATE, entry).await
    }
}

/// Puts an entry in, or counts it with the one that waits; how many rows were written.
pub(super) fn write_mail(connection: &Connection, mail: &MailEntry) -> Result<usize> {
    const UPSERT: &str = "
        INSERT INTO mail_queue (mail_id, user_id, kind, mailbox, address, happened, happened_at, due_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
        ON CONFLICT (user_id, kind, mailbox) DO UPDATE
        SET happened = happened + excluded.happened, address = excluded.address,
            happened_at = max(happened_at, excluded.happened_at)";
    connection.prepare_cached(UPSERT)?.execute(params![
        mail.id.to_string(),
        mail.user.to_string(),
        mail.kind.as_str(),
        mail.mailbox,
        mail.address,
        mail.happened,
        mail.happened_at.unix_millis()
    ])
}

/// Due at the latest, in milliseconds: what is due later was written under a clock that was ahead.
pub(super) fn latest_due(now: Timestamp) -> i64 {
    now.plus(LONGEST_POSTPONEMENT).unix_millis()
}

fn any_due(connection: &Connection, now: Timestamp) -> Result<bool> {
    const SELECT: &str = "
        SELECT 1 FROM mail_queue
        WHERE (due_at <= ?1 OR due_at > ?3) AND kind IN (SELECT value FROM json_each(?2)) LIMIT 1";
    connection.prepare_cached(SELECT)?.exists(params![
        now.unix_millis(),
        known_kinds(),
        latest_due(now)
    ])
}

fn take(
    connection: &Connection,
    now: Timestamp,
    leased_until: Timestamp,
    limit: u32,
) -> Result<Vec<(DueMail, Option<Vec<u8>>)>> {
    const TAKE: &str = "
        UPDATE mail_queue SET attempts = attempts + 1, due_at = ?2
        WHERE mail_id IN (
            SELECT mail_id FROM mail_queue
            WHERE (due_at <= ?1 OR due_at > ?5) AND kind IN (SELECT value FROM json_each(?4)) ORDER BY due_at LIMIT ?3)
        RETURNING mail_id, user_id, kind, address, happened, happened_at, attempts, unacknowledged";
    let mut statement = connection.prepare_cached(TAKE)?;
    let mut rows = statement.query(params![
        now.unix_millis(),
        leased_until.unix_millis(),
        limit,
        known_kinds(),
        latest_due(now)
    ])?;
    let mut taken = Vec::new();
    while let Some(row) = rows.next()? {
        match due_mail(row) {
            Ok(mail) => taken.push(mail),
            Err(error) => skip(row.get::<_, String>(0)?, &store_error(error)),
        }
    }
    Ok(taken)
}

/// The kinds that are known here, as JSON.
fn known_kinds() -> String {
    json!(MailKind::ALL.map(MailKind::as_str)).to_string()
}

/// The entry, and its address as it is sealed.
fn due_mail(row: &Row<'_>) -> Result<(DueMail, Option<Vec<u8>>)> {
    let mail_id: String = row.get(0)?;
    let mail = DueMail {
        id: Uuid::try_parse(&mail_id).map_err(|error| malformed(0, error))?,
        user: id(row, 1, UserId::parse)?,
        kind: id(row, 2, MailKind::from_stored)?,
        address: None,
        happened: row.get(4)?,
        happened_at: timestamp(row, 5)?,
        attempts: row.get(6)?,
        unacknowledged: row.get(7)?,
    };
    Ok((mail, row.get(3)?))
}

fn complete(connection: &Connection, id: &str, attempts: u32, told: u32) -> Result<()> {
    const DELETE: &str =
        "DELETE FROM mail_queue WHERE mail_id = ? AND attempts = ? AND happened <= ?";
    // One attempt more: a second completion of this attempt changes nothing.
    const KEEP_REST: &str = "
        UPDATE mail_queue
        SET happened = happened - ?3, admitted = 0, attempts = attempts + 1, unacknowledged = 0, due_at = happened_at
        WHERE mail_id = ?1 AND attempts = ?2";
    let entry = params![id, attempts, told];
    connection.prepare_cached(DELETE)?.execute(entry)?;
    connection.prepare_cached(KEEP_REST)?.execute(entry)?;
    Ok(())
}
