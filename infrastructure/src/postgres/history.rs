//! The events of one account, including those that have no log index yet.

use authlog_application::ports::RecordedEvent;
use authlog_application::ports::{HistoryFilter, HistoryPage, PastEvent, StoreError};
use authlog_domain::{ClientId, SessionId, Timestamp, UserId};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};

use super::PostgresStore;
use super::errors::store_error;
use super::instants::StoredInstant;
use crate::history::{SealedHistory, impl_history, make_unreadable};
use crate::store::{KeyVault, unreadable};

/// Reads the events in the log and those that are not there yet in one statement, and so in one snapshot. A filter that
/// is null passes everything. There is always a first row, which says which events were examined.
///
/// The sequencer orders by (txid, position), and so does an index of each account's events: the walk begins after the
/// last event up to place $2 and ends after $8 events. The order differs for events that were restored from a backup
/// (`sequencer.min_position`): those are sorted by their places each time, all of the account, until they have been
/// read.
const READ: &str = r"
    WITH start AS MATERIALIZED (
        SELECT e.txid, e.position
          FROM event_log l JOIN events e USING (aggregate_type, aggregate_id, sequence)
         WHERE l.log_index <= $2
         ORDER BY l.log_index DESC LIMIT 1
    ), mark AS MATERIALIZED (
        SELECT min_position AS restored,
               coalesce((SELECT position FROM start) <= min_position, min_position > 0) AS in_restored
          FROM sequencer
    ), walk AS MATERIALIZED (
        SELECT * FROM (
            (SELECT l.log_index, e.*
               FROM events e JOIN event_log l USING (aggregate_type, aggregate_id, sequence)
              WHERE (SELECT in_restored FROM mark)
                AND e.user_id = $1 AND e.position <= (SELECT restored FROM mark) AND l.log_index > $2
              ORDER BY l.log_index LIMIT $8)
            UNION ALL
            (SELECT (SELECT l.log_index FROM event_log l
                      WHERE (l.aggregate_type, l.aggregate_id, l.sequence)
                          = (e.aggregate_type, e.aggregate_id, e.sequence)) AS log_index, e.*
               FROM mark, events_of_user_after(
                    $1,
                    CASE WHEN in_restored THEN '0'::xid8 ELSE coalesce((SELECT txid FROM start), '0'::xid8) END,
                    CASE WHEN in_restored THEN 0 ELSE coalesce((SELECT position FROM start), 0) END,
                    restored, $8) e)
        ) AS either
        ORDER BY log_index NULLS LAST, txid, position LIMIT $8
    ), looked_at AS MATERIALIZED (
        SELECT count(*) AS looked_at, max(log_index) AS last_index,
               coalesce(bool_or(log_index IS NULL), false) AS has_unplaced
          FROM walk
    )
    SELECT looked_at.*, page.log_index, page.recorded_at, page.aggregate_type, page.aggregate_id, page.sequence,
           page.event_type, page.event_version, page.payload, page.metadata
      FROM looked_at LEFT JOIN (
        SELECT * FROM walk e
         WHERE ($4::timestamptz IS NULL OR e.recorded_at >= $4)
           AND ($5::timestamptz IS NULL OR e.recorded_at < $5)
           AND ($6::text[] IS NULL OR e.event_type = ANY($6))
           AND ($7::text IS NULL OR (e.aggregate_type = 'session' AND e.aggregate_id = $7))
         ORDER BY log_index NULLS LAST, txid, position LIMIT $3
      ) AS page ON true
     ORDER BY page.log_index NULLS LAST, page.txid, page.position";

/// The first events of sessions.
const ORIGINS: &str = r"
    SELECT NULL::bigint AS log_index, recorded_at, aggregate_type, aggregate_id, sequence, event_type, event_version,
           payload, metadata
      FROM events
     WHERE aggregate_type = 'session' AND aggregate_id = ANY($2) AND sequence = 1 AND user_id = $1";

/// The events of a client: a range of the primary key.
const OF_CLIENT: &str = r"
    SELECT (SELECT l.log_index FROM event_log l
             WHERE (l.aggregate_type, l.aggregate_id, l.sequence)
                 = (e.aggregate_type, e.aggregate_id, e.sequence)) AS log_index,
           recorded_at, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata
      FROM events e
     WHERE aggregate_type = 'client' AND aggregate_id = $1 AND sequence > $2
     ORDER BY sequence LIMIT $3";

