//! A mailer that writes files, for development and for operators with their own delivery.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use authlog_application::ports::{Clock, Mail, MailError, Mailer};

use super::MailerError;
use super::message::{Composed, Composer};

/// Writes each message to its own file, `20240724T163405337Z-<account>-<id>.eml`. So names sort by time, and the erasure of an
/// account finds its mail.
///
/// A file appears complete or not at all, and survives a crash once [`Mailer::send`] has returned. Its links can reset a
/// password, so the directory and the files are readable only by their owner.
pub struct FileMailer {
    directory: PathBuf,
    composer: Composer,
}

impl FileMailer {
    /// A mailer that writes into `directory`, which is created if it does not exist. `sender` is an address, or a name and
    /// an address in angle brackets.
    ///
    /// # Errors
    /// The sender is malformed, or the directory cannot be created.
    pub fn new(
        directory: impl Into<PathBuf>,
        sender: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, MailerError> {
        let directory = directory.into();
        let composer = Composer::new(sender, clock)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(MailerError::Directory)?;
        Ok(Self {
            directory,
            composer,
        })
    }
}

#[async_trait]
impl Mailer for FileMailer {
    async fn send(&self, mail: Mail) -> Result<(), MailError> {
        let user = mail.user;
        let Composed { at, id, message } = self.composer.compose(mail)?;
        let time: String = at
            .to_string()
            .chars()
            .filter(|c| c.is_ascii_alphanumeric())
            .collect();
        let name = format!("{time}-{user}-{id}.eml");
        let directory = self.directory.clone();
        tokio::task::spawn_blocking(move || write_whole(&directory, &name, &message.formatted()))
            .await
            .map_err(|error| MailError::Transient(error.into()))?
            .map_err(|error| MailError::Transient(error.into()))
    }
}

/// Writes a hidden file in the same directory and renames it. Both steps are synced to the disk.
fn write_whole(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = directory.join(format!(".{name}.part"));
    let written =
        write_new(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, directory.join(name)));
    if written.is_err() {
        // The first error is reported. A remaining hidden file does no harm.
        let _ = fs::remove_file(&unfinished);
    }
    written?;
    File::open(directory)?.sync_all()
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::SystemClock;
    use authlog_domain::{Email, UserId};
    use std::os::unix::fs::PermissionsExt as _;

    fn mailer(directory: &Path) -> FileMailer {
        FileMailer::new(directory, "no-reply@auth.example", Arc::new(SystemClock)).unwrap()
    }

    fn mail(text: &str) -> Mail {
        Mail {
            entry: uuid::Uuid::from_u128(9),
            user: UserId::new(uuid::Uuid::from_u128(7)),
            to: Email::parse("jo@example.com").unwrap(),
            subject: "Reset your password".to_owned(),
            text: text.to_owned(),
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn each_message_is_a_private_file_and_names_sort_by_time() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("data/mail");
        let mailer = mailer(&directory);
        for text in ["first\n", "second\n", "third\n"] {
            mailer.send(mail(text)).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        }
        assert_eq!(mode(&directory), 0o700);
        let mut files: Vec<PathBuf> = fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert_eq!(files.len(), 3, "{files:?}");
        for (file, text) in files.iter().zip(["first", "second", "third"]) {
            assert_eq!(file.extension().unwrap(), "eml");
            assert_eq!(mode(file), 0o600);
            let message = fs::read_to_string(file).unwrap();
            assert!(message.ends_with(&format!("\r\n\r\n{text}\r\n")));
        }
    }

    #[tokio::test]
    async fn a_directory_that_is_gone_is_a_transient_failure() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("mail");
        let mailer = mailer(&directory);
        fs::remove_dir(&directory).unwrap();
        let failure = mailer.send(mail("lost\n")).await;
        assert!(matches!(failure, Err(MailError::Transient(_))));
    }

    #[test]
    fn where_no_directory_can_be_made_there_is_no_mailer() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = FileMailer::new(
            file.join("mail"),
            "no-reply@auth.example",
            Arc::new(SystemClock),
        );
        assert!(matches!(refused.err(), Some(MailerError::Directory(_))));
    }
}
