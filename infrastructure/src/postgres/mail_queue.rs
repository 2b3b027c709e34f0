//! The queue of notification mails, as a table.

use async_trait::async_trait;
use authlog_application::ports::{DueMail, MailKind, MailQueue, StoreError};
use authlog_domain::{Timestamp, UserId};
use sqlx::FromRow;
use uuid::Uuid;

use super::PostgresStore;
use super::instants::StoredInstant;
use super::lease_queue::{LeaseQueue, postpone, take_due};
use crate::mail::skip;
use crate::store::unreadable;

const QUEUE: LeaseQueue = LeaseQueue {
    take_due: take_due!(
        "mail_queue",
        "mail_id",
        "mail_id, user_id, kind, address, happened, happened_at, attempts, unacknowledged",
        condition: " AND kind = ANY($5)",
        order: "due_at"
    ),
    postpone: postpone!("mail_queue", "mail_id"),
};

const ENQUEUE: &str = r"
    INSERT INTO mail_queue AS waiting (mail_id, user_id, kind, happened, happened_at, due_at)
    VALUES ($1, $2, $3, 1, $4, $4)
    ON CONFLICT (user_id, kind, mailbox) DO UPDATE
    SET happened = waiting.happened + 1, happened_at = greatest(waiting.happened_at, excluded.happened_at)";

const COMPLETE: &str = "SELECT complete_mail($1, $2, $3)";

#[derive(FromRow)]
struct Row {
    mail_id: Uuid,
    user_id: Uuid,
    kind: String,
    address: Option<Vec<u8>>,
    happened: i64,
    happened_at: StoredInstant,
    attempts: i64,
    unacknowledged: i64,
}

/// Only known kinds are taken.
#[derive(Debug, thiserror::Error)]
#[error("mail of an unknown kind is due")]
struct UnknownKind;

#[async_trait]
impl MailQueue for PostgresStore {
    async fn take_due_mail(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueMail>, StoreError> {
        let rows: Vec<Row> = QUEUE
            .take_due(&self.connections, (now, leased_until), limit, |query| {
                query.bind(MailKind::ALL.map(MailKind::as_str))
            })
            .await?;
        let mut taken = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.mail_id;
            match self.due_mail(row).await {
                Ok(mail) => taken.push(mail),
                Err(error) => skip(id, &error),
            }
        }
        Ok(taken)
    }

    async fn enqueue_mail(
        &self,
        user: UserId,
        kind: MailKind,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let id = self.vault.entropy.random_uuid();
        self.connections
            .ask(|pool| {
                sqlx::query(ENQUEUE)
                    .bind(id)
                    .bind(user.as_uuid())
                    .bind(kind.as_str())
                    .bind(at.date_time())
                    .execute(pool)
            })
            .await?;
        Ok(())
    }

    async fn complete_mail(&self, mail: &DueMail) -> Result<(), StoreError> {
        self.connections
            .ask(|pool| {
                sqlx::query(COMPLETE)
                    .bind(mail.id)
                    .bind(i64::from(mail.attempts))
                    .bind(i64::from(mail.happened))
                    .execute(pool)
            })
            .await?;
        Ok(())
    }

    async fn postpone_mail(&self, mail: &DueMail, at: Timestamp) -> Result<(), StoreError> {
        let attempt = (mail.attempts, mail.unacknowledged);
        QUEUE
            .postpone(&self.connections, mail.id, attempt, at)
            .await
    }
}

impl PostgresStore {
    async fn due_mail(&self, row: Row) -> Result<DueMail, StoreError> {
        let user = UserId::new(row.user_id);
        let address = match &row.address {
            Some(sealed) => self.vault.open_address(user, sealed, self).await?,
            None => None,
        };
        Ok(DueMail {
            id: row.mail_id,
            user,
            kind: MailKind::from_stored(&row.kind).ok_or_else(|| unreadable(UnknownKind))?,
            address,
            happened: u32::try_from(row.happened).map_err(unreadable)?,
            happened_at: row.happened_at.known()?,
            attempts: u32::try_from(row.attempts).map_err(unreadable)?,
            unacknowledged: u32::try_from(row.unacknowledged).map_err(unreadable)?,
        })
    }
}
