//! Imported bcrypt hashes: `$2b$12$` and 53 characters.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::stored::UnreadableHash;

/// The alphabet of bcrypt, without padding. Some programs set the unused trailing bits.
const BCRYPT64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::BCRYPT,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Characters of the salt, which has 16 bytes.
const SALT_LETTERS: usize = 22;

/// The number of bytes of a password that bcrypt reads.
const READ_BYTES: usize = 72;

/// Bytes of bcrypt's output without the last one, which no program stores.
const STORED_BYTES: usize = 23;

/// A parsed bcrypt hash.
pub(super) struct BcryptHash {
    cost: u32,
    salt: [u8; 16],
    output: [u8; STORED_BYTES],
}

impl BcryptHash {
    /// The maximum cost of a hash that is checked: two or three seconds on one core.
    const MOST_COST: u32 = 15;

    /// Parses the text after `$2a$`, `$2b$` or `$2y$`. The three prefixes mean the same, except for bugs in old programs.
    pub fn parse(rest: &str) -> Result<Self, UnreadableHash> {
        let (cost, letters) = rest.split_once('$').ok_or(UnreadableHash::NotBcrypt)?;
        let two_digits = cost.len() == 2 && cost.bytes().all(|digit| digit.is_ascii_digit());
        let cost: u32 = cost.parse().map_err(|_| UnreadableHash::NotBcrypt)?;
        if !two_digits || cost < 4 || !letters.is_ascii() || letters.len() < SALT_LETTERS {
            return Err(UnreadableHash::NotBcrypt);
        }
        if cost > Self::MOST_COST {
            return Err(UnreadableHash::TooCostlyBcrypt(cost));
        }
        let (salt, output) = letters.split_at(SALT_LETTERS);
        let bytes = |letters: &str| BCRYPT64.decode(letters).ok();
        let salt = bytes(salt).and_then(|salt| salt.try_into().ok());
        let output = bytes(output).and_then(|output| output.try_into().ok());
        match (salt, output) {
            (Some(salt), Some(output)) => Ok(Self { cost, salt, output }),
            _ => Err(UnreadableHash::NotBcrypt),
        }
    }

    /// Whether bcrypt reads all of `password` and the zero byte that marks its end. Otherwise other passwords with the same
    /// beginning match the hash as well.
    pub fn reads_all_of(password: &[u8]) -> bool {
        password.len() < READ_BYTES
    }

    /// Whether `password` matches. bcrypt reads only its first 72 bytes.
    pub fn is_of(&self, password: &[u8]) -> bool {
        let mut read = Zeroizing::new(Vec::with_capacity(READ_BYTES));
        read.extend(password.iter().copied().chain([0]).take(READ_BYTES));
        let output = Zeroizing::new(bcrypt::bcrypt(self.cost, self.salt, &read));
        verify_slices_are_equal(&output[..STORED_BYTES], &self.output).is_ok()
    }
}
