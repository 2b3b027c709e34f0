//! Stored password hashes: PHC strings (<https://github.com/P-H-C/phc-string-format>), the format of bcrypt, and those of
//! PBKDF2.

use argon2::password_hash::phc;
use argon2::{Algorithm, Params, Version};
use authlog_application::ports::PasswordHash;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use super::bcrypt_hash::BcryptHash;
use super::memory::{ArgonError, ArgonMemory, Scheme};
use super::parameters::{Argon2Parameters, InvalidParameters};
use super::pbkdf2_hash::{MAX_WORK, Pbkdf2Hash};
use super::scrypt_hash::ScryptHash;

/// Length of a new hash, in bytes (RFC 9106 §4).
pub(super) const OUTPUT_BYTES: usize = 32;

/// Length of a new salt, in bytes (RFC 9106 §4).
pub(super) const SALT_BYTES: usize = 16;

/// Why a stored hash cannot be checked. The texts never contain the hash.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnreadableHash {
    #[error("it is no PHC string")]
    NoPhcString(#[source] phc::Error),
    #[error(
        "it is no Argon2 hash with a salt, or of a version or with parameters that are not known here"
    )]
    NotArgon2,
    #[error(transparent)]
    TooCostly(#[from] InvalidParameters),
    #[error("it is no bcrypt hash with a cost from 4 on")]
    NotBcrypt,
    #[error("a bcrypt hash of cost {0} takes too long to check")]
    TooCostlyBcrypt(u32),
    #[error("it is no scrypt hash with ln, r, p and a salt")]
    NotScrypt,
    #[error("a scrypt hash with ln={log_n}, r={r}, p={p} costs too much to check")]
    TooCostlyScrypt { log_n: u32, r: u32, p: u32 },
    #[error("it is no PBKDF2 hash with iterations, a salt and an output of 16 to 128 bytes")]
    NotPbkdf2,
    #[error(
        "a PBKDF2 hash of {iterations} iterations for each of {blocks} blocks takes too long to check: {MAX_WORK} together are the most"
    )]
    TooCostlyPbkdf2 { iterations: u32, blocks: u64 },
}

/// A hash of a supported scheme.
pub(super) enum StoredHash {
    /// Argon2: hashes of this service, and imported ones.
    Argon2(Argon2Hash),
    /// From elsewhere.
    Bcrypt(BcryptHash),
    /// From elsewhere.
    Scrypt(Box<ScryptHash>),
    /// From elsewhere.
    Pbkdf2(Pbkdf2Hash),
}

impl StoredHash {
    /// Parses a hash of this service or an imported one. Hashes that cost too much to check are refused.
    pub fn parse(hash: &PasswordHash) -> Result<Self, UnreadableHash> {
        let text = hash.as_stored();
        if let Some(rest) = ["$2a$", "$2b$", "$2y$"]
            .iter()
            .find_map(|name| text.strip_prefix(name))
        {
            return BcryptHash::parse(rest).map(Self::Bcrypt);
        }
        if let Some(hash) = Pbkdf2Hash::parse(text) {
            return hash.map(Self::Pbkdf2);
        }
        let hash = phc::PasswordHash::new(text).map_err(UnreadableHash::NoPhcString)?;
        if hash.algorithm.as_str() == "scrypt" {
            return ScryptHash::parse(&hash).map(|hash| Self::Scrypt(Box::new(hash)));
        }
        Argon2Hash::parse(&hash).map(Self::Argon2)
    }

    /// Whether `password` matches, in time that depends only on the parameters of the hash.
    pub fn is_of(&self, password: &[u8], memory: &mut ArgonMemory) -> Result<bool, ArgonError> {
        count_hash();
        match self {
            Self::Argon2(hash) => hash.is_of(password, memory),
            Self::Bcrypt(hash) => Ok(hash.is_of(password)),
            Self::Scrypt(hash) => Ok(hash.is_of(password)),
            Self::Pbkdf2(hash) => Ok(hash.is_of(password)),
        }
    }

    /// Whether no other password than this one matches, given that this one does.
    pub fn reads_all_of(&self, password: &[u8]) -> bool {
        match self {
            Self::Argon2(_) | Self::Scrypt(_) | Self::Pbkdf2(_) => true,
            Self::Bcrypt(_) => BcryptHash::reads_all_of(password),
        }
    }

    /// Whether the hash should be replaced: it has another scheme than new hashes with these parameters, or is cheaper to
    /// attack.
    pub fn is_outdated(&self, current: &Params) -> bool {
        match self {
            Self::Argon2(hash) => hash.is_outdated(current),
            Self::Bcrypt(_) | Self::Scrypt(_) | Self::Pbkdf2(_) => true,
        }
    }
}

/// A parsed Argon2 hash.
pub(super) struct Argon2Hash {
    scheme: Scheme,
    salt: phc::Salt,
    output: phc::Output,
}

