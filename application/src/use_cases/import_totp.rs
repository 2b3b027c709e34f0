//! Authenticator apps of imported accounts.

use authlog_domain::{FactorLabel, TotpAlgorithm, TotpParameters};
use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use crate::ports::TotpSecret;

/// An authenticator app of an imported account, as written in the import file; `None` for a missing member. It has no `Debug`.
#[derive(Clone, Default)]
pub struct TotpForm {
    /// The seed in base 32.
    pub secret: Zeroizing<String>,
    /// The hash function: `SHA1` (the default), `SHA256` or `SHA512`.
    pub algorithm: Option<String>,
    /// The number of digits of a code; 6 if it is missing.
    pub digits: Option<u64>,
    /// For how many seconds a code is shown; 30 if it is missing.
    pub period: Option<u64>,
    /// The name of the app.
    pub label: Option<String>,
}

/// A valid app.
pub(super) struct ImportedApp {
    pub(super) secret: TotpSecret,
    pub(super) label: Option<FactorLabel>,
}

/// Bytes of a seed. RFC 4226 asks for 16 (§4, R6), and early apps had 10. Longer seeds than the largest block are hashed anyway.
const SEED_BYTES: std::ops::RangeInclusive<usize> = 10..=128;

/// Digits of a code. RFC 4226 §4, R4 asks for six.
const DIGITS: std::ops::RangeInclusive<u64> = 6..=8;

/// Seconds for which a code is shown. A longer one could be overheard and used.
const PERIOD: std::ops::RangeInclusive<u64> = 15..=120;

impl TotpForm {
    /// Checks the members. The error does not contain the seed.
    pub(super) fn check(&self) -> Result<ImportedApp, String> {
        let mut letters = Zeroizing::new(String::with_capacity(self.secret.len()));
        letters.extend(
            self.secret
                .trim_end_matches('=')
                .chars()
                .filter(|letter| !matches!(letter, ' ' | '-'))
                .map(|letter| letter.to_ascii_uppercase()),
        );
        let seed = BASE32_NOPAD.decode(letters.as_bytes());
        let seed = Zeroizing::new(seed.map_err(|_| "secret is not base 32")?);
        if !SEED_BYTES.contains(&seed.len()) {
            return Err(format!(
                "secret has {} bytes instead of {} to {}",
                seed.len(),
                SEED_BYTES.start(),
                SEED_BYTES.end()
            ));
        }
        let algorithm = match self.algorithm.as_deref() {
            None => TotpAlgorithm::Sha1,
            Some(name) => {
                algorithm_called(name).ok_or("algorithm is not SHA1, SHA256 or SHA512")?
            }
        };
        let defaults = TotpParameters::DEFAULT;
        let digits = self.digits.unwrap_or(defaults.digits.into());
        let digits = Some(digits).filter(|digits| DIGITS.contains(digits));
        let period = self.period.unwrap_or(defaults.period.into());
        let period = Some(period).filter(|period| PERIOD.contains(period));
        let label = self.label.as_deref().filter(|it| !it.trim().is_empty());
        Ok(ImportedApp {
            secret: TotpSecret {
                parameters: TotpParameters {
                    algorithm,
                    digits: digits
                        .and_then(|digits| u8::try_from(digits).ok())
                        .ok_or("digits is not 6, 7 or 8")?,
                    period: period
                        .and_then(|period| u32::try_from(period).ok())
                        .ok_or("period is not 15 to 120 seconds")?,
                },
                seed,
            },
            label: label
                .map(FactorLabel::parse)
                .transpose()
                .map_err(|flaw| format!("label {flaw}"))?,
        })
    }
}

/// The hash function by its name in `otpauth://` URIs, or in Keycloak's exports.
fn algorithm_called(name: &str) -> Option<TotpAlgorithm> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("HMAC").unwrap_or(&name);
    let mut all = [
        TotpAlgorithm::Sha1,
        TotpAlgorithm::Sha256,
        TotpAlgorithm::Sha512,
    ]
    .into_iter();
    all.find(|algorithm| algorithm.as_str() == name.replace('-', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(secret: &str) -> TotpForm {
        TotpForm {
            secret: Zeroizing::new(secret.to_owned()),
            ..TotpForm::default()
        }
    }

    #[test]
    fn a_seed_is_read_however_it_is_written() {
        for secret in [
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
            "gezd gnbv gy3t qojq gezd gnbv gy3t qojq",
            "GEZDGNBV-GY3TQOJQ-GEZDGNBV-GY3TQOJQ====",
        ] {
            let app = form(secret).check().ok().unwrap();
            assert_eq!(app.secret.seed.as_slice(), b"12345678901234567890");
            assert_eq!(app.secret.parameters, TotpParameters::DEFAULT);
        }
        let other = TotpForm {
            algorithm: Some("HmacSHA256".to_owned()),
            digits: Some(8),
            period: Some(60),
            label: Some(" ".to_owned()),
            ..form("GEZDGNBVGY3TQOJQ")
        };
        let app = other.check().ok().unwrap();
        let parameters = app.secret.parameters;
        assert_eq!(parameters.algorithm, TotpAlgorithm::Sha256);
        assert_eq!((parameters.digits, parameters.period), (8, 60));
        assert_eq!(app.label, None);
    }

    #[test]
    fn a_member_that_is_not_valid_is_named() {
        let good = || form("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        for (form, why) in [
            (form("1Il0"), "secret is not base 32"),
            (form(""), "secret has 0 bytes"),
            (form("GEZDGNBV"), "secret has 5 bytes"),
            (form(&"A".repeat(1000)), "secret has 625 bytes"),
            (
                TotpForm {
                    algorithm: Some("MD5".to_owned()),
                    ..good()
                },
                "algorithm is not",
            ),
            (
                TotpForm {
                    digits: Some(5),
                    ..good()
                },
                "digits is not",
            ),
            (
                TotpForm {
                    digits: Some(262),
                    ..good()
                },
                "digits is not",
            ),
            (
                TotpForm {
                    period: Some(0),
                    ..good()
                },
                "period is not",
            ),
            (
                TotpForm {
                    label: Some("x".repeat(65)),
                    ..good()
                },
                "label is longer than 64 characters",
            ),
        ] {
            let refused = form.check().err().unwrap();
            assert!(refused.starts_with(why), "{refused}");
        }
    }
}
