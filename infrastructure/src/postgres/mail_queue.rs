//! The queue of what people are told by mail, as a table.

use async_trait::async_trait;
use authlog_application::ports::{DueMail, MailKind, MailQueue, StoreError};
use authlog_domain::{Timestamp, UserId};
use sqlx::FromRow;
use uuid::Uuid;

use super::PostgresStore;
use super::instants::StoredInstant;
use crate::mail::skip;
use crate::store::{LONGEST_POSTPONEMENT, unreadable};

/// `SKIP LOCKED` lets nodes take at the same time, each something else.
const TAKE_DUE: &str = r"
    WITH due AS MATERIALIZED (
        SELECT mail_id FROM mail_queue
         WHERE (due_at <= $1 OR due_at > $4) AND kind = ANY($5)
         ORDER BY due_at
         LIMIT $3
           FOR UPDATE SKIP LOCKED
    )
    UPDATE mail_queue AS mail SET attempts = attempts + 1, due_at = $2
      FROM due
     WHERE mail.mail_id = due.mail_id
    RETURNING mail.mail_id, mail.user_id, mail.kind, mail.address, mail.happened, mail.happened_at, mail.attempts,
              mail.unacknowledged";

const ENQUEUE: &str = r"
    INSERT INTO mail_queue AS waiting (mail_id, user_id, kind, happened, happened_at, due_at)
    VALUES ($1, $2, $3, 1, $4, $4)
    ON CONFLICT (user_id, kind, mailbox) DO UPDATE
    SET happened = waiting.happened + 1, happened_at = greatest(waiting.happened_at, excluded.happened_at)";

const COMPLETE: &str = "SELECT complete_mail($1, $2, $3)";

const POSTPONE: &str =
    "UPDATE mail_queue SET due_at = $2, unacknowledged = $4 WHERE mail_id = $1 AND attempts = $3";

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

/// Only kinds that are known here are taken.
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
        // What an answer that was lost has taken comes back when its lease ends.
        let rows: Vec<Row> = self
            .connections
            .ask_once(
                sqlx::query_as(TAKE_DUE)
                    .bind(now.date_time())
                    .bind(leased_until.date_time())
                    .bind(i64::from(limit))
                    .bind(now.plus(LONGEST_POSTPONEMENT).date_time())
                    .bind(MailKind::ALL.map(MailKind::as_str))
                    .fetch_all(self.connections.pool()),
            )
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
        self.connections
            .ask(|pool| {
                sqlx::query(POSTPONE)
                    .bind(mail.id)
                    .bind(at.date_time())
                    .bind(i64::from(mail.attempts))
                    .bind(i64::from(mail.unacknowledged))
                    .execute(pool)
            })
            .await?;
        Ok(())
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
