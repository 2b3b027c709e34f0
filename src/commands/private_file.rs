//! Files for personal data, which only their owner can read.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context, anyhow};

/// Creates a file that only its owner can read and write. An existing file or link of that name is not opened, because
/// it might belong to another user.
///
/// # Errors
/// There is something of that name, or the file cannot be created.
pub(super) fn create(path: &Path) -> anyhow::Result<File> {
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    created
        .map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                anyhow!("it exists already; remove it or name another file")
            }
            _ => error.into(),
        })
        .with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_new_file_is_private_and_an_existing_file_or_link_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export");
        let file = create(&path).unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let link = folder.path().join("link");
        symlink(folder.path().join("elsewhere"), &link).unwrap();
        for taken in [&path, &link] {
            let error = format!("{:#}", create(taken).unwrap_err());
            assert!(error.contains("exists already"), "{error}");
        }
        assert!(!folder.path().join("elsewhere").exists());
    }
}
