//! Whether the files of the database are still those that were opened.
//!
//! If a file is removed or replaced while the service runs, later writes are lost: SQLite continues with the file that
//! it has open, and no program finds that file again.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// A file of the database was removed or replaced, so nothing is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the file {} was removed or replaced under the running service: put it back, or restart the service if what it holds \
     is to count",
    .0.display()
)]
pub(super) struct FileReplaced(PathBuf);

/// The files of a database that is open: the database itself and its write-ahead log.
pub(super) struct DatabaseFiles {
    database: PathBuf,
    wal: PathBuf,
    opened: FileId,
    /// The log is created by the first connection that needs it, and stays until the last one is closed.
    opened_wal: Mutex<Option<FileId>>,
    is_reported: AtomicBool,
}

/// The identity of a file, independent of its name.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl DatabaseFiles {
    /// The files of the database in `path`, which is open by now.
    ///
    /// # Errors
    /// The metadata of the file cannot be read.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        let files = Self {
            database: path.to_owned(),
            wal: wal.into(),
            opened: id_of(path)?.ok_or(io::ErrorKind::NotFound)?,
            opened_wal: Mutex::default(),
            is_reported: AtomicBool::new(false),
        };
        files.note_wal();
        Ok(files)
    }

    /// The write-ahead log.
    pub(super) fn wal(&self) -> &Path {
        &self.wal
    }

    /// Checks that the files are the ones that were opened. A file that was put back is accepted again.
    pub(super) fn check(&self) -> Result<(), FileReplaced> {
        let checked = self.compare();
        let is_replaced = checked.is_err();
        if is_replaced != self.is_reported.swap(is_replaced, Ordering::Relaxed) {
            match &checked {
                Err(error) => tracing::error!(%error, "writing has stopped"),
                Ok(()) => tracing::info!("the database files are back; writing continues"),
            }
        }
        checked
    }

    /// Whether the database is the one that was opened; `false` if its metadata cannot be read.
    pub(super) fn has_its_database(&self) -> bool {
        id_of(&self.database).is_ok_and(|id| id == Some(self.opened))
    }

    /// A file whose metadata cannot be read does not count as replaced.
    fn compare(&self) -> Result<(), FileReplaced> {
        if id_of(&self.database).is_ok_and(|id| id != Some(self.opened)) {
            return Err(FileReplaced(self.database.clone()));
        }
        let opened = *self
            .opened_wal
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match opened {
            Some(opened) if id_of(&self.wal).is_ok_and(|id| id != Some(opened)) => {
                Err(FileReplaced(self.wal.clone()))
            }
            Some(_) => Ok(()),
            None => {
                self.note_wal();
                Ok(())
            }
        }
    }

    fn note_wal(&self) {
        let id = id_of(&self.wal).ok().flatten();
        *self
            .opened_wal
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = id;
    }
}

/// The identity of the file with this name; `None` if there is none.
fn id_of(path: &Path) -> io::Result<Option<FileId>> {
    let id = |file: Metadata| FileId {
        device: file.dev(),
        inode: file.ino(),
    };
    match std::fs::metadata(path) {
        Ok(file) => Ok(Some(id(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_is_removed_or_replaced_is_noticed_until_it_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authlog.db");
        let wal = folder.path().join("authlog.db-wal");
        let aside = folder.path().join("aside");
        fs::write(&path, "database").unwrap();
        let files = DatabaseFiles::of(&path).unwrap();
        // The log comes later.
        files.check().unwrap();
        fs::write(&wal, "log").unwrap();
        files.check().unwrap();
        for file in [&path, &wal] {
            fs::rename(file, &aside).unwrap();
            assert_eq!(files.check(), Err(FileReplaced(file.clone())));
            assert_eq!(files.has_its_database(), *file != path);
            fs::copy(&aside, file).unwrap();
            assert_eq!(files.check(), Err(FileReplaced(file.clone())));
            assert_eq!(files.has_its_database(), *file != path);
            fs::rename(&aside, file).unwrap();
            files.check().unwrap();
            assert!(files.has_its_database());
        }
    }
}
