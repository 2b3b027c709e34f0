//! The check that the schema's objects are those that the migrations create.
//!
//! A person who can write to the file can add a trigger, drop the triggers that protect the log, or change an index.
//! The expected objects are read from a database in memory that this program has migrated. Other tables and indexes
//! without UNIQUE belong to the operator.

use std::collections::BTreeMap;

use rusqlite::{Connection, Result};

use super::connection::{expected_schema, is_newer};

/// The maximum number of faults in the file's structure that are reported.
const LINES: usize = 10;

/// Type, table and text of each object, by its name.
type Objects = BTreeMap<String, (String, String, String)>;

/// The objects that are missing, changed, or not created by this program. With `whole`, the file itself and every index
/// in it are examined too.
pub(super) fn faults(connection: &Connection, whole: bool) -> Result<Vec<String>> {
    let mut faults = if is_newer(connection)? {
        // A newer program checks the objects that it has created.
        vec![]
    } else {
        compare(&objects(&expected_schema()?)?, &objects(connection)?)
    };
    if whole {
        let mut check = connection.prepare(&format!("PRAGMA integrity_check({LINES})"))?;
        let lines = check.query_map([], |row| row.get::<_, String>(0))?;
        let lines = lines.collect::<Result<Vec<_>>>()?;
        faults.extend(lines.into_iter().filter(|line| line != "ok"));
    }
    Ok(faults)
}

fn objects(connection: &Connection) -> Result<Objects> {
    connection
        .prepare("SELECT name, type, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL")?
        .query_map([], |row| {
            let text: String = row.get(3)?;
            Ok((row.get(0)?, (row.get(1)?, row.get(2)?, plain(&text))))
        })?
        .collect()
}

/// The text without comments and quotes, which SQLite may write in another way when it alters a table.
fn plain(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default());
    let words = lines.collect::<Vec<_>>().join(" ").replace('"', "");
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn compare(expected: &Objects, found: &Objects) -> Vec<String> {
    let missing = expected
        .iter()
        .filter(|(name, object)| found.get(*name) != Some(*object));
    let missing =
        missing.map(|(name, (kind, ..))| format!("the {kind} {name} is missing or was changed"));
    let foreign = found.iter().filter(|(name, (kind, table, text))| {
        let is_ours = expected.contains_key(table);
        let changes_answers = kind == "trigger" || text.starts_with("CREATE UNIQUE");
        !expected.contains_key(*name) && is_ours && changes_answers
    });
    let foreign = foreign.map(|(name, (kind, table, _))| {
        format!("the {kind} {name} on {table} is not of this program")
    });
    missing.chain(foreign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The faults after `sql` was run on a new database.
    fn after(sql: &str) -> Vec<String> {
        let connection = expected_schema().unwrap();
        connection.execute_batch(sql).unwrap();
        faults(&connection, true).unwrap()
    }

    #[test]
    fn tables_and_plain_indexes_of_the_operator_are_no_fault() {
        let sql = "CREATE TABLE notes (text TEXT); CREATE INDEX by_name ON accounts (name)";
        assert_eq!(after(sql), Vec::<String>::new());
    }

    #[test]
    fn a_foreign_trigger_and_a_dropped_one_are_faults() {
        let foreign =
            "CREATE TRIGGER undo AFTER UPDATE ON accounts BEGIN DELETE FROM sessions; END";
        assert_eq!(
            after(foreign),
            ["the trigger undo on accounts is not of this program"]
        );
        let dropped = after("DROP TRIGGER events_are_never_deleted");
        assert_eq!(
            dropped,
            ["the trigger events_are_never_deleted is missing or was changed"]
        );
    }

    #[test]
    fn an_index_over_other_rows_is_a_fault() {
        let changed = after(
            "DROP INDEX events_ending_sessions_by_time;
             CREATE INDEX events_ending_sessions_by_time ON events (recorded_at) WHERE event_type = 'LoggedOut'",
        );
        assert_eq!(
            changed,
            ["the index events_ending_sessions_by_time is missing or was changed"]
        );
    }
}
