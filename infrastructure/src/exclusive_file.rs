//! Creating a file that another program may create at the same time. The first program wins.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Adds a name to a file, if no file has this name yet.
type Link = fn(&Path, &Path) -> io::Result<()>;

/// Creates `path` with these contents, readable only by its owner, unless it exists. `draft` is a name in the same directory
/// that no other program uses.
///
/// The file is complete as soon as it exists. Some volumes, such as file shares and some FUSE file systems, have no hard
/// links. On these, the file is empty for a moment, and stays empty if the program is interrupted then.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn create(path: &Path, draft: &Path, contents: &[u8]) -> io::Result<()> {
    create_by(path, draft, contents, |draft, path| {
        std::fs::hard_link(draft, path)
    })
}

fn create_by(path: &Path, draft: &Path, contents: &[u8], link: Link) -> io::Result<()> {
    let mut file = private(OpenOptions::new().create(true).truncate(true)).open(draft)?;
    file.write_all(contents)?;
    file.sync_all()?;
    let linked = link(draft, path);
    if is_refused(&linked) {
        return replace_own(path, draft);
    }
    std::fs::remove_file(draft)?;
    unless_exists(linked)
}

/// Creates an empty file at `path`, readable only by its owner, unless it exists.
///
/// The file is linked there if the volume has hard links. Opening and closing an existing file would release the locks that
/// this process holds on it (POSIX `fcntl`).
///
/// # Errors
/// The file cannot be created.
pub(crate) fn create_empty(path: &Path, draft: &Path) -> io::Result<()> {
    create_empty_by(path, draft, |draft, path| std::fs::hard_link(draft, path))
}

fn create_empty_by(path: &Path, draft: &Path, link: Link) -> io::Result<()> {
    private(OpenOptions::new().create(true).truncate(true)).open(draft)?;
    let linked = link(draft, path);
    std::fs::remove_file(draft)?;
    if is_refused(&linked) {
        // This never opens an existing file.
        return unless_exists(claim(path).map(drop));
    }
    unless_exists(linked)
}

/// Claims the name with an empty file, and replaces it by the draft.
fn replace_own(path: &Path, draft: &Path) -> io::Result<()> {
    match claim(path) {
        Ok(_) => std::fs::rename(draft, path),
        claimed => {
            std::fs::remove_file(draft)?;
            unless_exists(claimed.map(drop))
        }
    }
}

fn claim(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().create_new(true)).open(path)
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.write(true).mode(0o600)
}

/// Whether the error means that the volume has no hard links. That files can be created is known from the draft.
fn is_refused(linked: &io::Result<()>) -> bool {
    matches!(linked, Err(error) if error.kind() != ErrorKind::AlreadyExists)
}

/// Ignores the error that the file exists.
fn unless_exists(created: io::Result<()>) -> io::Result<()> {
    match created {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// The error of a volume without hard links.
    fn no_link(_: &Path, _: &Path) -> io::Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }

    const LINKS: [Link; 2] = [|draft, path| std::fs::hard_link(draft, path), no_link];

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_first_file_stays_with_and_without_hard_links() {
        for link in LINKS {
            let folder = tempfile::tempdir().unwrap();
            let (path, draft) = (folder.path().join("key"), folder.path().join("draft"));
            create_by(&path, &draft, b"first", link).unwrap();
            create_by(&path, &draft, b"second", link).unwrap();
            create_empty_by(&path, &draft, link).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"first");
            assert_eq!(mode(&path), 0o600);
            let other = folder.path().join("database");
            create_empty_by(&other, &draft, link).unwrap();
            assert_eq!(
                (std::fs::read(&other).unwrap(), mode(&other)),
                (vec![], 0o600)
            );
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        }
    }

    #[test]
    fn one_of_many_concurrent_creators_wins() {
        for link in LINKS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("key");
            std::thread::scope(|scope| {
                for number in 0..16_u8 {
                    let draft = folder.path().join(format!("{number}.draft"));
                    let path = &path;
                    scope.spawn(move || create_by(path, &draft, &[number; 32], link).unwrap());
                }
            });
            let contents = std::fs::read(&path).unwrap();
            assert!(contents.len() == 32 && contents.iter().all(|byte| *byte == contents[0]));
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }
}
