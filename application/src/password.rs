//! Passwords as typed, and the policy for new ones.

mod scoring;

use authlog_domain::Flaw;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// Digits of a code that follows a password in the same field.
const CODE_DIGITS: usize = 6;

/// A password as typed, normalised by RFC 8265 §4.2 (`OpaqueString`). It is wiped when dropped and has neither `Debug`
/// nor `Serialize`.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// The longest accepted password, in characters: longer ones would only cost processor time. NIST SP
    /// 800-63B-4 §3.1.1.2 requires at least 64.
    pub const MAX_LENGTH: usize = 256;

    /// Parses a password. White space is significant and never trimmed.
    ///
    /// # Errors
    /// [`Flaw::Required`] if empty, [`Flaw::TooLong`] above [`Self::MAX_LENGTH`], [`Flaw::Malformed`] for control
    /// characters. Every other character is accepted (NIST SP 800-63B-4 §3.1.1.2): RFC 8265 would reject characters that
    /// its Unicode version does not know, and the joiners and variation selectors of many emoji.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        if text.is_empty() {
            return Err(Flaw::Required);
        }
        if text.chars().count() > Self::MAX_LENGTH {
            return Err(Flaw::TooLong {
                max: Self::MAX_LENGTH,
            });
        }
        if text.chars().any(char::is_control) {
            return Err(Flaw::Malformed);
        }
        if text.is_ascii() {
            // NFC and the rule for spaces do not change ASCII. They took a twelfth of the instructions of a refused login.
            return Ok(Self(Zeroizing::new(text.to_owned())));
        }
        // NFC makes a text at most three times as long (UAX #15). So the string is never reallocated, which would leave a copy
        // of the password in memory.
        let mut normalised = Zeroizing::new(String::with_capacity(3 * text.len()));
        normalised.extend(text.chars().map(as_ascii_space).nfc());
        Ok(Self(normalised))
    }

    /// The password and the code after it, if the text ends in six digits and does not consist of them alone.
    pub(crate) fn split_code(&self) -> Option<(Self, Zeroizing<String>)> {
        let at = self.0.len().checked_sub(CODE_DIGITS)?;
        let (password, code) = self.0.split_at_checked(at)?;
        let is_code = !password.is_empty() && code.bytes().all(|letter| letter.is_ascii_digit());
        is_code.then(|| {
            let password = Zeroizing::new(password.to_owned());
            (Self(password), Zeroizing::new(code.to_owned()))
        })
    }

    /// The bytes to hash. Only for password hashers, and for the lookup in a list of breached passwords.
    pub fn expose_to_hasher(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Replaces every space separator by an ASCII space (RFC 8265 §4.2.2, rule 2), because keyboards produce different ones.
const fn as_ascii_space(letter: char) -> char {
    match letter {
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            ' '
        }
        other => other,
    }
}

/// The requirements for a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// The minimum length in characters.
    pub min_length: usize,
    /// The minimum zxcvbn score, from 0 (anything) to 4 (very hard to guess). From 1 on, the ten thousand most common
    /// passwords are rejected as well (NIST SP 800-63B-4 §3.1.1.2 requires such a list).
    pub min_score: u8,
}

impl PasswordPolicy {
    /// Checks the length of a new password, which is cheap. The rest of the policy is checked where the password is
    /// hashed ([`NewPassword::checked`]). `own_words` are the names of the account, which make a password that contains
    /// them easy to guess. Only the first [`NewPassword::OWN_WORDS`] are used.
    ///
    /// # Errors
    /// [`Flaw::TooShort`].
    pub fn admit(&self, password: Password, own_words: &[&str]) -> Result<NewPassword, Flaw> {
        if self.is_too_short(&password) {
            return Err(Flaw::TooShort {
                min: self.min_length,
            });
        }
        let own_words = own_words
            .iter()
            .take(NewPassword::OWN_WORDS)
            .map(|word| scoring::cut(word).to_owned())
            .collect();
        Ok(NewPassword {
            password,
            min_score: self.min_score,
            own_words,
        })
    }

    /// Whether `password` is shorter than the policy requires. Then no account that was created under the policy has it.
    pub fn is_too_short(&self, password: &Password) -> bool {
        password.0.chars().count() < self.min_length
    }
}

/// A password to be hashed for an account. It must be checked first, which takes milliseconds of processor time.
pub struct NewPassword {
    password: Password,
    min_score: u8,
    own_words: Vec<String>,
}

impl NewPassword {
    /// The largest number of names of an account: username, e-mail address and the person's name.
    pub const OWN_WORDS: usize = 3;

    /// The current password of an account. It is not checked again.
    pub fn already_in_use(password: Password) -> Self {
        Self {
            password,
            min_score: 0,
            own_words: Vec::new(),
        }
    }

    /// The password, before it is known whether it meets the policy.
    pub(crate) fn unchecked(&self) -> &Password {
        &self.password
    }

