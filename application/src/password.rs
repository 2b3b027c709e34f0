//! Passwords as people type them, and what is asked of a new one.

use authlog_domain::Flaw;
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use zeroize::Zeroizing;
use zxcvbn::feedback::Warning;

/// A password as somebody typed it, normalised (RFC 8265 §4.2, OpaqueString). It is wiped when dropped and has neither
/// `Debug` nor `Serialize`.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Longest password that is looked at, in characters: beyond it hashing would cost an attacker nothing and us
    /// time. NIST SP 800-63B-4 §3.1.1.2 asks for at least 64.
    pub const MAX_LENGTH: usize = 256;

    /// Reads a password. White space counts: it is never trimmed.
    ///
    /// # Errors
    /// [`Flaw::Required`] for none, [`Flaw::TooLong`] beyond [`Self::MAX_LENGTH`], [`Flaw::Malformed`] for characters
    /// that RFC 8265 does not allow in a password (control characters).
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        if text.is_empty() {
            return Err(Flaw::Required);
        }
        if text.chars().count() > Self::MAX_LENGTH {
            return Err(Flaw::TooLong {
                max: Self::MAX_LENGTH,
            });
        }
        let normalised = OpaqueString::enforce(text).map_err(|_| Flaw::Malformed)?;
        Ok(Self(Zeroizing::new(normalised.into_owned())))
    }

    /// What is scored. Beyond this many characters no password is easy to guess but one that repeats itself, and scoring
    /// costs more than in proportion to the length.
    fn beginning(&self) -> Zeroizing<String> {
        const SCORED: usize = 48;
        Zeroizing::new(self.0.chars().take(SCORED).collect())
    }

    /// The bytes to hash. For password hashers alone.
    pub fn expose_to_hasher(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// What is asked of a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// Fewest characters.
    pub min_length: usize,
    /// Least score of zxcvbn, 0 (anything) to 4 (very hard to guess). From 1 on, none of the ten thousand passwords that
    /// most people have is taken either (NIST SP 800-63B-4 §3.1.1.2 asks for such a list).
    pub min_score: u8,
}

impl PasswordPolicy {
    /// Whether the policy takes `password` for an account that is called by `own_words`.
    ///
    /// # Errors
    /// What it lacks.
    pub fn check(&self, password: &Password, own_words: &[&str]) -> Result<(), Flaw> {
        if self.is_too_short(password) {
            return Err(Flaw::TooShort {
                min: self.min_length,
            });
        }
        if self.min_score > 0 {
            let estimate = zxcvbn::zxcvbn(&password.beginning(), own_words);
            if is_common(&estimate) {
                return Err(Flaw::Common);
            }
            if u8::from(estimate.score()) < self.min_score {
                return Err(Flaw::Guessable);
            }
        }
        Ok(())
    }

    /// The same, but however easy a password is to guess.
    pub(crate) fn without_score(self) -> Self {
        Self {
            min_score: 0,
            ..self
        }
    }

    /// Whether no account made under this policy can have `password`.
    pub fn is_too_short(&self, password: &Password) -> bool {
        password.0.chars().count() < self.min_length
    }
}

/// Whether the whole password, however it is capitalised, is on zxcvbn's list of leaked ones, among the first ten thousand.
fn is_common(estimate: &zxcvbn::Entropy) -> bool {
    let warning = estimate.feedback().and_then(|feedback| feedback.warning());
    matches!(
        warning,
        Some(
            Warning::ThisIsATop10Password
                | Warning::ThisIsATop100Password
                | Warning::ThisIsACommonPassword
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: PasswordPolicy = PasswordPolicy {
        min_length: 7,
        min_score: 0,
    };

    #[test]
    fn two_spellings_of_one_password_are_the_same() {
        let composed = Password::parse("caf\u{e9}-au-lait").unwrap();
        let decomposed = Password::parse("cafe\u{301}-au-lait").unwrap();
        assert_eq!(composed.expose_to_hasher(), decomposed.expose_to_hasher());
    }

    #[test]
    fn length_is_counted_in_characters_and_white_space_counts() {
        let password = Password::parse(" ключи ").unwrap();
        assert!(POLICY.check(&password, &[]).is_ok());
        let short = Password::parse("ключи").unwrap();
        assert_eq!(
            POLICY.check(&short, &[]).unwrap_err(),
            Flaw::TooShort { min: 7 }
        );
    }

    #[test]
    fn a_score_can_be_asked_for_and_knows_the_owners_words() {
        let policy = PasswordPolicy {
            min_score: 3,
            ..POLICY
        };
        let guessable = Password::parse("ahmadsolih1990").unwrap();
        assert_eq!(
            policy.check(&guessable, &["ahmadsolih"]).unwrap_err(),
            Flaw::Guessable
        );
        let fine = Password::parse("staple-quince-orbit-lagoon").unwrap();
        assert!(policy.check(&fine, &["ahmadsolih"]).is_ok());
    }

    #[test]
    fn what_very_many_people_have_is_not_taken_where_a_score_is_asked_for() {
        let common = [
            "password",
            "Password",
            "letmein",
            "trustno1",
            "qwertyuiop",
            "iloveyou",
        ];
        for text in common {
            let password = Password::parse(text).unwrap();
            let strict = PasswordPolicy {
                min_score: 1,
                ..POLICY
            };
            assert_eq!(strict.check(&password, &[]), Err(Flaw::Common), "{text}");
            assert_eq!(POLICY.check(&password, &[]), Ok(()), "{text}");
        }
        // What the documents print.
        for text in ["johndoe", "rahasia"] {
            assert_eq!(POLICY.check(&Password::parse(text).unwrap(), &[]), Ok(()));
        }
    }

    #[test]
    fn what_cannot_be_a_password_is_told_by_its_flaw() {
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
