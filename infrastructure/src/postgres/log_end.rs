//! The end of the log, and the check that the sequencer's mark is there.
//!
//! The mark says after which event the next batch begins. It moves in the transaction that writes the entries, so it is
//! at the event of the last entry. A mark that is ahead would leave out events for ever, and one that is behind would
//! stop the sequencer.

use sqlx::{FromRow, PgExecutor};

use crate::transparency::LogEnd;

/// After a restore the mark has neither transaction nor position: then the events up to `min_position` are in the log,
/// no matter which transaction wrote them. The sequence has drawn that position before.
const END: &str = r"
    SELECT least((SELECT min(log_index) FROM event_log), 1) AS first_index,
           coalesce(entry.log_index, 0) AS last_index,
           EXISTS (SELECT FROM event_log WHERE log_index = $1 + 1) AS has_next,
           entry.log_index IS NULL OR event.position IS NOT NULL AS has_last_event,
           mark.last_index AS marked,
           CASE WHEN (mark.last_txid, mark.last_position) = ('0'::xid8, 0)
                THEN coalesce(event.position, 0) <= mark.min_position
                ELSE coalesce((event.txid, event.position) = (mark.last_txid, mark.last_position), false) END
             AS is_at_the_event,
           CASE WHEN mark.min_position = 0 THEN true
                ELSE mark.min_position <= coalesce(
                    (SELECT last_value FROM pg_sequences
                      WHERE format('%I.%I', schemaname, sequencename) = pg_get_serial_sequence('events', 'position')),
                    mark.min_position) END AS is_drawn
      FROM (SELECT 1) AS always
      LEFT JOIN sequencer AS mark ON true
      LEFT JOIN LATERAL (SELECT * FROM event_log ORDER BY log_index DESC LIMIT 1) AS entry ON true
      LEFT JOIN LATERAL (SELECT e.txid, e.position FROM events AS e
                          WHERE e.aggregate_type = entry.aggregate_type AND e.aggregate_id = entry.aggregate_id
                            AND e.sequence = entry.sequence) AS event ON true";

#[derive(FromRow)]
struct Row {
    first_index: i64,
    last_index: i64,
    has_next: bool,
    has_last_event: bool,
    /// None where the sequencer has no mark.
    marked: Option<i64>,
    is_at_the_event: bool,
    is_drawn: Option<bool>,
}

pub(super) async fn read(
    executor: impl PgExecutor<'_>,
    signed: i64,
) -> Result<LogEnd, sqlx::Error> {
    let row: Row = sqlx::query_as(END).bind(signed).fetch_one(executor).await?;
    Ok(LogEnd {
        first_index: row.first_index,
        last_index: row.last_index,
        has_next: row.has_next,
        has_last_event: row.has_last_event,
        disagreement: row.disagreement(),
    })
}

impl Row {
    fn disagreement(&self) -> Option<String> {
        let last = self.last_index;
        match self.marked {
            None => Some("the sequencer's mark was deleted".to_owned()),
            Some(marked) if marked != last => Some(format!(
                "the sequencer's mark is at {marked}, and the log ends at {last}"
            )),
            Some(_) if !self.is_at_the_event => Some(format!(
                "the sequencer's mark is not at the event of the last entry, {last}: events get no place, or would get a second one"
            )),
            Some(_) if self.is_drawn == Some(false) => Some(
                "the sequencer's mark leaves out positions that no event has had yet".to_owned(),
            ),
            Some(_) => None,
        }
    }
}
