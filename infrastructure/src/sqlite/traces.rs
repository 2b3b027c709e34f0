//! Copies of rows in the unused middle of a page, and their removal.
//!
//! `secure_delete` overwrites a row in place. But when SQLite splits or merges pages it moves rows, and leaves the
//! old bytes in the gap between the page's list of rows and its rows (`rebuildPage` in btree.c), where no later
//! deletion finds them. So an erasure searches these gaps, and if it finds a copy it rewrites the whole file. That is
//! rare: *measured*, for one erasure in several hundred.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use rusqlite::{Connection, OpenFlags, Result};

/// The file's header (SQLite's "Database File Format", 1.3) comes before the first page's own.
const FILE_HEADER: usize = 100;

/// Whether one of `needles` is in the unused middle of a page of the database in `path`. The rest of the file is read
/// and not searched: what is there is in use, or was overwritten.
pub(super) fn any_in(path: &Path, needles: &[Vec<u8>]) -> io::Result<bool> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut header = [0; FILE_HEADER];
    file.read_exact(&mut header)?;
    let size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => usize::from(size),
    };
    if size <= FILE_HEADER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut page = vec![0; size];
    page[..FILE_HEADER].copy_from_slice(&header);
    file.read_exact(&mut page[FILE_HEADER..])?;
    let mut begins_at = FILE_HEADER;
    loop {
        if holds(gap(&page, begins_at), needles) {
            return Ok(true);
        }
        match file.read_exact(&mut page) {
            Ok(()) => begins_at = 0,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn holds(gap: &[u8], needles: &[Vec<u8>]) -> bool {
    gap.iter().any(|byte| *byte != 0)
        && needles.iter().any(|needle| {
            !needle.is_empty() && gap.windows(needle.len()).any(|bytes| bytes == needle)
        })
}

/// The bytes between the list of rows and the rows of a page (1.6); none if the page is not part of a b-tree.
fn gap(page: &[u8], begins_at: usize) -> &[u8] {
    let header = match page[begins_at] {
        2 | 5 => 12,
        10 | 13 => 8,
        _ => return &[],
    };
    let number = |at: usize| usize::from(u16::from_be_bytes([page[at], page[at + 1]]));
    let rows = number(begins_at + 3);
    let content = match number(begins_at + 5) {
        0 => 65_536,
        content => content,
    };
    page.get(begins_at + header + 2 * rows..content)
        .unwrap_or_default()
}

/// Rewrites the whole database in `path` (`VACUUM`). Others may read meanwhile; writers wait.
pub(super) fn rewrite(path: &Path) -> Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(super::connection::BUSY_TIMEOUT)?;
    connection.execute_batch("VACUUM")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows under scattered keys, some of which grow; a third are deleted again.
    fn scattered(path: &Path) -> Vec<Vec<u8>> {
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch(
                "PRAGMA secure_delete = ON; BEGIN;
                 CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT, more TEXT) STRICT, WITHOUT ROWID",
            )
            .unwrap();
        let id = |number: u64| format!("{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let name = |number: u64| format!("<wombat {number} {}>", "x".repeat(number as usize % 89));
        for number in 0..4000 {
            let insert = "INSERT INTO people (id, name, more) VALUES (?, ?, printf('%.80c', 'm'))";
            connection
                .execute(insert, [id(number), name(number)])
                .unwrap();
        }
        for number in (0..4000).step_by(3) {
            let grow = "UPDATE people SET more = more || printf('%.60c', 'n') WHERE id = ?";
            connection.execute(grow, [id(number)]).unwrap();
        }
        for number in (0..4000).step_by(3) {
            let delete = "DELETE FROM people WHERE id = ?";
            connection.execute(delete, [id(number)]).unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
        let deleted = (0..4000).step_by(3);
        deleted.map(|number| name(number).into_bytes()).collect()
    }

    #[test]
    fn copies_of_moved_rows_are_found_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.db");
        let deleted = scattered(&path);
        let left = || -> Vec<&Vec<u8>> {
            let bytes = std::fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            let names = deleted.iter();
            names
                .filter(|name| text.contains(&*String::from_utf8_lossy(name)))
                .collect()
        };
        let copies = left();
        assert!(!copies.is_empty(), "SQLite leaves no copies any more");
        for copy in &copies {
            assert!(any_in(&path, std::slice::from_ref(*copy)).unwrap());
        }
        rewrite(&path).unwrap();
        assert!(!any_in(&path, &deleted).unwrap());
        assert!(left().is_empty());
    }

    #[test]
    fn data_in_use_is_not_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.db");
        scattered(&path);
        let kept: Vec<_> = [b"<wombat 3998 ".to_vec()].into();
        rewrite(&path).unwrap();
        assert!(!any_in(&path, &kept).unwrap());
    }

    #[test]
    fn a_file_that_is_not_a_database_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter");
        std::fs::write(&path, "Dear Ada").unwrap();
        assert!(any_in(&path, &[]).is_err());
    }
}
