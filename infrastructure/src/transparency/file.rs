//! The checkpoint file: an append-only file for copies elsewhere.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use async_trait::async_trait;

use super::exporter::{CheckpointSink, Notes, SinkError};
use super::note::notes_in;
use super::store::StoredCheckpoint;

/// Bytes in one read. A note has a few hundred bytes.
const CHUNK: u64 = 64 * 1024;

/// A file of notes, with an empty line after each.
pub struct CheckpointFile {
    path: PathBuf,
    /// The end of the last complete note that was read or added, in bytes.
    read_to: u64,
    /// The file that was read last, by device and inode.
    file: Option<(u64, u64)>,
}

impl CheckpointFile {
    /// The file at `path`. It is created with the first checkpoint.
    pub const fn new(path: PathBuf) -> Self {
        Self {
            path,
            read_to: 0,
            file: None,
        }
    }

    fn failed(&self, error: &std::io::Error) -> SinkError {
        SinkError(format!("the file {}: {error}", self.path.display()))
    }

    fn next_notes(&mut self) -> std::io::Result<Notes> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.read_to = 0;
                let replaced = self.file.take().is_some();
                return Ok(Notes {
                    replaced,
                    notes: vec![],
                });
            }
            other => other?,
        };
        let metadata = file.metadata()?;
        let replaced = self.is_another(&metadata);
        if replaced {
            self.read_to = 0;
        }
        self.file = Some(identity(&metadata));
        let tail = self.unread(&mut file)?;
        let Some(whole) = end_of_last_note(&tail) else {
            // The last note may be incomplete, because another program is writing it or has crashed.
            let is_foreign = self.read_to == 0 && !tail.is_empty() || tail.len() as u64 == CHUNK;
            return if is_foreign {
                let foreign = "it holds something else than checkpoints";
                Err(std::io::Error::new(ErrorKind::InvalidData, foreign))
            } else {
                Ok(Notes {
                    replaced,
                    notes: vec![],
                })
            };
        };
        self.read_to += whole as u64;
        let notes = notes_in(&String::from_utf8_lossy(&tail[..whole]));
        Ok(Notes { replaced, notes })
    }

    /// Whether the file was replaced or truncated since the last read.
    fn is_another(&self, metadata: &Metadata) -> bool {
        self.file.is_some_and(|file| file != identity(metadata)) || metadata.len() < self.read_to
    }

    fn unread(&self, file: &mut File) -> std::io::Result<Vec<u8>> {
        file.seek(SeekFrom::Start(self.read_to))?;
        let mut tail = Vec::new();
        file.take(CHUNK).read_to_end(&mut tail)?;
        Ok(tail)
    }

    /// Appends a note. An incomplete note that a crash left at the end is removed first.
    fn append(&mut self, note: &str) -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .mode(0o644)
            .open(&self.path)?;
        let metadata = file.metadata()?;
        let tail = self.unread(&mut file)?;
        if self.is_another(&metadata) || end_of_last_note(&tail).is_some() {
            let changed = "it has changed since it was read";
            return Err(std::io::Error::new(ErrorKind::InvalidData, changed));
        }
        if !tail.is_empty() {
            file.set_len(self.read_to)?;
        }
        let text = format!("{note}\n");
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        self.file = Some(identity(&metadata));
        self.read_to += text.len() as u64;
        Ok(())
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// The end of the last note that is complete with its signature and the empty line after it.
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
        format!("the file {}", self.path.display())
    }

    async fn read(&mut self) -> Result<Notes, SinkError> {
        self.next_notes().map_err(|error| self.failed(&error))
    }

    fn rewind(&mut self) {
        self.read_to = 0;
    }

    async fn add(&mut self, checkpoint: &StoredCheckpoint) -> Result<(), SinkError> {
        self.append(&checkpoint.note)
            .map_err(|error| self.failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn note(size: u64) -> StoredCheckpoint {
        StoredCheckpoint {
            tree_size: size,
            note: format!("example.com/log\n{size}\nroot\n\n— example.com/log c2lnbmF0dXJl\n"),
        }
    }

    /// All remaining notes, and whether the file was replaced.
    async fn all_of(file: &mut CheckpointFile) -> (Vec<String>, bool) {
        let (mut all, mut replaced) = (vec![], false);
        loop {
            let read = file.read().await.unwrap();
            replaced |= read.replaced;
            if read.notes.is_empty() {
                return (all, replaced);
            }
            all.extend(read.notes);
        }
    }

    async fn of_two_notes(path: &Path) -> CheckpointFile {
        let mut file = CheckpointFile::new(path.to_owned());
        assert_eq!(all_of(&mut file).await, (vec![], false));
        file.add(&note(1)).await.unwrap();
        file.add(&note(2)).await.unwrap();
        file
    }

    #[tokio::test]
    async fn an_incomplete_note_of_a_crash_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints");
        of_two_notes(&path).await;
        let whole = std::fs::read(&path).unwrap();
        let third = format!("{}\n", note(3).note);
        for torn in 0..third.len() {
            std::fs::write(&path, [&whole, &third.as_bytes()[..torn]].concat()).unwrap();
            let mut file = CheckpointFile::new(path.clone());
            let notes = vec![note(1).note, note(2).note];
            assert_eq!(all_of(&mut file).await, (notes, false), "{torn}");
            file.add(&note(3)).await.unwrap();
            let expected = [whole.as_slice(), third.as_bytes()].concat();
            assert_eq!(std::fs::read(&path).unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_long_file_is_read_in_chunks_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints");
        let notes: Vec<String> = (1..=4000).map(|size| note(size).note).collect();
        let text: String = notes.iter().map(|note| format!("{note}\n")).collect();
        assert!(text.len() as u64 > 2 * CHUNK);
        std::fs::write(&path, text).unwrap();
        let mut file = CheckpointFile::new(path);
        assert_eq!(all_of(&mut file).await, (notes.clone(), false));
        assert_eq!(all_of(&mut file).await, (vec![], false));
        file.rewind();
        assert_eq!(all_of(&mut file).await, (notes, false));
    }

    #[tokio::test]
    async fn a_replaced_file_is_read_from_its_first_note() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints");
        let mut file = of_two_notes(&path).await;
        assert_eq!(
            all_of(&mut file).await,
            (vec![], false),
            "the notes are its own"
        );
        // The file is moved away, and a new one is begun.
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        assert_eq!(all_of(&mut file).await, (vec![], true));
        assert_eq!(all_of(&mut file).await, (vec![], false));
        file.add(&note(5)).await.unwrap();
        assert_eq!(all_of(&mut file).await, (vec![], false));
        // The file is moved away, and another program begins a new one between two reads.
        std::fs::rename(&path, folder.path().join("older")).unwrap();
        std::fs::write(&path, format!("{}\n", note(6).note)).unwrap();
        assert!(file.add(&note(7)).await.is_err());
        assert_eq!(all_of(&mut file).await, (vec![note(6).note], true));
        // The file is truncated.
        std::fs::write(&path, "").unwrap();
        assert_eq!(all_of(&mut file).await, (vec![], true));
    }

    #[tokio::test]
    async fn notes_of_another_program_are_read_before_one_is_added() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints");
        let (mut ours, mut theirs) = (of_two_notes(&path).await, CheckpointFile::new(path));
        all_of(&mut theirs).await;
        theirs.add(&note(3)).await.unwrap();
        assert!(ours.add(&note(4)).await.is_err());
        assert_eq!(all_of(&mut ours).await, (vec![note(3).note], false));
        ours.add(&note(4)).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter");
        std::fs::write(&path, "Dear Ada,\n\nhow are you?\n").unwrap();
        let outcome = CheckpointFile::new(path.clone()).read().await;
        assert!(outcome.unwrap_err().0.contains("something else"));
        assert!(
            std::fs::read_to_string(&path)
                .unwrap()
                .starts_with("Dear Ada")
        );
    }
}
