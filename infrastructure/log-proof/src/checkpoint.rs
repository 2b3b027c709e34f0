//! Checkpoints: the signed size and root of the log (C2SP `tlog-checkpoint`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::note::{NoteError, NoteKey, VerifierKey};
use crate::tree::Hash;

/// The size and the root of the log at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log, which is the name of the key that signs its checkpoints.
    pub origin: String,
    /// The number of events in the log.
    pub tree_size: u64,
    /// The root of the Merkle tree over these events.
    pub root: Hash,
}

/// Why a text is not a checkpoint of the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The text is not a signed note, or the key did not sign it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text is signed, but is not a checkpoint.
    #[error(
        "what is signed is not a checkpoint: origin, tree size and root hash (C2SP tlog-checkpoint)"
    )]
    Malformed,
    /// It is a checkpoint of another log.
    #[error("it is a checkpoint of another log, {0}")]
    OtherLog(String),
}

impl Checkpoint {
    /// The note of a checkpoint, signed with `key`. The origin is the name of the key.
    pub fn sign(tree_size: u64, root: Hash, key: &NoteKey) -> String {
        let origin = key.verifier().name();
        let root = STANDARD.encode(root.0);
        key.sign(&format!("{origin}\n{tree_size}\n{root}\n"))
    }

    /// Verifies and parses a checkpoint of the log for which `key` signs.
    ///
    /// # Errors
    /// The note is not signed with `key`, is not a checkpoint, or belongs to another log.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, CheckpointError> {
        let text = key.open(note)?;
        let checkpoint = Self::parse(text).ok_or(CheckpointError::Malformed)?;
        if checkpoint.origin == key.name() {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::OtherLog(checkpoint.origin))
        }
    }

    /// Parses a note without verifying its signature; `None` if it is not a checkpoint.
    pub fn unverified(note: &str) -> Option<Self> {
        let (text, _) = note.rsplit_once("\n\n")?;
        Self::parse(text)
    }

    /// Parses the text of a note. Lines after the third are extensions, which are ignored: this program defines none.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let origin = lines.next().filter(|origin| !origin.is_empty())?.to_owned();
        let size = lines.next()?;
        let tree_size: u64 = size.parse().ok()?;
        let root = STANDARD.decode(lines.next()?).ok()?;
        // Decimal without a sign or leading zeros.
        (tree_size.to_string() == size).then_some(Self {
            origin,
            tree_size,
            root: Hash(root.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_has_the_format_of_the_specification() {
        let key = NoteKey::new("example.com/log", &[1; 32]).unwrap();
        let root = Hash([0xab; 32]);
        let note = Checkpoint::sign(20_852_163, root, &key);
        let lines: Vec<&str> = note.lines().collect();
        assert_eq!(lines[0], "example.com/log");
        assert_eq!(lines[1], "20852163");
        assert_eq!(lines[2], "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=");
        assert_eq!(lines[3], "");
        assert!(lines[4].starts_with("— example.com/log "));
        let opened = Checkpoint::open(&note, key.verifier()).unwrap();
        assert_eq!((opened.tree_size, opened.root), (20_852_163, root));
    }

    #[test]
    fn a_signed_note_that_is_not_a_checkpoint_of_the_log_is_refused() {
        let key = NoteKey::new("example.com/log", &[1; 32]).unwrap();
        let root = "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=";
        for text in [
            "example.com/log\n".to_owned(),
            format!("example.com/log\n007\n{root}\n"),
            format!("example.com/log\n+7\n{root}\n"),
            format!("example.com/log\nseven\n{root}\n"),
            "example.com/log\n7\nq6s=\n".to_owned(),
        ] {
            let opened = Checkpoint::open(&key.sign(&text), key.verifier());
            assert_eq!(opened, Err(CheckpointError::Malformed), "{text}");
        }
        let other = key.sign(&format!("example.org/log\n7\n{root}\n"));
        let opened = Checkpoint::open(&other, key.verifier());
        assert!(matches!(opened, Err(CheckpointError::OtherLog(_))));
    }
}
