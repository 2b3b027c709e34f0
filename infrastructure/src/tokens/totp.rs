//! Time-based one-time passwords (RFC 6238), which are HOTP (RFC 4226) of a time step.

use authlog_application::ports::TotpSecret;
use authlog_domain::{Timestamp, TotpAlgorithm};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

/// By how many time steps the clock of an app may differ (RFC 6238 §5.2).
const TOLERANCE: u64 = 1;

/// The largest number of digits: 31 bits have ten.
const MAX_DIGITS: u8 = 10;

/// The code of `secret` for a time step, with leading zeros.
fn code(secret: &TotpSecret, step: u64) -> String {
    let algorithm = match secret.parameters.algorithm {
        TotpAlgorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        TotpAlgorithm::Sha256 => hmac::HMAC_SHA256,
        TotpAlgorithm::Sha512 => hmac::HMAC_SHA512,
    };
    let key = hmac::Key::new(algorithm, &secret.seed);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let digits = secret.parameters.digits.min(MAX_DIGITS);
    let number = u64::from(truncated(tag.as_ref())) % 10_u64.pow(digits.into());
    format!("{number:0width$}", width = usize::from(digits))
}

/// Dynamic truncation (RFC 4226 §5.3): four bytes from the place that the last byte names, without the sign.
fn truncated(tag: &[u8]) -> u32 {
    let offset = usize::from(tag.last().copied().unwrap_or_default() & 0xf);
    let bytes = tag.get(offset..offset + 4).unwrap_or_default();
    bytes
        .iter()
        .fold(0_u32, |number, byte| (number << 8) | u32::from(*byte))
        & 0x7fff_ffff
}

/// The time step at `now`.
fn step_at(secret: &TotpSecret, now: Timestamp) -> u64 {
    let seconds = u64::try_from(now.unix_seconds()).unwrap_or_default();
    seconds / u64::from(secret.parameters.period.max(1))
}

/// The time step around `now` whose code is `typed`. All codes are compared, in constant time.
pub(super) fn matching_step(secret: &TotpSecret, typed: &str, now: Timestamp) -> Option<u64> {
    let step = step_at(secret, now);
    let steps = step.saturating_sub(TOLERANCE)..=step + TOLERANCE;
    steps.fold(None, |found, step| {
        let expected = code(secret, step);
        let matches = verify_slices_are_equal(expected.as_bytes(), typed.as_bytes()).is_ok();
        if matches { Some(step) } else { found }
    })
}

#[cfg(test)]
mod tests {
    use authlog_domain::TotpParameters;
    use zeroize::Zeroizing;

    use super::*;

    fn secret(algorithm: TotpAlgorithm, seed: &[u8], digits: u8) -> TotpSecret {
        TotpSecret {
            parameters: TotpParameters {
                algorithm,
                digits,
                period: 30,
            },
            seed: Zeroizing::new(seed.to_vec()),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1000)
    }

    /// RFC 4226, appendix D.
    #[test]
    fn codes_are_those_of_rfc_4226() {
        let secret = secret(TotpAlgorithm::Sha1, b"12345678901234567890", 6);
        let expected = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583",
            "399871", "520489",
        ];
        for (counter, expected) in (0..).zip(expected) {
            assert_eq!(code(&secret, counter), expected, "{counter}");
        }
    }

    /// RFC 6238, appendix B. The seeds are as long as the hash functions' outputs (erratum 2866).
    #[test]
    fn codes_are_those_of_rfc_6238() {
        let digits = b"1234567890".repeat(7);
        let seeds = [
            (TotpAlgorithm::Sha1, 20),
            (TotpAlgorithm::Sha256, 32),
            (TotpAlgorithm::Sha512, 64),
        ];
        for (seconds, expected) in [
            (59, ["94287082", "46119246", "90693936"]),
            (1_111_111_109, ["07081804", "68084774", "25091201"]),
            (1_111_111_111, ["14050471", "67062674", "99943326"]),
            (1_234_567_890, ["89005924", "91819424", "93441116"]),
            (2_000_000_000, ["69279037", "90698825", "38618901"]),
            (20_000_000_000, ["65353130", "77737706", "47863826"]),
        ] {
            for ((algorithm, length), expected) in seeds.into_iter().zip(expected) {
                let secret = secret(algorithm, &digits[..length], 8);
                let step = step_at(&secret, at(seconds));
                assert_eq!(code(&secret, step), expected, "{algorithm:?} {seconds}");
                assert_eq!(matching_step(&secret, expected, at(seconds)), Some(step));
            }
        }
    }

    #[test]
    fn a_code_is_right_one_step_early_and_one_step_late() {
        let secret = secret(TotpAlgorithm::Sha1, b"12345678901234567890", 6);
        let code = code(&secret, 100);
        for (seconds, is_right) in [(2969, false), (2970, true), (3059, true), (3060, false)] {
            let step = matching_step(&secret, &code, at(seconds));
            assert_eq!(step, is_right.then_some(100), "{seconds}");
        }
        for text in ["", "75522", "7552240", "abcdef", "７５５２２４"] {
            assert_eq!(matching_step(&secret, text, at(3000)), None, "{text}");
        }
    }
}
