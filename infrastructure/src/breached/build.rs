//! Builds the local list from a published one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::DIGEST_BYTES;
use super::file::{BUCKETS, HEADER_BYTES, MAGIC, VERSION, entry_of};

/// The longest line that is read, in bytes. Lines of published lists have about 50.
const LONGEST_LINE: u64 = 256;

/// Hexadecimal digits of a hash.
const HEX_DIGITS: usize = 2 * DIGEST_BYTES;

/// Hexadecimal digits in the name of a file of one prefix.
const PREFIX_DIGITS: usize = 5;

/// The result of a build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BuiltList {
    /// Entries of the list.
    pub entries: u64,
    /// Lines that are not valid. If there are any, no list was written.
    pub bad_lines: u64,
}

/// Why a list was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file cannot be read.
    #[error("{} cannot be read", .0.display())]
    Source(PathBuf, #[source] io::Error),
    /// The list cannot be written.
    #[error("the list cannot be written")]
    Target(#[source] io::Error),
    /// The folder has no files of prefixes.
    #[error("the folder has no files named 00000.txt to FFFFF.txt")]
    EmptyFolder,
}

/// Builds the list `target` from `source`: a file with lines `SHA1:count` that is sorted by hash, or a folder with a file for
/// each prefix of five digits, whose lines have the rest of the hash. Other lines are reported to `on_bad_line` by the file,
/// their number and the reason. Then nothing is written, so that an incomplete list never replaces a complete one.
///
/// The memory does not depend on the length of the list.
///
/// # Errors
/// A file cannot be read or written.
pub fn build(
    source: &Path,
    target: &Path,
    mut on_bad_line: impl FnMut(&Path, u64, &str),
) -> Result<BuiltList, BuildError> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let draft = target.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let built = build_draft(source, &draft, &mut on_bad_line);
    match built {
        Ok(built) if built.bad_lines == 0 => {
            std::fs::rename(&draft, target).map_err(BuildError::Target)?;
            // The new name survives a power failure.
            let folder = target.parent().filter(|it| !it.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))
                .and_then(|folder| folder.sync_all())
                .map_err(BuildError::Target)?;
            Ok(built)
        }
        other => {
            // A draft that cannot be removed is harmless: no program reads it.
            drop(std::fs::remove_file(&draft));
            other
        }
    }
}

fn build_draft(
    source: &Path,
    draft: &Path,
    on_bad_line: &mut dyn FnMut(&Path, u64, &str),
) -> Result<BuiltList, BuildError> {
    let mut builder = Builder::create(draft).map_err(BuildError::Target)?;
    if source.is_dir() {
        let mut found = false;
        for prefix in 0..1_u32 << (4 * PREFIX_DIGITS) {
            let prefix = format!("{prefix:05X}");
            if let Some((path, file)) = open_prefix(source, &prefix)? {
                found = true;
                builder.read(&path, file, &prefix, on_bad_line)?;
            }
        }
        if !found {
            return Err(BuildError::EmptyFolder);
        }
    } else {
        let file = File::open(source).map_err(|error| unreadable(source, error))?;
        builder.read(source, file, "", on_bad_line)?;
    }
    builder.finish().map_err(BuildError::Target)
}

