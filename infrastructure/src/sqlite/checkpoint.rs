//! Keeping the write-ahead log bounded.
//!
//! SQLite copies the log back into the database after every thousand pages, but reuses the log from its start only
//! when no reader uses it. Readers that overlap without a gap, however short each is, would let it grow without
//! bound. So beyond a size the writer waits for the current readers and truncates it. After an erasure it does so at
//! any size.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// How long the writer waits for readers to finish. Our own take milliseconds, on a busy machine a few dozen; it does
/// not wait longer for a reader of another program.
const READER_TIMEOUT: Duration = Duration::from_millis(500);

/// The size that the write-ahead log of a database may reach.
pub(super) struct WalLimit {
    file: PathBuf,
    step: u64,
    next: u64,
}

impl WalLimit {
    /// 64 MB: a few seconds of writing at full speed, and small in comparison with a disk.
    pub(super) const BYTES: u64 = 64 * 1024 * 1024;

    /// A limit for the write-ahead log `file`.
    pub(super) fn new(file: &Path, bytes: u64) -> Self {
        Self {
            file: file.to_owned(),
            step: bytes,
            next: bytes,
        }
    }

    /// Truncates the log if it has outgrown its limit. While a reader holds it, truncation is tried again at each
    /// further multiple of the limit, not at each commit.
    pub(super) fn keep(&mut self, connection: &Connection) {
        let size = self.size();
        if size < self.next {
            return;
        }
        if let Err(error) = truncate(connection) {
            tracing::warn!(%error, "the write-ahead log could not be truncated");
        }
        self.next = self.size() + self.step;
    }

    fn size(&self) -> u64 {
        std::fs::metadata(&self.file).map_or(0, |file| file.len())
    }
}

/// Truncates the log of the database in `path` over a separate connection, and waits up to three seconds for readers.
/// Returns whether this was possible.
pub(super) fn truncate_from_outside(path: &Path) -> rusqlite::Result<bool> {
    const TRIES: u32 = 6;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(READER_TIMEOUT)?;
    for _ in 0..TRIES {
        let busy: i64 =
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Truncates the log over the writing connection.
pub(super) fn truncate(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(READER_TIMEOUT)?;
    let truncated = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    connection.busy_timeout(super::connection::BUSY_TIMEOUT)?;
    truncated
}
