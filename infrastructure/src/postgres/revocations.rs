//! News of sessions that ended, from the log itself.
//!
//! The cursor is the xmin of the snapshot in which the query before was made: every transaction below it had ended, and
//! what it wrote was seen. Whatever was still running then, or began since, has a number from xmin on. So asking for
//! these misses nothing, however long a commit takes, and some revocations come twice.

use async_trait::async_trait;
use authlog_application::ports::{
    HearRevocations, Revocation, RevocationCursor, RevocationSource, StoreError,
};
use authlog_domain::user::RaisedEpoch;
use authlog_domain::{SessionId, Timestamp};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::PostgresStore;
use crate::store::{revocation, unreadable};

/// What there is to know of an event that ends sessions.
macro_rules! revocation_columns {
    () => {
        r"e.event_type, e.aggregate_id::uuid AS aggregate_id,
          (e.payload -> e.event_type ->> 'session_epoch')::bigint AS session_epoch,
          (e.payload -> e.event_type ->> 'kept_session')::uuid AS kept_session"
    };
}

/// Whether an event ends sessions. The types are those of the partial indexes, word for word.
macro_rules! ends_sessions {
    () => {
        "e.event_type IN ('LoggedOut', 'RefreshTokenReused', 'SessionRevoked', 'PasswordReset', 'PasswordChanged', 'SessionsRevoked', 'RoleChanged', 'UserLocked', 'UserErased')"
    };
}

/// Where to go on from.
const END: &str = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint";

/// The next of those since an instant.
const SINCE: &str = concat!(
    "SELECT e.recorded_at, e.position, ",
    revocation_columns!(),
    " FROM events e WHERE ",
    ends_sessions!(),
    r" AND e.recorded_at >= $1 AND (e.recorded_at, e.position) > ($1, $2)
       ORDER BY e.recorded_at, e.position
       LIMIT $3",
);

/// Those of transactions from the cursor on, joined to the next cursor, which is there even if no event is.
const AFTER: &str = concat!(
    "SELECT here.next, ",
    revocation_columns!(),
    r" FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS next) AS here
       LEFT JOIN events e ON e.txid >= $1::text::xid8 AND ",
    ends_sessions!(),
);

/// Revocations that are read at once: a statement takes some ten milliseconds.
const PAGE: i64 = 10_000;

#[derive(FromRow)]
struct Past {
    recorded_at: OffsetDateTime,
    position: i64,
    #[sqlx(flatten)]
    row: Row,
}

#[derive(FromRow)]
struct News {
    next: i64,
    #[sqlx(flatten)]
    row: Row,
}

#[derive(FromRow)]
struct Row {
    event_type: Option<String>,
    aggregate_id: Option<Uuid>,
    session_epoch: Option<i64>,
    kept_session: Option<Uuid>,
}

impl Row {
    fn revocation(&self) -> Result<Option<Revocation>, StoreError> {
        let (Some(event_type), Some(id)) = (self.event_type.as_deref(), self.aggregate_id) else {
            return Ok(None);
        };
        let raised = self
            .session_epoch
            .map(|epoch| {
                Ok::<_, StoreError>(RaisedEpoch {
                    epoch: u32::try_from(epoch).map_err(unreadable)?,
                    kept_session: self.kept_session.map(SessionId::new),
                })
            })
            .transpose()?;
        revocation(event_type, id, raised)
    }
}

impl PostgresStore {
    fn heed<'a>(&self, rows: impl Iterator<Item = &'a Row>) -> Result<Vec<Revocation>, StoreError> {
        let news = rows
            .filter_map(|row| row.revocation().transpose())
            .collect::<Result<Vec<_>, _>>()?;
        self.vault.heed(&news);
        Ok(news)
    }
}

#[async_trait]
impl RevocationSource for PostgresStore {
    async fn revocations_since(
        &self,
        since: Timestamp,
        hear: HearRevocations<'_>,
    ) -> Result<RevocationCursor, StoreError> {
        // First: what is committed while the past is read comes after it.
        let end = self
            .connections
            .ask(|pool| sqlx::query_scalar(END).fetch_one(pool))
            .await?;
        let mut reached = (since.date_time(), i64::MIN);
        loop {
            let rows: Vec<Past> = self
                .connections
                .ask(|pool| {
                    sqlx::query_as(SINCE)
                        .bind(reached.0)
                        .bind(reached.1)
                        .bind(PAGE)
                        .fetch_all(pool)
                })
                .await?;
            let Some(last) = rows.last() else {
                return Ok(RevocationCursor(end));
            };
            reached = (last.recorded_at, last.position);
            hear(self.heed(rows.iter().map(|past| &past.row))?);
        }
    }

    async fn revocations_after(
        &self,
        cursor: RevocationCursor,
    ) -> Result<(Vec<Revocation>, RevocationCursor), StoreError> {
        let cursor = cursor.0.to_string();
        let rows: Vec<News> = self
            .connections
            .ask(|pool| sqlx::query_as(AFTER).bind(&cursor).fetch_all(pool))
            .await?;
        let first = rows.first();
        let first = first.ok_or_else(|| unreadable(sqlx::Error::RowNotFound))?;
        let next = RevocationCursor(first.next);
        Ok((self.heed(rows.iter().map(|news| &news.row))?, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::REVOKING_EVENT_TYPES;

    #[test]
    fn the_query_and_the_indexes_name_the_revoking_types_in_the_same_words() {
        let list = format!("event_type IN ('{}')", REVOKING_EVENT_TYPES.join("', '"));
        let schema = include_str!("../../../migrations/postgres/0007_accounts.sql");
        assert_eq!(schema.matches(&list).count(), 2);
        assert!(SINCE.contains(&list) && AFTER.contains(&list));
    }
}
