//! The format of the local list: a header, an index, and the sorted hashes, cut to ten bytes.
//!
//! | bytes | content |
//! |---|---|
//! | 16 | `authlog-breached` |
//! | 8 | the version of the format, 1 |
//! | 8 | the number of entries |
//! | 65536 × 8 | for each value of the first two bytes of a hash: the number of entries up to and including its own |
//! | entries × 8 | bytes 3 to 10 of each hash, sorted |
//!
//! Numbers are big-endian. Another password has the same ten bytes by chance once in 2^80 / entries, which is 10^15 for a list
//! of a thousand million.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use super::DIGEST_BYTES;

/// The first bytes of a list.
pub(super) const MAGIC: [u8; 16] = *b"authlog-breached";

/// The version of the format.
pub(super) const VERSION: u64 = 1;

/// Values of the first two bytes of a hash.
pub(super) const BUCKETS: usize = 1 << 16;

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: u64 = 8;

/// Bytes before the entries.
pub(super) const HEADER_BYTES: u64 = 32 + 8 * BUCKETS as u64;

/// Why a file is no list of breached passwords.
#[derive(Debug, thiserror::Error)]
pub enum InvalidFile {
    /// The file cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[from] io::Error),
    /// The file does not begin like a list of this program.
    #[error("it is no list that `authlog breached import` made")]
    NoList,
    /// The file is of a later version.
    #[error("it has version {0} of the format, which this program does not know")]
    OtherVersion(u64),
    /// The index does not fit the entries.
    #[error("it is damaged; import the list again")]
    Damaged,
}

/// What tells whether a path names the file that was opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64, u64, i64, i64);

impl Identity {
    pub(super) fn of(file: &Metadata) -> Self {
        Self(
            file.dev(),
            file.ino(),
            file.len(),
            file.mtime(),
            file.mtime_nsec(),
        )
    }
}

/// An open list. Its index, of half a megabyte, is in memory; entries are read when they are compared.
pub(super) struct BreachedFile {
    file: File,
    pub(super) identity: Identity,
    /// The number of entries up to and including those of each bucket.
    ends: Vec<u64>,
}

impl BreachedFile {
    /// Opens a list and checks its header and index.
    pub(super) fn open(path: &Path) -> Result<Self, InvalidFile> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let mut header = [0; 32];
        file.read_exact_at(&mut header, 0).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                InvalidFile::NoList
            } else {
                error.into()
            }
        })?;
        let (magic, numbers) = header.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(InvalidFile::NoList);
        }
        let [version, entries] = [numbers_in(&numbers[..8]), numbers_in(&numbers[8..])]
            .map(|mut numbers| numbers.next().unwrap_or_default());
        if version != VERSION {
            return Err(InvalidFile::OtherVersion(version));
        }
        let length = entries
            .checked_mul(ENTRY_BYTES)
            .and_then(|bytes| bytes.checked_add(HEADER_BYTES));
        if length != Some(metadata.len()) {
            return Err(InvalidFile::Damaged);
        }
        let mut index = vec![0; 8 * BUCKETS];
        file.read_exact_at(&mut index, header.len() as u64)?;
        let ends: Vec<u64> = numbers_in(&index).collect();
        if !ends.is_sorted() || ends.last() != Some(&entries) {
            return Err(InvalidFile::Damaged);
        }
        Ok(Self {
            file,
            identity: Identity::of(&metadata),
            ends,
        })
    }

    /// Whether the list has this hash: a binary search among the entries with the same first two bytes, about fifteen reads
    /// of eight bytes in a list of a thousand million.
    pub(super) fn contains(&self, digest: &[u8; DIGEST_BYTES]) -> io::Result<bool> {
        let (bucket, entry) = entry_of(digest);
        let mut from = match bucket.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or_default(),
            None => 0,
        };
        let mut to = self.ends.get(bucket).copied().unwrap_or_default();
        while from < to {
            let middle = from + (to - from) / 2;
            let mut bytes = [0; 8];
            let at = HEADER_BYTES + middle * ENTRY_BYTES;
            self.file.read_exact_at(&mut bytes, at)?;
            match u64::from_be_bytes(bytes).cmp(&entry) {
                std::cmp::Ordering::Equal => return Ok(true),
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        Ok(false)
    }
}

/// The bucket of a hash, and its entry there.
pub(super) fn entry_of(digest: &[u8; DIGEST_BYTES]) -> (usize, u64) {
    let bucket = usize::from(u16::from_be_bytes([digest[0], digest[1]]));
    let mut entry = [0; 8];
    entry.copy_from_slice(&digest[2..10]);
    (bucket, u64::from_be_bytes(entry))
}

/// The big-endian numbers in these bytes.
fn numbers_in(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).map(|number| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(number);
        u64::from_be_bytes(bytes)
    })
}
