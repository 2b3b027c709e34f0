//! News of sessions that ended, from the log itself.
//!
//! The cursor is the xmin of the snapshot in which the query before was made: every transaction below it had ended, and
//! what it wrote was seen. Whatever was still running then, or began since, has a number from xmin on. So asking for
//! these misses nothing, however long a commit takes, and some revocations come twice.

use async_trait::async_trait;
use authlog_application::ports::{Revocation, RevocationCursor, RevocationSource, StoreError};
use authlog_domain::user::RaisedEpoch;
use authlog_domain::{SessionId, Timestamp};
use sqlx::FromRow;
use uuid::Uuid;

use super::PostgresStore;
use crate::store::{revocation, unreadable};

/// Events that match `$condition`, joined to the next cursor, which is there even if no event is. The types are those of
/// the partial indexes, word for word.
macro_rules! revocations {
    ($condition:literal) => {
        concat!(
            r"
            SELECT here.next, e.event_type, e.aggregate_id::uuid AS aggregate_id,
                   (e.payload -> e.event_type ->> 'session_epoch')::bigint AS session_epoch,
                   (e.payload -> e.event_type ->> 'kept_session')::uuid AS kept_session
              FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS next) AS here
              LEFT JOIN events e
                ON e.event_type IN ('LoggedOut', 'RefreshTokenReused', 'SessionRevoked', 'PasswordReset', 'PasswordChanged', 'SessionsRevoked', 'RoleChanged', 'UserLocked', 'UserErased')
               AND ",
            $condition
        )
    };
}

const SINCE: &str = revocations!("e.recorded_at >= $1");
const AFTER: &str = revocations!("e.txid >= $1::text::xid8");

#[derive(FromRow)]
struct Row {
    next: i64,
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

fn answer(rows: &[Row]) -> Result<(Vec<Revocation>, RevocationCursor), StoreError> {
    let next = rows
        .first()
        .ok_or_else(|| unreadable(sqlx::Error::RowNotFound))?
        .next;
    let revocations = rows
        .iter()
        .filter_map(|row| row.revocation().transpose())
        .collect::<Result<_, _>>()?;
    Ok((revocations, RevocationCursor(next)))
}

#[async_trait]
impl RevocationSource for PostgresStore {
    async fn revocations_since(
        &self,
        since: Timestamp,
    ) -> Result<(Vec<Revocation>, RevocationCursor), StoreError> {
        let since = since.date_time();
        let rows: Vec<Row> = self
            .connections
            .ask(|pool| sqlx::query_as(SINCE).bind(since).fetch_all(pool))
            .await?;
        answer(&rows).inspect(|(news, _)| self.vault.heed(news))
    }

    async fn revocations_after(
        &self,
        cursor: RevocationCursor,
    ) -> Result<(Vec<Revocation>, RevocationCursor), StoreError> {
        let cursor = cursor.0.to_string();
        let rows: Vec<Row> = self
            .connections
            .ask(|pool| sqlx::query_as(AFTER).bind(&cursor).fetch_all(pool))
            .await?;
        answer(&rows).inspect(|(news, _)| self.vault.heed(news))
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