impl Argon2Hash {
    /// Parses a hash of any variant of Argon2, within the bounds of [`Argon2Parameters`].
    fn parse(hash: &phc::PasswordHash) -> Result<Self, UnreadableHash> {
        let algorithm = Algorithm::try_from(hash.algorithm.as_str());
        // A string without a version means version 1.0, which is older than the version field.
        let version = Version::try_from(hash.version.unwrap_or(0x10));
        let (Ok(algorithm), Ok(version), Some(parameters), Some(salt), Some(output)) = (
            algorithm,
            version,
            parameters_of(&hash.params),
            hash.salt,
            hash.hash,
        ) else {
            return Err(UnreadableHash::NotArgon2);
        };
        let params = parameters.checked(output.len())?;
        Ok(Self {
            scheme: Scheme {
                algorithm,
                version,
                params,
            },
            salt,
            output,
        })
    }

    /// Whether the hash should be replaced by one with the `current` parameters. It should if its memory times passes are less,
    /// because either makes up for the other (RFC 9106 §4), if it is shorter, or if its variant leaks or is easier to attack.
    /// A hash with the same cost but other parameters is outdated as well: it may take longer, and so reveal that the
    /// account exists.
    fn is_outdated(&self, current: &Params) -> bool {
        let Scheme {
            algorithm,
            version,
            params,
        } = &self.scheme;
        let work = |params: &Params| u64::from(params.m_cost()) * u64::from(params.t_cost());
        let is_as_ours = params.p_cost() == current.p_cost() && self.output.len() == OUTPUT_BYTES;
        *algorithm != Algorithm::Argon2id
            || *version != Version::V0x13
            || work(params) < work(current)
            || (work(params) == work(current) && !is_as_ours)
            || self.output.len() < OUTPUT_BYTES
            || self.salt.len() < SALT_BYTES
    }

    fn is_of(&self, password: &[u8], memory: &mut ArgonMemory) -> Result<bool, ArgonError> {
        let mut output = Zeroizing::new(vec![0; self.output.len()]);
        memory.hash(&self.scheme, password, &self.salt, &mut output)?;
        Ok(verify_slices_are_equal(&output, self.output.as_bytes()).is_ok())
    }
}

/// The parameters; `None` if there are others. `keyid` and `data` would need inputs that this service does not have.
fn parameters_of(params: &phc::ParamsString) -> Option<Argon2Parameters> {
    let parameters = Argon2Parameters {
        memory_kib: params.get_decimal("m")?,
        iterations: params.get_decimal("t")?,
        parallelism: params.get_decimal("p")?,
    };
    (params.iter().count() == 3).then_some(parameters)
}

/// Counts a started hash for Prometheus. Hashes are most of the cost of logins and registrations.
fn count_hash() {
    metrics::counter!("authlog_password_hashes_total").increment(1);
}

