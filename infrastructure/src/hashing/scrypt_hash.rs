//! Imported scrypt hashes (RFC 7914), as PHC strings: `$scrypt$ln=15,r=8,p=1$…`.

use argon2::password_hash::phc;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use scrypt::Params;
use zeroize::Zeroizing;

use super::parameters::Argon2Parameters;
use super::stored::UnreadableHash;

/// A parsed scrypt hash.
pub(super) struct ScryptHash {
    params: Params,
    salt: phc::Salt,
    output: phc::Output,
}

impl ScryptHash {
    /// Parses a hash. It is refused if it costs more memory or work than the bounds for Argon2 allow.
    pub fn parse(hash: &phc::PasswordHash) -> Result<Self, UnreadableHash> {
        let number = |name| hash.params.get_decimal(name);
        let (Some(log_n), Some(r), Some(p), Some(salt), Some(output)) =
            (number("ln"), number("r"), number("p"), hash.salt, hash.hash)
        else {
            return Err(UnreadableHash::NotScrypt);
        };
        if hash.params.iter().count() != 3 || hash.version.is_some() {
            return Err(UnreadableHash::NotScrypt);
        }
        // scrypt fills N blocks of 128·r bytes, p times (RFC 7914 §6).
        let kib = u64::from(r)
            .checked_shl(log_n.min(63))
            .map(|blocks| blocks / 8);
        let is_affordable = log_n < 32
            && r <= 1024
            && p <= Argon2Parameters::MAX_LANES
            && kib.is_some_and(|kib| {
                kib <= u64::from(Argon2Parameters::MAX_MEMORY_KIB)
                    && kib * u64::from(p) <= Argon2Parameters::MAX_WORK_KIB
            });
        if !is_affordable {
            return Err(UnreadableHash::TooCostlyScrypt { log_n, r, p });
        }
        let log_n = u8::try_from(log_n).map_err(|_| UnreadableHash::NotScrypt)?;
        let params = Params::new(log_n, r, p).map_err(|_| UnreadableHash::NotScrypt)?;
        Ok(Self {
            params,
            salt,
            output,
        })
    }

    /// Whether `password` matches. An output whose length scrypt cannot produce matches no password.
    pub fn is_of(&self, password: &[u8]) -> bool {
        let mut output = Zeroizing::new(vec![0; self.output.len()]);
        scrypt::scrypt(password, &self.salt, &self.params, &mut output).is_ok()
            && verify_slices_are_equal(&output, self.output.as_bytes()).is_ok()
    }
}
