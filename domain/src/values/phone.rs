//! Telephone numbers.

use serde::{Deserialize, Serialize};

use super::{Flaw, text_value};

/// A telephone number in the international form of ITU-T E.164: `+`, then up to 15 digits, the first not zero.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phone(String);
text_value!(Phone);

impl Phone {
    /// The number of digits after the `+`. E.164 allows 15, and no country has numbers of fewer than 7 including its
    /// code.
    const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

    /// Parses a number. Surrounding white space is ignored; punctuation is malformed.
    ///
    /// # Errors
    /// [`Flaw::Required`] for an empty text, otherwise [`Flaw::Malformed`].
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Flaw::Required);
        }
        let digits = text.strip_prefix('+').ok_or(Flaw::Malformed)?;
        let well_formed = Self::DIGITS.contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        if !well_formed {
            return Err(Flaw::Malformed);
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_international_format_is_accepted() {
        assert!(Phone::parse("+6285319076822").is_ok());
        for text in [
            "085319076822",
            "+0853190768",
            "+62 853 1907",
            "+12",
            "+1234567890123456",
            "+62853x907682",
        ] {
            assert_eq!(Phone::parse(text).unwrap_err(), Flaw::Malformed, "{text}");
        }
    }
}
