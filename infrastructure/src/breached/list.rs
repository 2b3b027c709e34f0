//! Lookups in the local list.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use authlog_application::Password;
use authlog_application::ports::{BreachLookup, BreachedPasswords};

use super::file::{BreachedFile, Identity, InvalidFile};
use super::{Digest, answer, count, digest_of};

/// How long a lookup may take. A disk that hangs must not hold up a registration.
const LIMIT: Duration = Duration::from_millis(500);

/// The local list of breached passwords. A list that is replaced is read from then on.
pub struct BreachedPasswordFile(Arc<Opened>);

struct Opened {
    path: PathBuf,
    file: Mutex<Option<Arc<BreachedFile>>>,
}

impl BreachedPasswordFile {
    /// The list in this file, which is opened when it is needed.
    pub fn at(path: PathBuf) -> Self {
        let file = Mutex::default();
        Self(Arc::new(Opened { path, file }))
    }

    /// Opens the list, so that a mistake is known at the start.
    ///
    /// # Errors
    /// It cannot be read, or is no list that this program made.
    pub fn check(&self) -> Result<(), InvalidFile> {
        self.0.current().map(drop)
    }
}

impl Opened {
    /// The list that the path names now.
    fn current(&self) -> Result<Arc<BreachedFile>, InvalidFile> {
        let found = Identity::of(&std::fs::metadata(&self.path)?);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = file.as_ref().filter(|open| open.identity == found) {
            return Ok(Arc::clone(open));
        }
        let opened = Arc::new(BreachedFile::open(&self.path)?);
        *file = Some(Arc::clone(&opened));
        Ok(opened)
    }

    fn contains(&self, digest: &Digest) -> Result<bool, InvalidFile> {
        Ok(self.current()?.contains(digest)?)
    }
}

#[async_trait]
impl BreachedPasswords for BreachedPasswordFile {
    async fn look_up(&self, password: &Password) -> BreachLookup {
        let (opened, digest) = (Arc::clone(&self.0), digest_of(password));
        let reading = tokio::task::spawn_blocking(move || opened.contains(&digest));
        let why = match tokio::time::timeout(LIMIT, reading).await {
            Ok(Ok(Ok(is_listed))) => return answer(is_listed),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(panic)) => panic.to_string(),
            Err(_) => "it was not read within half a second".to_owned(),
        };
        count("failed");
        tracing::warn!(
            file = %self.0.path.display(),
            "the list of breached passwords cannot be used, so passwords are not compared with it: {why}"
        );
        BreachLookup::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::super::build;
    use super::*;

    #[tokio::test]
    async fn a_replaced_list_is_read_and_a_missing_one_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let (source, path) = (folder.path().join("source"), folder.path().join("list"));
        let password = Password::parse("password").unwrap();
        let look_up = async |list: &BreachedPasswordFile| list.look_up(&password).await;
        let import = |lines: &str| {
            std::fs::write(&source, lines).unwrap();
            let built = build(&source, &path, |_, _, why| panic!("{why}"));
            assert!(built.is_ok());
        };
        assert!(BreachedPasswordFile::at(path.clone()).check().is_err());
        import("0000000000000000000000000000000000000000:1\n");
        let list = BreachedPasswordFile::at(path.clone());
        assert!(list.check().is_ok());
        assert_eq!(look_up(&list).await, BreachLookup::NotListed);
        // SHA-1 of "password".
        import("5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:9545824\n");
        assert_eq!(look_up(&list).await, BreachLookup::Listed);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(look_up(&list).await, BreachLookup::Unknown);
        std::fs::write(&path, "another file").unwrap();
        assert_eq!(look_up(&list).await, BreachLookup::Unknown);
        import("5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:9545824\n");
        assert_eq!(look_up(&list).await, BreachLookup::Listed);
    }
}
