//! E-mail addresses.

mod syntax;

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
    /// The longest address, in octets: a path of 256 octets without its two angle brackets (RFC 5321 §4.5.3.1.3).
    pub const MAX_LENGTH: usize = 254;

    /// Parses a new address, to which mail can be sent. Surrounding white space is ignored.
    ///
    /// # Errors
    /// The flaw of the text: missing; too long, if the address is longer than [`Self::MAX_LENGTH`] or one of its parts
    /// is longer than RFC 5321 allows (both counted in octets, as in mail); otherwise malformed. A domain needs two
    /// labels, because mail is not delivered to a top-level domain. A quoted local part is malformed, because with
    /// quoted pairs one mailbox would have any number of spellings (RFC 5321 §4.1.2), and hardly any real address has
    /// one.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let text = bounded(text, Self::MAX_LENGTH)?;
        let (local, domain) = text.rsplit_once('@').ok_or(Flaw::Malformed)?;
        let too_long = Flaw::TooLong {
            max: Self::MAX_LENGTH,
        };
        if !syntax::is_dot_atom(local) {
            return Err(Flaw::Malformed);
        }
        let domain = syntax::a_labels(domain).ok_or(Flaw::Malformed)?;
        syntax::check_labels(&domain, too_long)?;
        let length = local.len() + "@".len() + domain.len();
        if local.len() > syntax::LONGEST_LOCAL_PART || length > Self::MAX_LENGTH {
            return Err(too_long);
        }
        Ok(Self(text.to_owned()))
    }

    /// Parses an address by which an account is looked up. Earlier versions accepted addresses that [`Self::parse`]
    /// does not, such as quoted local parts.
    ///
    /// # Errors
    /// The flaw of the text.
    pub fn parse_existing(text: &str) -> Result<Self, Flaw> {
        if let Ok(email) = Self::parse(text) {
            return Ok(email);
        }
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

    /// The canonical form of the mailbox. Spellings of one mailbox have the same form: it ignores letter case, the
    /// composition of accents (NFC), the encoding of an internationalised domain (A-labels, UTS 46), and unnecessary
    /// quotes of the local part.
    pub fn comparable(&self) -> String {
        if self.0.is_ascii() && !self.0.starts_with('"') {
            return self.0.to_ascii_lowercase();
        }
        match self.0.rsplit_once('@') {
            Some((local, domain)) => syntax::comparable(local, domain),
            None => syntax::folded(&self.0),
        }
    }

    /// The address with its letter case folded and otherwise as it was spelt: the form that earlier versions compared.
    pub fn folded_spelling(&self) -> String {
        UniCase::unicode(&self.0).to_folded_case()
    }

    /// The local part, and the domain as A-labels, which every mail server accepts. `None` for an address that
    /// [`Self::parse`] does not accept.
    pub fn for_delivery(&self) -> Option<(&str, String)> {
        Self::parse(&self.0).ok()?;
        let (local, domain) = self.0.rsplit_once('@')?;
        Some((local, syntax::a_labels(domain)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_spelling_and_is_compared_without_case() {
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
    fn two_spellings_of_one_mailbox_compare_equal() {
        let mailbox = |text| Email::from_stored(text).comparable();
        for [one, other] in [
            ["mo@b\u{fc}cher.example", "mo@xn--bcher-kva.example"],
            ["mo@B\u{dc}CHER.example", "Mo@XN--BCHER-KVA.Example"],
            ["mo@bu\u{308}cher.example", "mo@b\u{fc}cher.example"],
            ["mo@\u{ff45}xample.com", "mo@example.com"],
            ["mo@example\u{3002}com", "mo@example.com"],
            ["jos\u{e9}@example.com", "JOSE\u{301}@example.com"],
            ["\"ab\"@example.com", "ab@example.com"],
            ["\"a\\b\"@example.com", "ab@example.com"],
            ["\"a\\ b\"@example.com", "\"a b\"@example.com"],
            [
                "\u{938}\u{902}\u{92a}\u{930}\u{94d}\u{915}@\u{921}\u{93e}\u{91f}\u{93e}\u{92e}\u{947}\u{932}.\u{92d}\u{93e}\u{930}\u{924}",
                "\u{938}\u{902}\u{92a}\u{930}\u{94d}\u{915}@xn--c2bd4bq1db8d.xn--h2brj9c",
            ],
        ] {
            assert_eq!(mailbox(one), mailbox(other), "{one} {other}");
        }
        for [one, other] in [
            ["mo@fa\u{df}.example", "mo@fass.example"],
            ["mo@b\u{fc}cher.example", "mo@bucher.example"],
            ["\"a b\"@example.com", "ab@example.com"],
        ] {
            assert_ne!(mailbox(one), mailbox(other), "{one} {other}");
        }
    }

    #[test]
    fn the_compared_form_stays_the_same_because_its_digests_are_stored() {
        for (text, compared) in [
            (
                "JOSE\u{301}@B\u{dc}CHER.example",
                "jos\u{e9}@xn--bcher-kva.example",
            ),
            ("\"Mo\"@Example.com", "mo@example.com"),
        ] {
            assert_eq!(Email::from_stored(text).comparable(), compared);
        }
    }

    #[test]
    fn addresses_in_every_script_are_accepted() {
        for text in [
            "\u{938}\u{902}\u{92a}\u{930}\u{94d}\u{915}@\u{921}\u{93e}\u{91f}\u{93e}\u{92e}\u{947}\u{932}.\u{92d}\u{93e}\u{930}\u{924}",
            "\u{c38}\u{c02}\u{c2a}\u{c4d}\u{c30}\u{c26}\u{c3f}@example.com",
            "\u{ba4}\u{bca}\u{b9f}\u{bb0}\u{bcd}\u{baa}\u{bc1}@example.com",
            "jose\u{301}@example.com",
            "\u{645}\u{6cc}\u{200c}\u{62e}@example.com",
            "\u{7528}\u{6237}@\u{4f8b}\u{5b50}.\u{6d4b}\u{8bd5}",
            "\u{30a2}\u{30fb}\u{30d0}@example.com",
        ] {
            let email = Email::parse(text).unwrap();
            let (local, domain) = email.for_delivery().unwrap();
            assert!(text.starts_with(local) && domain.is_ascii(), "{text}");
        }
    }

    #[test]
    fn the_length_of_an_address_is_counted_as_in_mail() {
        let too_long = Err(Flaw::TooLong { max: 254 });
        let taken = |text: String| Email::parse(&text).map(|_| ());
        assert_eq!(
            taken(format!("{}@example.com", "\u{fc}".repeat(32))),
            Ok(())
        );
        assert_eq!(
            taken(format!("{}@example.com", "\u{fc}".repeat(33))),
            too_long
        );
        // Its A-label has 66 octets.
        assert_eq!(
            taken(format!("jo@{}.example", "\u{4f8b}".repeat(60))),
            too_long
        );
        let labels = vec!["a".repeat(60); 4].join(".");
        assert_eq!(taken(format!("jo@{labels}.com")), Ok(()));
        assert_eq!(taken(format!("{}@{labels}.com", "j".repeat(20))), too_long);
    }

    #[test]
    fn an_account_with_a_quoted_address_can_still_be_found() {
        let email = Email::parse_existing("\"Jo Doe\"@example.com").unwrap();
        assert_eq!(email.comparable(), "\"jo doe\"@example.com");
        assert!(Email::parse_existing("\"jo@example.com").is_err());
        assert!(email.for_delivery().is_none());
    }

    #[test]
    fn an_invalid_address_is_refused_with_its_flaw() {
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
            (".jo@example.com", Flaw::Malformed),
            ("jo..jo@example.com", Flaw::Malformed),
            ("jo@example..com", Flaw::Malformed),
            ("jo@example.com.", Flaw::Malformed),
            ("jo@-example.com", Flaw::Malformed),
            ("jo@exa_mple.com", Flaw::Malformed),
            ("jo@xn--a.example", Flaw::Malformed),
            ("jo\u{202e}@example.com", Flaw::Malformed),
            ("jo\u{a0}jo@example.com", Flaw::Malformed),
            ("jo\u{e000}@example.com", Flaw::Malformed),
            ("jo@[127.0.0.1]", Flaw::Malformed),
        ] {
            assert_eq!(Email::parse(text).unwrap_err(), flaw, "{text:?}");
        }
    }
}
