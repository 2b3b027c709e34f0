//! Imported PBKDF2 hashes (RFC 8018 §5.2): `$pbkdf2-sha256$…` and Django's `pbkdf2_sha256$…`.

use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::pbkdf2::{self, Algorithm};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::stored::UnreadableHash;

/// The names of the supported functions with the length of their blocks, in bytes. `$pbkdf2$` is SHA-1.
const PREFIXES: [(&str, Form, Algorithm, usize); 6] = [
    ("$pbkdf2$", Form::Encoded, pbkdf2::PBKDF2_HMAC_SHA1, 20),
    ("$pbkdf2-sha1$", Form::Encoded, pbkdf2::PBKDF2_HMAC_SHA1, 20),
    (
        "$pbkdf2-sha256$",
        Form::Encoded,
        pbkdf2::PBKDF2_HMAC_SHA256,
        32,
    ),
    (
        "$pbkdf2-sha512$",
        Form::Encoded,
        pbkdf2::PBKDF2_HMAC_SHA512,
        64,
    ),
    ("pbkdf2_sha1$", Form::Django, pbkdf2::PBKDF2_HMAC_SHA1, 20),
    (
        "pbkdf2_sha256$",
        Form::Django,
        pbkdf2::PBKDF2_HMAC_SHA256,
        32,
    ),
];

/// How the text after the prefix is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `i=…$salt$hash` or `iterations$salt$hash`. The salt is in base 64.
    Encoded,
    /// `iterations$salt$hash`. The salt is text.
    Django,
}

/// Base 64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The maximum of iterations times blocks of output: three seconds with SHA-512 on one core of 2020, a half with SHA-256.
/// OWASP recommends 600,000 iterations of SHA-256, and Django 6.0 makes 1,200,000.
pub(super) const MAX_WORK: u64 = 3_000_000;

/// Bytes of an output. A shorter one would be matched by other passwords; Keycloak's have 64 bytes at most.
const OUTPUT_BYTES: std::ops::RangeInclusive<usize> = 16..=128;

/// The longest salt, in bytes.
const MAX_SALT_BYTES: usize = 1024;

/// A parsed PBKDF2 hash.
pub(super) struct Pbkdf2Hash {
    algorithm: Algorithm,
    iterations: NonZeroU32,
    salt: Vec<u8>,
    output: Vec<u8>,
}

impl Pbkdf2Hash {
    /// Parses a hash; `None` if it is of another scheme. A hash that takes too long to check is refused.
    pub fn parse(text: &str) -> Option<Result<Self, UnreadableHash>> {
        PREFIXES
            .iter()
            .find_map(|(prefix, form, algorithm, block)| {
                let rest = text.strip_prefix(prefix)?;
                Some(Self::parse_rest(rest, *form, *algorithm, *block))
            })
    }

    fn parse_rest(
        rest: &str,
        form: Form,
        algorithm: Algorithm,
        block: usize,
    ) -> Result<Self, UnreadableHash> {
        const OTHER: UnreadableHash = UnreadableHash::NotPbkdf2;
        let parts: Vec<&str> = rest.split('$').collect();
        let [parameters, salt, output] = parts[..] else {
            return Err(OTHER);
        };
        let (iterations, length) = match form {
            Form::Encoded => parameters_of(parameters).ok_or(OTHER)?,
            Form::Django => (number(parameters).ok_or(OTHER)?, None),
        };
        let salt = match form {
            Form::Encoded => decoded(salt).ok_or(OTHER)?,
            Form::Django => salt.as_bytes().to_vec(),
        };
        let output = decoded(output).ok_or(OTHER)?;
        let is_as_long = length.is_none_or(|length| u64::from(length) == output.len() as u64);
        if !is_as_long
            || !OUTPUT_BYTES.contains(&output.len())
            || salt.is_empty()
            || salt.len() > MAX_SALT_BYTES
        {
            return Err(OTHER);
        }
        let blocks = output.len().div_ceil(block) as u64;
        if u64::from(iterations) * blocks > MAX_WORK {
            return Err(UnreadableHash::TooCostlyPbkdf2 { iterations, blocks });
        }
        Ok(Self {
            algorithm,
            iterations: NonZeroU32::new(iterations).ok_or(OTHER)?,
            salt,
            output,
        })
    }

    /// Whether `password` matches.
    pub fn is_of(&self, password: &[u8]) -> bool {
        let mut output = Zeroizing::new(vec![0; self.output.len()]);
        pbkdf2::derive(
            self.algorithm,
            self.iterations,
            &self.salt,
            password,
            &mut output,
        );
        verify_slices_are_equal(&output, &self.output).is_ok()
    }
}

/// The iterations and the length of the output, if it is given: `i=1000,l=32`, or the iterations alone as in passlib.
fn parameters_of(text: &str) -> Option<(u32, Option<u32>)> {
    let Some(rest) = text.strip_prefix("i=") else {
        return Some((number(text)?, None));
    };
    match rest.split_once(",l=") {
        Some((iterations, length)) => Some((number(iterations)?, Some(number(length)?))),
        None => Some((number(rest)?, None)),
    }
}

/// A decimal number without a sign.
fn number(text: &str) -> Option<u32> {
    let is_decimal = text.bytes().all(|digit| digit.is_ascii_digit());
    is_decimal.then(|| text.parse().ok()).flatten()
}