/// A new hash of `password`, in its stored form.
pub(super) fn new_hash(
    scheme: &Scheme,
    password: &[u8],
    salt: &[u8; SALT_BYTES],
    memory: &mut ArgonMemory,
) -> Result<PasswordHash, ArgonError> {
    count_hash();
    let mut output = Zeroizing::new([0; OUTPUT_BYTES]);
    memory.hash(scheme, password, salt, output.as_mut())?;
    let params = &scheme.params;
    Ok(PasswordHash::from_stored(format!(
        "$argon2id$v=19$m={},t={},p={}${}${}",
        params.m_cost(),
        params.t_cost(),
        params.p_cost(),
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(output.as_slice()),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored(phc: &str) -> PasswordHash {
        PasswordHash::from_stored(phc.to_owned())
    }

    fn is_of(phc: &str, password: &str) -> bool {
        let hash = StoredHash::parse(&stored(phc)).unwrap();
        let mut memory = ArgonMemory::new(&Params::default());
        hash.is_of(password.as_bytes(), &mut memory).unwrap()
    }

    #[test]
    fn hashes_of_other_programs_are_checked() {
        // Test vectors of the reference implementation (phc-winner-argon2, src/test.c).
        for hash in [
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
            "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
        ] {
            assert!(is_of(hash, "password"), "{hash}");
            assert!(!is_of(hash, "Password"), "{hash}");
        }
    }

    #[test]
    fn hashes_of_bcrypt_are_checked() {
        for (hash, password) in [
            // Openwall's crypt_blowfish, wrapper.c.
            (
                "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                "U*U",
            ),
            (
                "$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK",
                "U*U*",
            ),
            (
                "$2y$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy",
                "",
            ),
            // Only the first 72 bytes count.
            (
                "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
                "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored",
            ),
        ] {
            assert!(is_of(hash, password), "{hash}");
            assert!(!is_of(hash, "another"), "{hash}");
        }
    }

    #[test]
    fn hashes_of_scrypt_are_checked() {
        // RFC 7914 §12: "pleaseletmein" and "SodiumChloride", N = 16384, r = 8, p = 1, the first 32 bytes.
        let hash =
            "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT46QHC4/Jw2DJ5o";
        let mut output = [0; 32];
        let params = scrypt::Params::new(14, 8, 1).unwrap();
        scrypt::scrypt(b"pleaseletmein", b"SodiumChloride", &params, &mut output).unwrap();
        let ours = format!(
            "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU${}",
            STANDARD_NO_PAD.encode(output)
        );
        assert_eq!(output[..4], [0x70, 0x23, 0xbd, 0xcb], "the RFC's own");
        assert!(is_of(&ours, "pleaseletmein") && !is_of(&ours, "another"));
        assert!(!is_of(hash, "another"));
    }

    #[test]
    fn a_hash_that_costs_less_than_a_new_one_is_outdated() {
        let current = Params::new(256, 2, 1, Some(32)).unwrap();
        let output = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let (long, short) = ("MTIzNDU2Nzg5MDEyMzQ1Ng", "c29tZXNhbHQ");
        for (start, salt, outdated) in [
            ("$argon2id$v=19$m=256,t=2,p=1", long, false),
            ("$argon2id$v=19$m=512,t=1,p=1", long, false),
            ("$argon2id$v=19$m=1024,t=3,p=4", long, false),
            ("$argon2id$v=19$m=255,t=2,p=1", long, true),
            ("$argon2id$v=19$m=256,t=1,p=1", long, true),
            ("$argon2id$v=19$m=256,t=2,p=4", long, true),
            ("$argon2i$v=19$m=256,t=2,p=1", long, true),
            ("$argon2i$v=19$m=1024,t=2,p=1", long, true),
            ("$argon2id$v=16$m=1024,t=2,p=1", long, true),
            ("$argon2id$m=1024,t=2,p=1", long, true),
            ("$argon2id$v=19$m=256,t=2,p=1", short, true),
            ("$scrypt$ln=14,r=8,p=1", long, true),
        ] {
            let text = format!("{start}${salt}${output}");
            let hash = StoredHash::parse(&stored(&text)).unwrap();
            assert_eq!(hash.is_outdated(&current), outdated, "{text}");
        }
    }

    #[test]
    fn a_malformed_or_too_costly_hash_is_refused_without_hashing() {
        let rest = "c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        for start in [
            "",
            "$argon2id",
            "$scrypt$v=19$m=256,t=2,p=1$",
            "$argon2id$v=20$m=256,t=2,p=1$",
            "$argon2id$v=19$m=256,t=2$",
            "$argon2id$v=19$m=4194304,t=1,p=1$",
            "$argon2id$v=19$m=1048576,t=1000,p=1$",
            "$argon2id$v=19$m=99999999999999999999,t=1,p=1$",
            "$argon2id$v=19$m=256,t=2,p=1,keyid=AAAA$",
            "$argon2id$v=19$m=256,t=2,p=1,data=AAAA$",
            "$scrypt$ln=30,r=8,p=1$",
            "$scrypt$ln=20,r=8,p=5$",
            "$scrypt$ln=64,r=8,p=1$",
            "$scrypt$ln=4294967295,r=4294967295,p=4294967295$",
            "$scrypt$ln=14,r=0,p=1$",
            "$scrypt$ln=14,r=8$",
            "$scrypt$ln=14,r=8,p=1,x=1$",
            "$pbkdf2-sha256$i=4000000$",
            "$pbkdf2-md5$i=1000$",
        ] {
            let text = format!("{start}{rest}");
            assert!(StoredHash::parse(&stored(&text)).is_err(), "{text}");
        }
        for text in [
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=256,t=2,p=1",
            "$2b$16$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
            "$2b$31$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
            "$2b$03$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
            "$2b$+5$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
            "$2x$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
            "$2b$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBu",
            "$2b$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBuii",
            "$2b$05$\u{e9}bcdefghijklmnopqrst5s2v8.iXieOjg/.AySBTTZIIVFJeBu",
            "$2b$05",
            "$2b$",
            "$1$salt$qJH7.N4xYta3aEG/dfqo/0",
        ] {
            assert!(StoredHash::parse(&stored(text)).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_parsed_or_refused_without_panic(
            text in any::<String>(),
            bcrypt in "\\$2[abxy]\\$[0-9+]{0,3}\\$?[./A-Za-z0-9\u{e9}]{0,60}",
            scrypt in "\\$scrypt\\$ln=[0-9]{1,11},r=[0-9]{1,11},p=[0-9]{1,11}\\$[A-Za-z0-9+/]{0,90}\\$[A-Za-z0-9+/]{0,90}",
            shaped in "\\$argon2(id|i|d)(\\$v=[0-9]{1,3})?\\$[mtp]=[0-9]{1,11},[mtp]=[0-9]{0,3}(,p=1)?\\$[A-Za-z0-9+/]{0,90}\\$[A-Za-z0-9+/]{0,90}",
        ) {
            let _ = StoredHash::parse(&stored(&text));
            let _ = StoredHash::parse(&stored(&shaped));
            let _ = StoredHash::parse(&stored(&bcrypt));
            let _ = StoredHash::parse(&stored(&scrypt));
        }
    }
}