/// The file of a prefix, in a folder as downloaders write it: `0000A.txt` or `0000A`.
fn open_prefix(folder: &Path, prefix: &str) -> Result<Option<(PathBuf, File)>, BuildError> {
    for name in [format!("{prefix}.txt"), prefix.to_owned()] {
        let path = folder.join(name);
        match File::open(&path) {
            Ok(file) => return Ok(Some((path, file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&path, error)),
        }
    }
    Ok(None)
}

fn unreadable(path: &Path, error: io::Error) -> BuildError {
    BuildError::Source(path.to_owned(), error)
}

/// A list that is being written.
struct Builder {
    file: BufWriter<File>,
    /// The number of entries in each bucket so far.
    counts: Vec<u64>,
    last: Option<(usize, u64)>,
    built: BuiltList,
}

impl Builder {
    fn create(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        file.seek(SeekFrom::Start(HEADER_BYTES))?;
        Ok(Self {
            file,
            counts: vec![0; BUCKETS],
            last: None,
            built: BuiltList::default(),
        })
    }

    /// Adds the lines of a file, whose hashes begin with `prefix`.
    fn read(
        &mut self,
        path: &Path,
        file: File,
        prefix: &str,
        on_bad_line: &mut dyn FnMut(&Path, u64, &str),
    ) -> Result<(), BuildError> {
        let mut lines = BufReader::with_capacity(1 << 20, file);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = (&mut lines)
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut line)
                .map_err(|error| unreadable(path, error))?;
            if read == 0 {
                break;
            }
            let is_whole = line.ends_with(b"\n") || (read as u64) < LONGEST_LINE;
            if !is_whole {
                lines
                    .skip_until(b'\n')
                    .map_err(|error| unreadable(path, error))?;
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let parsed = is_whole.then(|| digest_in(prefix, text)).flatten();
            let why = match parsed {
                Some(digest) if self.is_in_order(&digest) => {
                    self.add(&digest).map_err(BuildError::Target)?;
                    continue;
                }
                Some(_) => "is not sorted by hash",
                None => {
                    "is not a SHA-1 hash and a count, as in 0018A45C4D1DEF81644B54AB7F969B88D65:12"
                }
            };
            self.built.bad_lines += 1;
            on_bad_line(path, number, why);
        }
        Ok(())
    }

    fn is_in_order(&self, digest: &[u8; DIGEST_BYTES]) -> bool {
        self.last.is_none_or(|last| last <= entry_of(digest))
    }

    fn add(&mut self, digest: &[u8; DIGEST_BYTES]) -> io::Result<()> {
        let (bucket, entry) = entry_of(digest);
        // Two hashes can have the same first ten bytes.
        if self.last == Some((bucket, entry)) {
            return Ok(());
        }
        self.last = Some((bucket, entry));
        self.built.entries += 1;
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.file.write_all(&entry.to_be_bytes())
    }

    /// Writes the header and the index, once they are known.
    fn finish(mut self) -> io::Result<BuiltList> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&MAGIC)?;
        self.file.write_all(&VERSION.to_be_bytes())?;
        self.file.write_all(&self.built.entries.to_be_bytes())?;
        let mut end = 0_u64;
        for count in &self.counts {
            end += count;
            self.file.write_all(&end.to_be_bytes())?;
        }
        let file = self
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(self.built)
    }
}

