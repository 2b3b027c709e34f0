//! The events of one account: a range of an index, in which the order of positions is the order of the log.

use authlog_application::ports::RecordedEvent;
use authlog_application::ports::{HistoryFilter, HistoryPage, PastEvent, StoreError};
use authlog_domain::{AggregateKind, ClientId, SessionId, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::SqliteStore;
use super::errors::malformed;
use super::event_store::json;
use crate::history::{SealedHistory, impl_history, make_unreadable};
use crate::store::KeyVault;

/// An event whose entry is missing from the log is shown nevertheless. The statement is the same for all filters, and
/// examines a bounded number of events; [`Filter`] chooses among them.
const SELECT: &str = "
    SELECT l.log_index, e.recorded_at, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version,
        e.payload, e.metadata, e.position
    FROM events AS e INDEXED BY events_by_user
    LEFT JOIN event_log AS l ON l.log_index = e.position AND l.aggregate_type = e.aggregate_type
        AND l.aggregate_id = e.aggregate_id AND l.sequence = e.sequence
    WHERE e.user_id = ? AND e.position > ?
    ORDER BY e.position LIMIT ?";

/// The first event of a session.
const ORIGIN: &str = "
    SELECT NULL, recorded_at, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata
    FROM events WHERE aggregate_type = 'session' AND aggregate_id = ?2 AND sequence = 1 AND user_id = ?1";

/// The events of a client: a range of the stream, and so of its unique index.
const OF_CLIENT: &str = "
    SELECT l.log_index, e.recorded_at, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version,
        e.payload, e.metadata
    FROM events AS e
    LEFT JOIN event_log AS l ON l.log_index = e.position AND l.aggregate_type = e.aggregate_type
        AND l.aggregate_id = e.aggregate_id AND l.sequence = e.sequence
    WHERE e.aggregate_type = 'client' AND e.aggregate_id = ? AND e.sequence > ?
    ORDER BY e.sequence LIMIT ?";

impl_history!(SqliteStore);

impl SealedHistory for SqliteStore {
    async fn sealed_history(
        &self,
        user: UserId,
        after: u64,
        limit: u32,
        filter: &HistoryFilter,
    ) -> Result<HistoryPage, StoreError> {
        let looks_at = filter.looks_at(limit);
        let filter = Filter::of(filter);
        self.page_readers
            .read(move |connection| page(connection, user, after, (looks_at, limit), &filter))
            .await
    }

    async fn sealed_origins(
        &self,
        user: UserId,
        sessions: &[SessionId],
    ) -> Result<Vec<PastEvent>, StoreError> {
        let ids: Vec<String> = sessions.iter().map(SessionId::to_string).collect();
        self.page_readers
            .read(move |connection| {
                let mut select = connection.prepare_cached(ORIGIN)?;
                let mut events = Vec::new();
                for id in ids {
                    let event = select.query_row(params![user.to_string(), id], past_event);
                    events.extend(event.optional()?);
                }
                Ok(events)
            })
            .await
    }

    async fn events_of_client(
        &self,
        client: &ClientId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<PastEvent>, StoreError> {
        let (id, after) = (client.to_string(), i64::try_from(after).unwrap_or(i64::MAX));
        self.page_readers
            .read(move |connection| {
                connection
                    .prepare_cached(OF_CLIENT)?
                    .query_map(params![id, after, limit], past_event)?
                    .collect()
            })
            .await
    }

    fn vault(&self) -> &KeyVault {
        &self.vault
    }
}

/// Examines up to `looks_at` events after a log index, until `limit` of them have passed the filter.
fn page(
    connection: &Connection,
    user: UserId,
    after: u64,
    (looks_at, limit): (u32, u32),
    filter: &Filter,
) -> rusqlite::Result<HistoryPage> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut select = connection.prepare_cached(SELECT)?;
    let mut rows = select.query(params![user.to_string(), after, looks_at])?;
    let (mut page, mut looked_at, mut last) = (HistoryPage::default(), 0, None);
    while page.events.len() < limit as usize
        && let Some(row) = rows.next()?
    {
        looked_at += 1;
        last = Some(row.get::<_, i64>(9)?.unsigned_abs());
        if filter.passes(row)? {
            page.events.push(past_event(row)?);
        }
    }
    let may_be_more = looked_at == looks_at || page.events.len() == limit as usize;
    page.next = last.filter(|_| may_be_more);
    Ok(page)
}

/// The wanted events, in the units of the rows.
struct Filter {
    since: i64,
    until: Option<i64>,
    event_types: Vec<String>,
    session: Option<String>,
}

impl Filter {
    fn of(filter: &HistoryFilter) -> Self {
        let micros = |at: Timestamp| at.unix_millis().saturating_mul(1000);
        Self {
            since: filter.since.map_or(i64::MIN, micros),
            until: filter.until.map(micros),
            event_types: filter.event_types.clone(),
            session: filter.session.map(|session| session.to_string()),
        }
    }

    fn passes(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let recorded_at: i64 = row.get(1)?;
        if recorded_at < self.since || self.until.is_some_and(|until| recorded_at >= until) {
            return Ok(false);
        }
        let text = |column: usize| -> rusqlite::Result<&str> { Ok(row.get_ref(column)?.as_str()?) };
        if let Some(session) = &self.session
            && (text(2)? != AggregateKind::Session.as_str() || text(3)? != session)
        {
            return Ok(false);
        }
        let event_type = text(5)?;
        Ok(self.event_types.is_empty() || self.event_types.iter().any(|it| it == event_type))
    }
}

fn past_event(row: &Row<'_>) -> rusqlite::Result<PastEvent> {
    let index: Option<i64> = row.get(0)?;
    let micros: i64 = row.get(1)?;
    let sequence: i64 = row.get(4)?;
    let mut event = RecordedEvent {
        aggregate_type: row.get(2)?,
        aggregate_id: row.get(3)?,
        sequence: u64::try_from(sequence).map_err(|error| malformed(4, error))?,
        event_type: row.get(5)?,
        event_version: row.get(6)?,
        payload: Value::Null,
        metadata: Value::Null,
    };
    match (json(row, 7), json(row, 8)) {
        (Ok(payload), Ok(metadata)) => {
            event.payload = payload;
            event.metadata = metadata;
        }
        _ => make_unreadable(&mut event),
    }
    Ok(PastEvent {
        log_index: index.map(i64::unsigned_abs),
        recorded_at: Timestamp::from_unix_millis(micros.div_euclid(1000)),
        event,
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;
    use uuid::Uuid;

    use super::super::connection::open_writer;
    use super::*;

    #[test]
    fn a_page_takes_no_more_steps_of_a_long_history_than_of_a_short_one() {
        const INSERT: &str = "
            INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
            VALUES ('session', 's', ?2, 'TokenRefreshed', '1', '{}', json_object('user_id', ?1))";
        let folder = tempfile::tempdir().unwrap();
        let connection = open_writer(&folder.path().join("authlog.db")).unwrap();
        let user = UserId::new(Uuid::from_u128(7));
        let of_no_event = HistoryFilter {
            event_types: vec!["PasswordReset".to_owned()],
            ..HistoryFilter::default()
        };
        let steps = |filter: &HistoryFilter| {
            let looks_at = filter.looks_at(1);
            let page = page(&connection, user, 100, (looks_at, 1), &Filter::of(filter)).unwrap();
            assert_eq!(page.next, Some(100 + u64::from(looks_at)));
            let select = connection.prepare_cached(SELECT).unwrap();
            select.reset_status(StatementStatus::VmStep)
        };
        let mut counted = Vec::new();
        for (from, to) in [(1, 1_200), (1_201, 12_000)] {
            let transaction = connection.unchecked_transaction().unwrap();
            let mut insert = transaction.prepare(INSERT).unwrap();
            for sequence in from..=to {
                insert.execute(params![user.to_string(), sequence]).unwrap();
            }
            drop(insert);
            transaction.commit().unwrap();
            counted.push((steps(&HistoryFilter::default()), steps(&of_no_event)));
        }
        assert_eq!(counted[0], counted[1]);
        assert!(
            counted[0].0 > 0 && counted[0].1 > counted[0].0,
            "{counted:?}"
        );
    }
}
