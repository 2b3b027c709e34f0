//! The master key: it is kept outside the database and encrypts all other keys.

use std::path::{Path, PathBuf};
use std::time::Duration;

use authlog_application::ports::Entropy;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Sealer, Unopenable};
use crate::exclusive_file;

/// The master key: 32 random bytes, written as base64. It has no `Debug`.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

/// Identifies a master key in a store without revealing it: HMAC-SHA-256 of a constant, truncated to 128 bits.
pub(crate) type Fingerprint = [u8; 16];

/// Why a master key could not be read or created.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The text is not a key.
    #[error(
        "a master key is 32 bytes in base64, 44 characters, as `openssl rand -base64 32` prints them"
    )]
    Malformed,
    /// The file cannot be read or created.
    #[error("the master key file {} cannot be used", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file does not hold a key.
    #[error("the master key file {} does not hold a master key: 32 bytes in base64", path.display())]
    MalformedFile {
        /// Which file.
        path: PathBuf,
    },
}

impl MasterKey {
    /// Reads a key from text; surrounding white space is ignored.
    ///
    /// # Errors
    /// It is not 32 bytes in base64.
    pub fn parse(text: &str) -> Result<Self, MasterKeyError> {
        let bytes = Zeroizing::new(
            STANDARD
                .decode(text.trim())
                .map_err(|_| MasterKeyError::Malformed)?,
        );
        let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| MasterKeyError::Malformed)?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// A new key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        entropy.fill(key.as_mut_slice());
        Self(key)
    }

    /// The key's fingerprint.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let tag = hmac::sign(&key, b"authlog master key fingerprint");
        let mut fingerprint = Fingerprint::default();
        fingerprint.copy_from_slice(&tag.as_ref()[..16]);
        fingerprint
    }

    /// Reads the key in `path`.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold a key.
    pub fn load(path: &Path) -> Result<Self, MasterKeyError> {
        let text = std::fs::read_to_string(path).map_err(|source| MasterKeyError::File {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&Zeroizing::new(text)).map_err(|_| MasterKeyError::MalformedFile {
            path: path.to_owned(),
        })
    }

    /// Reads the key in `path`. If there is no file, it is created with a new key and mode 0600. Two programs that
    /// start at the same time get the same key.
    ///
    /// # Errors
    /// The file cannot be read or created, or does not hold a key.
    pub fn load_or_create(path: &Path, entropy: &dyn Entropy) -> Result<Self, MasterKeyError> {
        let failed = |source| MasterKeyError::File {
            path: path.to_owned(),
            source,
        };
        let is_written = path.try_exists().map_err(failed)? && !is_empty(path).map_err(failed)?;
        if !is_written {
            Self::generate(entropy).create(path).map_err(failed)?;
        }
        Self::load(path)
    }

    fn create(&self, path: &Path) -> std::io::Result<()> {
        let draft = path.with_extension(format!("{}.draft", std::process::id()));
        let text = Zeroizing::new(STANDARD.encode(self.0.as_slice()) + "\n");
        exclusive_file::create(path, &draft, text.as_bytes())?;
        wait_while_empty(path)
    }

    /// Seals a secret that is to be stored under the name `place`.
    ///
    /// # Errors
    /// It cannot be encrypted.
    pub fn seal(
        &self,
        place: &str,
        plain: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, Unopenable> {
        Sealer::new(&self.0)?.seal(place, plain, entropy)
    }

    /// Opens what was sealed for `place`.
    ///
    /// # Errors
    /// It was sealed under another master key or for another place, or was changed.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unopenable> {
        Sealer::new(&self.0)?.open(place, sealed)
    }
}

/// Waits up to two seconds for another program that is creating the file ([`exclusive_file::create`]).
fn wait_while_empty(path: &Path) -> std::io::Result<()> {
    const POLL_EVERY: Duration = Duration::from_millis(10);
    const POLLS: u32 = 200;
    for _ in 0..POLLS {
        if !is_empty(path)? {
            break;
        }
        std::thread::sleep(POLL_EVERY);
    }
    Ok(())
}

fn is_empty(path: &Path) -> std::io::Result<bool> {
    Ok(std::fs::metadata(path)?.len() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(std::sync::atomic::AtomicU8);

    impl Entropy for Counter {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        }
    }

    fn entropy() -> Counter {
        Counter(1.into())
    }

    #[test]
    fn a_secret_opens_only_under_its_key_for_its_place_and_unchanged() {
        let entropy = entropy();
        let key = MasterKey::generate(&entropy);
        let sealed = key.seal("pepper", b"salt", &entropy).unwrap();
        assert_eq!(key.open("pepper", &sealed).unwrap().as_slice(), b"salt");
        assert!(key.open("sugar", &sealed).is_err());
        assert!(
            MasterKey::generate(&entropy)
                .open("pepper", &sealed)
                .is_err()
        );
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(key.open("pepper", &changed).is_err(), "byte {position}");
        }
        assert!(key.open("pepper", &sealed[..5]).is_err());
    }

    #[test]
    fn the_file_is_created_once_and_only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let entropy = entropy();
        let made = MasterKey::load_or_create(&path, &entropy).unwrap();
        let read = MasterKey::load_or_create(&path, &entropy).unwrap();
        assert_eq!(made.0, read.0);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_another_program_is_creating_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        std::fs::File::create(&path).unwrap();
        let (written, draft) = (path.clone(), folder.path().join("draft"));
        let key = MasterKey::generate(&entropy());
        let text = STANDARD.encode(key.0.as_slice());
        let other = std::thread::spawn(move || {
            std::fs::write(&draft, text).unwrap();
            std::fs::rename(&draft, &written).unwrap();
        });
        let read = MasterKey::load_or_create(&path, &Counter(9.into())).unwrap();
        other.join().unwrap();
        assert_eq!(read.0, key.0);
        // An interrupted program left an empty file. It holds no key, and no other key is created.
        std::fs::write(&path, "").unwrap();
        let left = MasterKey::load_or_create(&path, &entropy());
        assert!(matches!(left, Err(MasterKeyError::MalformedFile { .. })));
    }

    #[test]
    fn a_malformed_key_is_refused() {
        for text in ["", "c2hvcnQ=", "not base64"] {
            assert!(MasterKey::parse(text).is_err(), "{text:?}");
        }
    }
}