/// Which events a page examined, and whether some of them have no log index yet.
#[derive(FromRow)]
struct Walk {
    looked_at: i64,
    last_index: Option<i64>,
    has_unplaced: bool,
}

#[derive(FromRow)]
struct EventRow {
    log_index: Option<i64>,
    recorded_at: StoredInstant,
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    event_type: String,
    event_version: String,
    payload: Value,
    metadata: Value,
}

impl_history!(PostgresStore);

impl SealedHistory for PostgresStore {
    async fn sealed_history(
        &self,
        user: UserId,
        after: u64,
        limit: u32,
        filter: &HistoryFilter,
    ) -> Result<HistoryPage, StoreError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let types = (!filter.event_types.is_empty()).then_some(&filter.event_types);
        let session = filter.session.map(|session| session.to_string());
        let looks_at = filter.looks_at(limit);
        let rows = self
            .connections
            .ask(|pool| {
                sqlx::query(READ)
                    .bind(user.as_uuid())
                    .bind(after)
                    .bind(i64::from(limit))
                    .bind(filter.since.map(Timestamp::date_time))
                    .bind(filter.until.map(Timestamp::date_time))
                    .bind(types)
                    .bind(session.clone())
                    .bind(i64::from(looks_at))
                    .fetch_all(pool)
            })
            .await?;
        page(&rows, limit, looks_at)
    }

    async fn sealed_origins(
        &self,
        user: UserId,
        sessions: &[SessionId],
    ) -> Result<Vec<PastEvent>, StoreError> {
        let ids: Vec<String> = sessions.iter().map(SessionId::to_string).collect();
        let rows: Vec<EventRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(ORIGINS)
                    .bind(user.as_uuid())
                    .bind(&ids)
                    .fetch_all(pool)
            })
            .await?;
        rows.into_iter().map(PastEvent::try_from).collect()
    }

    async fn events_of_client(
        &self,
        client: &ClientId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<PastEvent>, StoreError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let rows: Vec<EventRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(OF_CLIENT)
                    .bind(client.as_str())
                    .bind(after)
                    .bind(i64::from(limit))
                    .fetch_all(pool)
            })
            .await?;
        rows.into_iter().map(PastEvent::try_from).collect()
    }

    fn vault(&self) -> &KeyVault {
        &self.vault
    }
}

/// The rows of [`READ`] as a page.
fn page(rows: &[PgRow], limit: u32, looks_at: u32) -> Result<HistoryPage, StoreError> {
    let mut page = HistoryPage::default();
    let Some(first) = rows.first() else {
        return Ok(page);
    };
    let walk = Walk::from_row(first).map_err(store_error)?;
    // If no event passes the filter, there is one row without an event.
    let event_type: Option<&str> = first.try_get("event_type").map_err(store_error)?;
    if event_type.is_some() {
        let events = rows
            .iter()
            .map(|row| PastEvent::try_from(EventRow::from_row(row).map_err(store_error)?));
        page.events = events.collect::<Result<_, _>>()?;
    }
    let last = page.events.last();
    if page.events.len() == limit as usize && last.is_some_and(|event| event.log_index.is_some()) {
        page.next = last.and_then(|event| event.log_index);
    } else if walk.looked_at == i64::from(looks_at) && !walk.has_unplaced {
        page.next = walk.last_index.map(i64::unsigned_abs);
    }
    // A page cannot begin after an event without a log index, so there is no next page once the walk has reached those.
    Ok(page)
}

impl TryFrom<EventRow> for PastEvent {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        let mut event = RecordedEvent {
            aggregate_id: row.aggregate_id,
            sequence: u64::try_from(row.sequence).map_err(unreadable)?,
            aggregate_type: row.aggregate_type,
            event_type: row.event_type,
            event_version: row.event_version,
            payload: row.payload,
            metadata: row.metadata,
        };
        let recorded_at = row.recorded_at.get().unwrap_or_else(|| {
            make_unreadable(&mut event);
            Timestamp::from_unix_millis(0)
        });
        Ok(Self {
            log_index: row.log_index.map(i64::unsigned_abs),
            recorded_at,
            event,
        })
    }
}
