//! The end of the log. An event and its entry are written in one transaction at the same position, so both tables end
//! there.

use rusqlite::{Connection, Result};

use crate::transparency::LogEnd;

/// Each subquery reads one end of an index. Several of them in one subquery would read the whole table.
const END: &str = "
    SELECT min(coalesce((SELECT min(log_index) FROM event_log), 1), coalesce((SELECT min(position) FROM events), 1)),
           coalesce((SELECT max(log_index) FROM event_log), 0),
           EXISTS (SELECT 1 FROM event_log WHERE log_index = ?1 + 1),
           coalesce((SELECT max(position) FROM events), 0),
           NOT EXISTS (SELECT 1 FROM event_log) OR EXISTS (
               SELECT 1 FROM event_log AS l JOIN events AS e ON e.position = l.log_index
                WHERE l.log_index = (SELECT max(log_index) FROM event_log)
                  AND (e.aggregate_type, e.aggregate_id, e.sequence) = (l.aggregate_type, l.aggregate_id, l.sequence))";

pub(super) fn read(connection: &Connection, signed: i64) -> Result<LogEnd> {
    connection.prepare_cached(END)?.query_row([signed], |row| {
        let (last_index, last_position): (i64, i64) = (row.get(1)?, row.get(3)?);
        Ok(LogEnd {
            first_index: row.get(0)?,
            last_index,
            has_next: row.get(2)?,
            has_last_event: row.get(4)?,
            disagreement: (last_index != last_position).then(|| {
                format!("the log ends at {last_index} and the events end at {last_position}")
            }),
        })
    })
}
