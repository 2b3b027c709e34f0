//! E-mail addresses.

use email_address::{EmailAddress, Error, Options};
use serde::{Deserialize, Serialize};
use unicase::UniCase;

use super::{Flaw, bounded, text_value};

/// An e-mail address (RFC 5321, 5322, 6531), without display name or address literal.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);
text_value!(Email);

impl Email {
    /// RFC 5321 §4.5.3.1.3: a path of 256 octets, less its two angle brackets.
    pub const MAX_LENGTH: usize = 254;

    /// Reads a new address; surrounding white space is passed over.
    ///
    /// # Errors
    /// As [`Self::parse_existing`]. A quoted local part is malformed: with quoted pairs one mailbox would have any number of
    /// spellings (RFC 5321 §4.1.2), and hardly anyone has such an address.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let email = Self::parse_existing(text)?;
        if email.0.contains('"') {
            return Err(Flaw::Malformed);
        }
        Ok(email)
    }

    /// Reads an address by which an account is to be found: earlier versions took quoted local parts as well.
    ///
    /// # Errors
    /// The flaw of the text: absent, longer than [`Self::MAX_LENGTH`] or with a part beyond its own bound,
    /// otherwise malformed. A domain needs two labels: no mail is delivered to a bare top-level name.
    pub fn parse_existing(text: &str) -> Result<Self, Flaw> {
        let text = bounded(text, Self::MAX_LENGTH)?;
        let options = Options::default()
            .without_display_text()
            .without_domain_literal()
            .with_required_tld();
        match EmailAddress::parse_with_options(text, options) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(Error::LocalPartTooLong | Error::DomainTooLong | Error::SubDomainTooLong) => {
                Err(Flaw::TooLong {
                    max: Self::MAX_LENGTH,
                })
            }
            Err(_) => Err(Flaw::Malformed),
        }
    }

    /// The form in which two spellings of one address are equal: letter case does not matter.
    pub fn comparable(&self) -> String {
        UniCase::unicode(&self.0).to_folded_case()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_spelling_and_compares_without_case() {
        let email = Email::parse(" Jo.Doe@Example.COM ").unwrap();
        assert_eq!(email.as_str(), "Jo.Doe@Example.COM");
        assert_eq!(email.comparable(), "jo.doe@example.com");
        let spelt = |text| Email::parse(text).unwrap().comparable();
        assert_eq!(
            spelt("\u{3c3}\u{3bf}\u{3c6}\u{3bf}\u{3c2}@x.com"),
            spelt("\u{3c3}\u{3bf}\u{3c6}\u{3bf}\u{3c3}@x.com")
        );
    }

    #[test]
    fn an_account_with_a_quoted_address_can_still_be_found() {
        let email = Email::parse_existing("\"Jo Doe\"@example.com").unwrap();
        assert_eq!(email.comparable(), "\"jo doe\"@example.com");
        assert!(Email::parse_existing("\"jo@example.com").is_err());
    }

    #[test]
    fn what_is_no_address_is_told_by_its_flaw() {
        let long = format!("{}@example.com", "a".repeat(250));
        let long_local = format!("{}@example.com", "a".repeat(65));
        for (text, flaw) in [
            ("", Flaw::Required),
            ("  ", Flaw::Required),
            (long.as_str(), Flaw::TooLong { max: 254 }),
            (long_local.as_str(), Flaw::TooLong { max: 254 }),
            ("jo", Flaw::Malformed),
            ("jo@", Flaw::Malformed),
            ("jo@localhost", Flaw::Malformed),
            ("Jo <jo@example.com>", Flaw::Malformed),
            ("jo@example.com\r\nBcc: all@example.com", Flaw::Malformed),
            ("jo@example.com\u{0}", Flaw::Malformed),
            ("\"jo\"@example.com", Flaw::Malformed),
            ("\"j\\o\"@example.com", Flaw::Malformed),
            ("\"jo@home\"@example.com", Flaw::Malformed),
        ] {
            assert_eq!(Email::parse(text).unwrap_err(), flaw, "{text:?}");
        }
    }
}