    /// The password, if it meets the policy. This may take a few milliseconds of processor time. So it must run on a hashing
    /// thread, and never on one that serves requests.
    ///
    /// # Errors
    /// [`Flaw::Common`] or [`Flaw::Guessable`].
    pub fn checked(self) -> Result<Password, Flaw> {
        if self.min_score > 0 {
            scoring::check(&self.password.0, self.min_score, &self.own_words)?;
        }
        Ok(self.password)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_the_last_six_digits_after_a_password() {
        let split = |text: &str| {
            let (password, code) = Password::parse(text).unwrap().split_code()?;
            Some((password.0.to_string(), code.to_string()))
        };
        let of = |password: &str, code: &str| Some((password.to_owned(), code.to_owned()));
        assert_eq!(split("rahasia123456"), of("rahasia", "123456"));
        assert_eq!(split("rahasia 7123456"), of("rahasia 7", "123456"));
        assert_eq!(split("päß123456"), of("päß", "123456"));
        for text in [
            "123456",
            "rahasia",
            "rahasia12345",
            "a12345é",
            "1234567x",
            "é",
        ] {
            assert_eq!(split(text), None, "{text}");
        }
    }

    const POLICY: PasswordPolicy = PasswordPolicy {
        min_length: 7,
        min_score: 0,
    };

    /// The result of all checks of the policy.
    fn verdict(policy: PasswordPolicy, text: &str, own_words: &[&str]) -> Result<(), Flaw> {
        let password = policy.admit(Password::parse(text)?, own_words)?;
        password.checked().map(|_| ())
    }

    #[test]
    fn two_spellings_of_one_password_are_the_same() {
        let composed = Password::parse("caf\u{e9}-au-lait").unwrap();
        let decomposed = Password::parse("cafe\u{301}-au-lait").unwrap();
        assert_eq!(composed.expose_to_hasher(), decomposed.expose_to_hasher());
    }

    #[test]
    fn every_character_but_a_control_character_can_be_in_a_password() {
        for text in [
            // A family, a heart with its variation selector, the flag of Wales, a face of Unicode 15.
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
            "\u{2764}\u{fe0f}",
            "\u{1f3f4}\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}",
            "\u{1fae8}",
            // Persian with a non-joiner, a soft hyphen, Jamo of old Korean.
            "\u{645}\u{6cc}\u{200c}\u{62e}",
            "Donau\u{ad}dampf",
            "\u{1113}\u{1175}",
        ] {
            let password = Password::parse(text).unwrap();
            let bytes = password.expose_to_hasher();
            assert_eq!(bytes, text.as_bytes(), "{text:?}");
        }
        let spaces = Password::parse("a\u{a0}b\u{3000}c").unwrap();
        assert_eq!(spaces.expose_to_hasher(), b"a b c");
    }

    proptest::proptest! {
        /// Passwords that earlier versions accepted are hashed as before.
        #[test]
        fn anything_that_rfc_8265_allows_is_read_as_it_says(text in proptest::prop_oneof!["[ -~]{1,40}", ".{1,40}"]) {
            use precis_profiles::OpaqueString;
            use precis_profiles::precis_core::profile::PrecisFastInvocation as _;
            if let Ok(expected) = OpaqueString::enforce(text.as_str()) {
                let password = Password::parse(&text).unwrap();
                proptest::prop_assert_eq!(password.expose_to_hasher(), expected.as_bytes());
            }
        }
    }

    #[test]
    fn length_is_counted_in_characters_and_white_space_counts() {
        assert_eq!(verdict(POLICY, " ключи ", &[]), Ok(()));
        let short = Password::parse("ключи").unwrap();
        // The length is refused before the expensive check.
        let refused = POLICY.admit(short, &[]).err();
        assert_eq!(refused, Some(Flaw::TooShort { min: 7 }));
    }

    #[test]
    fn a_required_score_takes_the_owners_words_into_account() {
        let policy = PasswordPolicy {
            min_score: 3,
            ..POLICY
        };
        let own_words = ["ahmadsolih"];
        let guessable = verdict(policy, "ahmadsolih1990", &own_words);
        assert_eq!(guessable, Err(Flaw::Guessable));
        let fine = verdict(policy, "staple-quince-orbit-lagoon", &own_words);
        assert_eq!(fine, Ok(()));
        // A password that an account already has is not checked.
        let in_use = NewPassword::already_in_use(Password::parse("password").unwrap());
        assert!(in_use.checked().is_ok());
    }

    #[test]
    fn a_common_password_is_refused_if_a_score_is_required() {
        let common = [
            "password",
            "Password",
            "letmein",
            "trustno1",
            "qwertyuiop",
            "iloveyou",
        ];
        for text in common {
            let strict = PasswordPolicy {
                min_score: 1,
                ..POLICY
            };
            assert_eq!(verdict(strict, text, &[]), Err(Flaw::Common), "{text}");
            assert_eq!(verdict(POLICY, text, &[]), Ok(()), "{text}");
        }
        // The contracts print these passwords in their examples.
        for text in ["johndoe", "rahasia"] {
            assert_eq!(verdict(POLICY, text, &[]), Ok(()));
        }
    }

    #[test]
    fn an_invalid_password_is_refused_with_its_flaw() {
        let long = "x".repeat(257);
        for (text, flaw) in [
            ("", Flaw::Required),
            (long.as_str(), Flaw::TooLong { max: 256 }),
            ("bell\u{7}ringer", Flaw::Malformed),
        ] {
            assert_eq!(Password::parse(text).err(), Some(flaw), "{text:?}");
        }
    }
}
