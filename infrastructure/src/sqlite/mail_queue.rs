//! The queue of notification mails, as a table.

use async_trait::async_trait;
use authlog_application::ports::{DueMail, MailKind, MailQueue, StoreError};
use authlog_domain::{Timestamp, UserId};
use rusqlite::{Connection, Result, Row, params};
use serde_json::json;
use uuid::Uuid;

use super::SqliteStore;
use super::errors::{malformed, store_error};
use super::lease_queue::{LeaseQueue, any_due, is_due, postpone, take_due};
use super::rows::{id, timestamp};
use crate::mail::skip;
use crate::store::MailEntry;

type Answer<T> = std::result::Result<T, StoreError>;

/// Entries with their sealed addresses. Kinds that this version does not know are left to nodes that know them.
static QUEUE: LeaseQueue<(DueMail, Option<Vec<u8>>)> = LeaseQueue {
    any_due: any_due!("mail_queue", condition: " AND kind IN (SELECT value FROM json_each(?3))"),
    take_due: take_due!(
        "mail_queue",
        "mail_id",
        "mail_id, user_id, kind, address, happened, happened_at, attempts, unacknowledged",
        condition: " AND kind IN (SELECT value FROM json_each(?3))",
        order: "due_at"
    ),
    postpone: postpone!("mail_queue", "mail_id"),
    read: due_mail,
    unreadable: |_, id, error| {
        skip(id, &store_error(error));
        Ok(())
    },
};

#[async_trait]
impl MailQueue for SqliteStore {
    async fn take_due_mail(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Answer<Vec<DueMail>> {
        let kinds = Some(known_kinds().into());
        let rows = QUEUE
            .take_due(self, (now, leased_until), limit, kinds)
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
        let (id, attempts, handled) = (mail.id.to_string(), mail.attempts, mail.happened);
        self.writer
            .write(move |connection| {
                complete(connection, &id, attempts, handled).map_err(store_error)
            })
            .await
    }

    async fn postpone_mail(&self, mail: &DueMail, at: Timestamp) -> Answer<()> {
        let attempt = (mail.attempts, mail.unacknowledged);
        QUEUE.postpone(self, mail.id.to_string(), attempt, at).await
    }
}

/// Inserts an entry, or merges it into a waiting one. Returns how many rows were written.
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

/// The kinds that this version knows, as a JSON array.
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

fn complete(connection: &Connection, id: &str, attempts: u32, handled: u32) -> Result<()> {
    const DELETE: &str =
        "DELETE FROM mail_queue WHERE mail_id = ? AND attempts = ? AND happened <= ?";
    // One attempt more: a second completion of this attempt changes nothing.
    const KEEP_REST: &str = "
        UPDATE mail_queue
        SET happened = happened - ?3, admitted = 0, attempts = attempts + 1, unacknowledged = 0, due_at = happened_at
        WHERE mail_id = ?1 AND attempts = ?2";
    let entry = params![id, attempts, handled];
    connection.prepare_cached(DELETE)?.execute(entry)?;
    connection.prepare_cached(KEEP_REST)?.execute(entry)?;
    Ok(())
}
