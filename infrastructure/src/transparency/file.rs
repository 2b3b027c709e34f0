//! A file to which checkpoints are appended, for whoever copies it elsewhere.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use async_trait::async_trait;

use super::courier::{CheckpointSink, SinkError};
use super::note::notes_in;
use super::store::StoredCheckpoint;

/// The end of the file in which the last note is looked for: a note has a few hundred bytes.
const TAIL: u64 = 16 * 1024;

/// Notes one after the other, with an empty line after each.
pub struct CheckpointFile {
    path: PathBuf,
}

impl CheckpointFile {
    /// The file at `path`, which is made when there is something to append.
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn failed(&self, error: &std::io::Error) -> SinkError {
        SinkError(format!("the file {}: {error}", self.path.display()))
    }

    /// The last whole note. What a crash left half written behind it is cut off.
    fn last_note(&self) -> std::io::Result<Option<String>> {
        let mut file = match OpenOptions::new().read(true).write(true).open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let length = file.metadata()?.len();
        let start = length.saturating_sub(TAIL);
        file.seek(SeekFrom::Start(start))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        let Some(whole) = end_of_last_note(&tail) else {
            let foreign = "it holds something else than checkpoints";
            return if length == 0 {
                Ok(None)
            } else {
                Err(std::io::Error::new(ErrorKind::InvalidData, foreign))
            };
        };
        if whole < tail.len() {
            file.set_len(start + whole as u64)?;
        }
        Ok(notes_in(&String::from_utf8_lossy(&tail[..whole])).pop())
    }

    fn append(&self, note: &str) -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o644)
            .open(&self.path)?;
        file.write_all(format!("{note}\n").as_bytes())?;
        file.sync_data()
    }
}

/// Where the last note ends that is there with its signature and the empty line after it.
fn end_of_last_note(tail: &[u8]) -> Option<usize> {
    let ends = (2..=tail.len()).rev();
    ends.into_iter().find(|end| {
        let text = &tail[..*end];
        let line = text
            .strip_suffix(b"\n\n")
            .map(|text| text.rsplit(|byte| *byte == b'\n').next());
        line.flatten()
            .is_some_and(|line| line.starts_with("— ".as_bytes()))
    })
}

#[async_trait]
impl CheckpointSink for CheckpointFile {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    async fn last(&mut self) -> Result<Option<String>, SinkError> {
        self.last_note().map_err(|error| self.failed(&error))
    }

    async fn add(&mut self, checkpoint: &StoredCheckpoint) -> Result<(), SinkError> {
        self.append(&checkpoint.note)
            .map_err(|error| self.failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(size: u64) -> StoredCheckpoint {
        StoredCheckpoint {
            tree_size: size,
            note: format!("example.com/log\n{size}\nroot\n\n— example.com/log c2lnbmF0dXJl\n"),
        }
    }

    #[tokio::test]
    async fn what_a_crash_left_half_written_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints");
        let mut file = CheckpointFile::new(path.clone());
        assert_eq!(file.last().await.unwrap(), None);
        file.add(&note(1)).await.unwrap();
        file.add(&note(2)).await.unwrap();
        let whole = std::fs::read(&path).unwrap();
        let third = format!("{}\n", note(3).note);
        for torn in 0..third.len() {
            std::fs::write(&path, [&whole, &third.as_bytes()[..torn]].concat()).unwrap();
            assert_eq!(file.last().await.unwrap(), Some(note(2).note), "{torn}");
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
    }

    #[tokio::test]
    async fn a_file_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter");
        std::fs::write(&path, "Dear Ada,\n\nhow are you?\n").unwrap();
        let outcome = CheckpointFile::new(path.clone()).last().await;
        assert!(outcome.unwrap_err().0.contains("something else"));
        assert!(
            std::fs::read_to_string(&path)
                .unwrap()
                .starts_with("Dear Ada")
        );
    }
}
