//! The code that a device shows, and that a person types (RFC 8628 §6.1).

use std::fmt;

use crate::ports::Entropy;

/// The letters of a code: no vowels, so that no words come up, and no letter that is taken for a digit (RFC 8628 §6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// The number of letters. Of 20⁸ codes (34.6 bits) a few thousand are valid at a time, and guesses are limited.
const LENGTH: usize = 8;

/// More characters than a person types for a code, in bytes.
const LONGEST_INPUT: usize = 64;

/// A user code in its normalised form: capital letters without separators. It has no `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UserCode([u8; LENGTH]);

impl UserCode {
    /// A random code. Each letter is as probable as every other one.
    pub(super) fn generate(entropy: &dyn Entropy) -> Self {
        let mut code = [0; LENGTH];
        for letter in &mut code {
            *letter = random_letter(entropy);
        }
        Self(code)
    }

    /// The code that a person typed. Case, spaces and punctuation do not matter (RFC 8628 §6.1). `None` if no code is written
    /// like this.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST_INPUT {
            return None;
        }
        let typed = text.chars().filter(|it| it.is_alphanumeric());
        let letters: Option<Vec<u8>> = typed
            .map(|it| {
                let letter = u8::try_from(it).ok()?.to_ascii_uppercase();
                LETTERS.contains(&letter).then_some(letter)
            })
            .collect();
        letters?.try_into().ok().map(Self)
    }

    /// The normalised form.
    pub(super) fn as_str(&self) -> &str {
        // The letters are ASCII.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// As a device shows it: `WDJB-MJHT`.
impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = self.as_str().split_at(LENGTH / 2);
        write!(f, "{first}-{second}")
    }
}

/// A letter. Bytes of which not every letter has equally many are drawn again.
fn random_letter(entropy: &dyn Entropy) -> u8 {
    const FAIR: u8 = 240;
    loop {
        let mut byte = [0];
        entropy.fill(&mut byte);
        if byte[0] < FAIR {
            return LETTERS[usize::from(byte[0]) % LETTERS.len()];
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    /// Every byte in turn.
    struct Counting(Mutex<u8>);

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            for byte in bytes {
                let mut next = self.0.lock().unwrap();
                *byte = *next;
                *next = next.wrapping_add(1);
            }
        }
    }

    #[test]
    fn every_letter_is_equally_probable() {
        let entropy = Counting(Mutex::new(0));
        let mut counts = [0; 256];
        for _ in 0..240 {
            counts[usize::from(random_letter(&entropy))] += 1;
        }
        for letter in LETTERS {
            assert_eq!(counts[usize::from(*letter)], 12);
        }
        // The next ones are drawn again.
        assert_eq!(*entropy.0.lock().unwrap(), 240);
        assert_eq!(random_letter(&entropy), b'B');
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = UserCode::parse("WDJBMJHT").unwrap();
        assert_eq!(code.to_string(), "WDJB-MJHT");
        for typed in [
            "WDJB-MJHT",
            "wdjb-mjht",
            " wDjB mJhT ",
            "W D J B M J H T",
            "wdjb\u{2013}mjht",
            "wdjb\u{a0}mjht.",
            "\u{201c}WDJB_MJHT\u{201d}",
        ] {
            assert!(UserCode::parse(typed) == Some(code), "{typed}");
        }
        for typed in [
            "",
            "WDJB-MJH",
            "WDJB-MJHTT",
            "WDJB-MJHA",
            "WDJB-MJH1",
            "WDJB-MJH\u{422}",
            "\u{1d416}DJB-MJHT",
            &format!("WDJBMJHT{}", "-".repeat(LONGEST_INPUT)),
        ] {
            assert!(UserCode::parse(typed).is_none(), "{typed}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_code_or_none(text in any::<String>(), shaped in "[b-zB-Z -]{0,12}") {
            for text in [text, shaped] {
                if let Some(code) = UserCode::parse(&text) {
                    let again = UserCode::parse(&code.to_string());
                    prop_assert!(again == Some(code));
                }
            }
        }
    }
}
