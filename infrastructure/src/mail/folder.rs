//! The folder of mail files, which stay until they are deleted.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use authlog_application::ports::{LocalMail, MailError};
use authlog_domain::UserId;

/// The folder into which a [`FileMailer`](super::FileMailer) writes, or wrote before mail was sent by SMTP. It need not
/// exist.
pub struct MailFolder(PathBuf);

impl MailFolder {
    /// The folder at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, MailError> {
        let path = self.0.clone();
        tokio::task::spawn_blocking(move || work(&path))
            .await
            .map_err(|error| MailError::Transient(error.into()))?
            .map_err(|error| MailError::Transient(error.into()))
    }
}

#[async_trait]
impl LocalMail for MailFolder {
    async fn accounts(&self) -> Result<Vec<UserId>, MailError> {
        self.run_blocking(|folder| {
            let accounts: BTreeSet<UserId> = files(folder)?.map(|(user, _)| user).collect();
            Ok(accounts.into_iter().collect())
        })
        .await
    }

    async fn forget(&self, user: UserId) -> Result<(), MailError> {
        self.run_blocking(move |folder| delete(folder, user)).await
    }
}

fn delete(folder: &Path, user: UserId) -> io::Result<()> {
    let mut deleted = false;
    for (_, path) in files(folder)?.filter(|(account, _)| *account == user) {
        match fs::remove_file(path) {
            // The mailer has renamed the finished file meanwhile. It detects by itself that the account is erased.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        deleted = true;
    }
    if deleted {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// The mail files, complete or not, each with the account in its name.
fn files(folder: &Path) -> io::Result<impl Iterator<Item = (UserId, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let paths = entries.into_iter().flatten().filter_map(Result::ok);
    Ok(paths.filter_map(|entry| {
        let name = entry.file_name();
        let (_, rest) = name.to_str()?.split_once('-')?;
        let user = UserId::parse(rest.get(..36)?)?;
        Some((user, entry.path()))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[tokio::test]
    async fn only_the_mail_of_one_account_is_deleted() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path();
        let [ann, eve] = [1, 2].map(|id| UserId::new(Uuid::from_u128(id)));
        let id = Uuid::from_u128(9);
        for user in [ann, eve] {
            fs::write(
                folder.join(format!("20240724T163405337Z-{user}-{id}.eml")),
                "x",
            )
            .unwrap();
            let unfinished = format!(".20240724T163405338Z-{user}-{id}.eml.part");
            fs::write(folder.join(unfinished), "x").unwrap();
        }
        fs::write(folder.join("notes-of-the-operator.txt"), "x").unwrap();
        let mail = MailFolder::new(folder);
        assert_eq!(mail.accounts().await.unwrap(), [ann, eve]);
        mail.forget(ann).await.unwrap();
        mail.forget(ann).await.unwrap();
        assert_eq!(mail.accounts().await.unwrap(), [eve]);
        assert_eq!(fs::read_dir(folder).unwrap().count(), 3);
    }

    #[tokio::test]
    async fn a_missing_folder_has_no_mail() {
        let parent = tempfile::tempdir().unwrap();
        let mail = MailFolder::new(parent.path().join("mail"));
        assert_eq!(mail.accounts().await.unwrap(), []);
        mail.forget(UserId::new(Uuid::from_u128(1))).await.unwrap();
    }
}