/// Base 64, in which passlib writes a dot for the plus sign.
fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.replace('.', "+")).ok()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Pbkdf2Hash {
        let parsed = Pbkdf2Hash::parse(text).unwrap();
        parsed.unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn hashes_are_those_of_rfc_6070_and_rfc_7914() {
        for (name, password, salt, iterations, output) in [
            // RFC 6070 §2, the vectors with a salt and an output that are long enough.
            (
                "pbkdf2",
                "password",
                "salt",
                1,
                "0c60c80f961f0e71f3a9b524af6012062fe037a6",
            ),
            (
                "pbkdf2",
                "password",
                "salt",
                4096,
                "4b007901b765489abead49d926f721d065a429c1",
            ),
            (
                "pbkdf2-sha1",
                "passwordPASSWORDpassword",
                "saltSALTsaltSALTsaltSALTsaltSALTsalt",
                4096,
                "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038",
            ),
            // RFC 7914 §11.
            (
                "pbkdf2-sha256",
                "passwd",
                "salt",
                1,
                "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacb\
                 c49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783",
            ),
            (
                "pbkdf2-sha256",
                "Password",
                "NaCl",
                80000,
                "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56\
                 a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d",
            ),
        ] {
            let output = STANDARD.encode(hex::decode(output).unwrap());
            let salt = STANDARD.encode(salt);
            let text = format!("${name}${iterations}${salt}${output}");
            assert!(parse(&text).is_of(password.as_bytes()), "{text}");
            assert!(!parse(&text).is_of(b"another"), "{text}");
        }
    }

    #[test]
    fn each_spelling_of_a_hash_is_read() {
        // By Python's hashlib: "rahasia" with the salt "saltsaltsaltsal?", 1000 iterations.
        const SALT: &str = "c2FsdHNhbHRzYWx0c2FsPw";
        const SHA256: &str = "GlISjXFsMpt4RliCV+uJUwRQR4ZRSkOtsdDJV72dC+Q";
        const SHA512: &str = "QbMrfYbTcB+2B/tp+819WYt7WESIHW4X+SSud3vmSgwP1ul5/kRBpCC7t0Jr/ecMZA1ZjwHDcEmv3c5FA8e27w";
        let dotted = SHA256.replace('+', ".");
        for text in [
            format!("$pbkdf2-sha256$i=1000${SALT}${SHA256}"),
            format!("$pbkdf2-sha256$i=1000,l=32${SALT}==${SHA256}="),
            format!("$pbkdf2-sha256$1000${SALT}${dotted}"),
            format!("$pbkdf2-sha512$i=1000,l=64${SALT}${SHA512}"),
            format!("$pbkdf2-sha512$1000${SALT}${}", SHA512.replace('+', ".")),
            format!("pbkdf2_sha256$1000$saltsaltsaltsal?${SHA256}="),
        ] {
            assert!(parse(&text).is_of(b"rahasia"), "{text}");
            assert!(!parse(&text).is_of(b"Rahasia"), "{text}");
        }
    }

    #[test]
    fn a_hash_that_takes_too_long_or_is_malformed_is_refused() {
        let output = "A".repeat(43);
        let is_read = |text: &str| Pbkdf2Hash::parse(text).unwrap().is_ok();
        for (text, good) in [
            (format!("$pbkdf2-sha256$i=3000000$c2FsdA${output}"), true),
            (format!("$pbkdf2-sha256$i=3000001$c2FsdA${output}"), false),
            // Two blocks of SHA-1.
            (format!("$pbkdf2$1500000$c2FsdA${output}"), true),
            (format!("$pbkdf2$1500001$c2FsdA${output}"), false),
            (
                format!("$pbkdf2-sha256$i=4294967296$c2FsdA${output}"),
                false,
            ),
            (format!("$pbkdf2-sha256$i=0$c2FsdA${output}"), false),
            (format!("$pbkdf2-sha256$i=+1$c2FsdA${output}"), false),
            (format!("$pbkdf2-sha256$i=$c2FsdA${output}"), false),
            (format!("$pbkdf2-sha256$i=1,l=31$c2FsdA${output}"), false),
            (format!("$pbkdf2-sha256$i=1,x=2$c2FsdA${output}"), false),
            (format!("$pbkdf2-sha256$i=1$$ {output}"), false),
            (format!("$pbkdf2-sha256$i=1$c2FsdA${output}$"), false),
            (format!("$pbkdf2-sha256$i=1$c2Fs!A${output}"), false),
            ("$pbkdf2-sha256$i=1$c2FsdA$c2hvcnQ".to_owned(), false),
            (
                format!("$pbkdf2-sha256$i=1$c2FsdA${}", "AAAA".repeat(43)),
                false,
            ),
            (format!("pbkdf2_sha256$1$${output}"), false),
            (format!("pbkdf2_sha256$i=1$salt${output}"), false),
            ("pbkdf2_sha256$".to_owned(), false),
        ] {
            assert_eq!(is_read(&text), good, "{text}");
        }
        assert!(Pbkdf2Hash::parse("$pbkdf2-md5$i=1$c2FsdA$c2FsdA").is_none());
    }

    proptest! {
        #[test]
        fn arbitrary_text_after_a_prefix_is_parsed_or_refused(
            rest in "(i=)?[0-9]{0,11}(,l=[0-9]{0,3})?\\$[A-Za-z0-9+/.=\u{e9}]{0,30}\\$[A-Za-z0-9+/.=]{0,180}\\$?",
        ) {
            for (prefix, ..) in PREFIXES {
                let text = format!("{prefix}{rest}");
                prop_assert!(Pbkdf2Hash::parse(&text).is_some());
            }
        }
    }
}