/// The hash in a line, after the digits of `prefix`; `None` unless the line is a hash, a colon and a number. The count may be
/// missing.
fn digest_in(prefix: &str, line: &[u8]) -> Option<[u8; DIGEST_BYTES]> {
    let line = std::str::from_utf8(line).ok()?;
    let (rest, count) = line.split_once(':').unwrap_or((line, "1"));
    let is_count = !count.is_empty() && count.bytes().all(|digit| digit.is_ascii_digit());
    if !is_count || prefix.len() + rest.len() != HEX_DIGITS {
        return None;
    }
    let mut digest = [0; DIGEST_BYTES];
    hex::decode_to_slice(format!("{prefix}{rest}"), &mut digest).ok()?;
    Some(digest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::file::BreachedFile;
    use super::*;

    fn digest(number: u64) -> [u8; DIGEST_BYTES] {
        let hash = aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
            &number.to_be_bytes(),
        );
        hash.as_ref().try_into().unwrap()
    }

    /// Builds a list of these lines; returns its path and what was bad.
    fn built(folder: &Path, text: &str) -> (PathBuf, BuiltList, Vec<(u64, String)>) {
        let (source, target) = (folder.join("source.txt"), folder.join("list"));
        std::fs::write(&source, text).unwrap();
        let mut bad = Vec::new();
        let built = build(&source, &target, |_, number, why| {
            bad.push((number, why.to_owned()));
        });
        (target, built.unwrap(), bad)
    }

    fn lines(digests: &[[u8; DIGEST_BYTES]]) -> String {
        let mut lines: Vec<_> = digests
            .iter()
            .map(|digest| format!("{}:7\r\n", hex::encode_upper(digest)))
            .collect();
        lines.sort();
        lines.concat()
    }

    #[test]
    fn a_list_has_its_hashes_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let digests: Vec<_> = (0..20_000).map(digest).collect();
        let (path, built, bad) = built(folder.path(), &lines(&digests));
        assert_eq!((built.entries, bad), (20_000, vec![]));
        let list = BreachedFile::open(&path).unwrap();
        for number in 0..40_000 {
            let is_listed = list.contains(&digest(number)).unwrap();
            assert_eq!(is_listed, number < 20_000, "{number}");
        }
        let bytes = std::fs::metadata(path).unwrap().len();
        assert_eq!(bytes, HEADER_BYTES + 8 * 20_000);
        // The first and the last possible hash, and an empty list.
        let ends = [[0; DIGEST_BYTES], [0xff; DIGEST_BYTES]];
        for (listed, expected) in [(&ends[..], true), (&[], false)] {
            let (path, ..) = self::built(folder.path(), &lines(listed));
            let list = BreachedFile::open(&path).unwrap();
            assert!(ends.iter().all(|it| list.contains(it).unwrap() == expected));
        }
    }

    #[test]
    fn a_folder_with_a_file_for_each_prefix_is_the_same_list() {
        let folder = tempfile::tempdir().unwrap();
        let digests: Vec<_> = (0..300).map(digest).collect();
        for line in lines(&digests).lines() {
            let (prefix, rest) = line.split_at(PREFIX_DIGITS);
            let path = folder.path().join(format!("{prefix}.txt"));
            let before = std::fs::read_to_string(&path).unwrap_or_default();
            std::fs::write(&path, format!("{before}{rest}\r\n")).unwrap();
        }
        let target = tempfile::tempdir().unwrap();
        let list = target.path().join("list");
        let whole = build(folder.path(), &list, |_, _, why| panic!("{why}")).unwrap();
        assert_eq!(whole.entries, 300);
        let list = BreachedFile::open(&list).unwrap();
        assert!(digests.iter().all(|it| list.contains(it).unwrap()));
        assert!(!list.contains(&digest(301)).unwrap());
        let empty = build(target.path(), &target.path().join("other"), |_, _, _| ());
        assert!(matches!(empty, Err(BuildError::EmptyFolder)));
    }

    #[test]
    fn bad_lines_are_reported_by_number_and_keep_the_earlier_list() {
        let folder = tempfile::tempdir().unwrap();
        let (path, ..) = built(folder.path(), &lines(&[digest(1)]));
        let [first, last] = ["0".repeat(40), "F".repeat(40)];
        let text = format!(
            "{first}:1\n\nnonsense\n{last}:2\n{first}:1\n{last}\n{last}:x\n{long}\n{last}:3",
            long = "0".repeat(1000)
        );
        let (_, result, bad) = built(folder.path(), &text);
        let numbers: Vec<u64> = bad.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [3, 5, 7, 8]);
        assert_eq!(bad[1].1, "is not sorted by hash");
        assert_eq!((result.entries, result.bad_lines), (2, 4));
        let list = BreachedFile::open(&path).unwrap();
        assert!(list.contains(&digest(1)).unwrap());
        let files = std::fs::read_dir(folder.path()).unwrap();
        assert_eq!(files.count(), 2, "no draft is left");
    }

    #[test]
    fn a_file_that_is_no_list_or_is_damaged_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, ..) = built(folder.path(), &lines(&[digest(1), digest(2)]));
        let good = std::fs::read(&path).unwrap();
        let why = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            BreachedFile::open(&path).err().unwrap().to_string()
        };
        assert!(why(b"0018A45C4D1DEF81644B54AB7F969B88D65:12\n").contains("no list"));
        assert!(why(b"").contains("no list"));
        assert!(why(&good[..good.len() - 8]).contains("damaged"));
        let mut changed = good.clone();
        changed[23] = 2;
        assert!(why(&changed).contains("version 2"));
        let mut changed = good.clone();
        changed[40] = 0xff;
        assert!(why(&changed).contains("damaged"));
        let mut changed = good;
        changed[24] = 0xff;
        assert!(why(&changed).contains("damaged"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_lines_or_are_reported(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            shaped in "([0-9A-Fa-f]{38,41}(:[0-9]{0,3})?\r?\n){0,5}",
        ) {
            let folder = tempfile::tempdir().unwrap();
            for bytes in [bytes.as_slice(), shaped.as_bytes()] {
                let source = folder.path().join("source");
                std::fs::write(&source, bytes).unwrap();
                let target = folder.path().join("list");
                let result = build(&source, &target, |_, _, _| ()).unwrap();
                prop_assert_eq!(target.exists(), result.bad_lines == 0);
                if result.bad_lines == 0 {
                    prop_assert!(BreachedFile::open(&target).is_ok());
                    std::fs::remove_file(&target).unwrap();
                }
            }
        }
    }
}
