//! Password hashes as they are stored: PHC strings (<https://github.com/P-H-C/phc-string-format>).

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Version};
use authlog_application::ports::PasswordHash;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use super::memory::{ArgonError, ArgonMemory};
use super::parameters::{Argon2Parameters, InvalidParameters};

/// Length of a new hash, in bytes (RFC 9106 §4).
pub(super) const OUTPUT_BYTES: usize = 32;

/// Length of a new salt, in bytes (RFC 9106 §4).
pub(super) const SALT_BYTES: usize = 16;

/// Why a stored hash cannot be checked. None of them says what is stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnreadableHash {
    #[error("it is no PHC string")]
    NoPhcString(#[source] phc::Error),
    #[error(
        "it is no Argon2 hash with a salt, or of a version or with parameters that are not known here"
    )]
    NotArgon2,
    #[error(transparent)]
    TooDear(#[from] InvalidParameters),
}

/// An Argon2 hash with all that is needed to check a password against it.
pub(super) struct StoredHash {
    argon2: Argon2<'static>,
    salt: phc::Salt,
    output: phc::Output,
}

impl StoredHash {
    /// Reads a hash, ours or imported: of any variant of Argon2, with any parameters that we are ready to pay for.
    pub fn parse(hash: &PasswordHash) -> Result<Self, UnreadableHash> {
        let hash = phc::PasswordHash::new(hash.as_stored()).map_err(UnreadableHash::NoPhcString)?;
        let algorithm = Algorithm::try_from(hash.algorithm.as_str());
        // A string without a version is of 1.0, the only one that there was before strings had one.
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
            argon2: Argon2::new(algorithm, version, params),
            salt,
            output,
        })
    }

    /// Whether it is of `password`, in time that depends on its parameters alone.
    pub fn is_of(&self, password: &[u8], memory: &mut ArgonMemory) -> Result<bool, ArgonError> {
        let mut output = Zeroizing::new(vec![0; self.output.len()]);
        memory.hash(&self.argon2, password, &self.salt, &mut output)?;
        Ok(verify_slices_are_equal(&output, self.output.as_bytes()).is_ok())
    }
}

/// The parameters, if there are no others: `keyid` and `data` stand for inputs that we do not have.
fn parameters_of(params: &phc::ParamsString) -> Option<Argon2Parameters> {
    let parameters = Argon2Parameters {
        memory_kib: params.get_decimal("m")?,
        iterations: params.get_decimal("t")?,
        parallelism: params.get_decimal("p")?,
    };
    (params.iter().count() == 3).then_some(parameters)
}

/// A new hash of `password`, as it is stored.
pub(super) fn new_hash(
    argon2: &Argon2<'_>,
    password: &[u8],
    salt: &[u8; SALT_BYTES],
    memory: &mut ArgonMemory,
) -> Result<PasswordHash, ArgonError> {
    let mut output = Zeroizing::new([0; OUTPUT_BYTES]);
    memory.hash(argon2, password, salt, output.as_mut())?;
    let params = argon2.params();
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
        let mut memory = ArgonMemory::new(hash.argon2.params());
        hash.is_of(password.as_bytes(), &mut memory).unwrap()
    }

    #[test]
    fn hashes_of_other_programs_are_checked() {
        // The tests of the reference implementation (phc-winner-argon2, src/test.c).
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
    fn what_cannot_be_checked_or_would_cost_too_much_is_refused_unhashed() {
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
        ] {
            let text = format!("{start}{rest}");
            assert!(StoredHash::parse(&stored(&text)).is_err(), "{text}");
        }
        for text in [
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=256,t=2,p=1",
            "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZabcde",
        ] {
            assert!(StoredHash::parse(&stored(text)).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_or_refused_without_panic(
            text in any::<String>(),
            shaped in "\\$argon2(id|i|d)(\\$v=[0-9]{1,3})?\\$[mtp]=[0-9]{1,11},[mtp]=[0-9]{0,3}(,p=1)?\\$[A-Za-z0-9+/]{0,90}\\$[A-Za-z0-9+/]{0,90}",
        ) {
            let _ = StoredHash::parse(&stored(&text));
            let _ = StoredHash::parse(&stored(&shaped));
        }
    }
}
