//! The gate that limits the mail to each mailbox. A function of the schema decides, under a lock on the mailbox.

use async_trait::async_trait;
use authlog_application::ports::{Admission, MailGate, MailKind, QueuedMail, StoreError};
use authlog_domain::{Email, Timestamp};
use time::OffsetDateTime;

use super::PostgresStore;

/// Asks to admit an entry of a table, unless it was admitted before, and records the admission there. If it is repeated
/// because an answer was lost, it uses up nothing the second time.
macro_rules! admit {
    ($table:literal, $id:literal) => {
        concat!(
            "WITH asked AS MATERIALIZED (
                 SELECT CASE WHEN admitted THEN NULL ELSE admit_mail($2, $3, $4, $5, $6, $7, $8) END AS refused_until
                   FROM ",
            $table,
            " WHERE ",
            $id,
            " = $1
             ), noted AS (
                 UPDATE ",
            $table,
            " SET admitted = true FROM asked WHERE ",
            $id,
            " = $1 AND asked.refused_until IS NULL
             )
             SELECT refused_until FROM asked"
        )
    };
}

const ADMIT_DUE: &str = admit!("mail_queue", "mail_id");
const ADMIT_RESET: &str = admit!("reset_requests", "reset_id");

#[async_trait]
impl MailGate for PostgresStore {
    async fn admit(
        &self,
        entry: QueuedMail,
        to: &Email,
        kind: MailKind,
        now: Timestamp,
    ) -> Result<Admission, StoreError> {
        let (statement, id) = match entry {
            QueuedMail::Due(id) => (ADMIT_DUE, id),
            QueuedMail::Reset(reset) => (ADMIT_RESET, reset.as_uuid()),
        };
        let mailbox = self.vault.pepper.mailbox(to);
        let (quota, of_all) = (kind.quota(), kind.quota_of_all());
        let refused_until: Option<Option<OffsetDateTime>> = self
            .connections
            .ask(|pool| {
                sqlx::query_scalar(statement)
                    .bind(id)
                    .bind(mailbox)
                    .bind(kind.as_str())
                    .bind(now.date_time())
                    .bind(quota.latest_use(now).date_time())
                    .bind(quota.then_one_per)
                    .bind(of_all.latest_use(now).date_time())
                    .bind(of_all.then_one_per)
                    .fetch_optional(pool)
            })
            .await?;
        Ok(match refused_until {
            None => Admission::Gone,
            Some(None) => Admission::Admitted,
            Some(Some(until)) => Admission::Refused {
                until: Timestamp::new(until),
            },
        })
    }
}
