//! Usernames.

use precis_profiles::precis_core::profile::PrecisFastInvocation;
use precis_profiles::{UsernameCaseMapped, UsernameCasePreserved};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Flaw, bounded, text_value};

/// A username (RFC 8265, `UsernameCasePreserved`). It never contains `@`, so it cannot be mistaken for an e-mail address.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Username(String);
text_value!(Username);

impl Username {
    /// The longest username, in characters: longer than every naming scheme in use, and short enough to print.
    pub const MAX_LENGTH: usize = 64;

    /// Parses a new username. Surrounding white space is ignored.
    ///
    /// # Errors
    /// As for [`Self::parse_existing`], and [`Flaw::IdShaped`] for a username with the form of a UUID: commands that
    /// accept an id or a username could affect the wrong account.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let username = Self::parse_existing(text)?;
        if Uuid::try_parse(&username.0).is_ok() {
            return Err(Flaw::IdShaped);
        }
        Ok(username)
    }

    /// Parses a username by which an account is looked up. Earlier versions accepted usernames with the form of a UUID.
    ///
    /// # Errors
    /// The flaw of the text: missing, longer than [`Self::MAX_LENGTH`], or with characters that RFC 8265 does not allow
    /// in a username (spaces among them) or an `@`.
    pub fn parse_existing(text: &str) -> Result<Self, Flaw> {
        let text = bounded(text, Self::MAX_LENGTH)?;
        if is_plain(text) && !text.contains('@') {
            return Ok(Self(text.to_owned()));
        }
        let username = UsernameCasePreserved::enforce(text).map_err(|_| Flaw::Malformed)?;
        // After the mapping of widths, because that turns U+FF20 into `@`.
        if username.contains('@') {
            return Err(Flaw::Malformed);
        }
        Ok(Self(username.into_owned()))
    }

    /// The form that all spellings of one username share (RFC 8265, `UsernameCaseMapped`).
    pub fn comparable(&self) -> String {
        if is_plain(&self.0) {
            return self.0.to_ascii_lowercase();
        }
        UsernameCaseMapped::enforce(self.0.as_str())
            .map_or_else(|_| self.0.to_lowercase(), std::borrow::Cow::into_owned)
    }
}

/// Whether a text consists of visible ASCII characters. The profiles of RFC 8265 change nothing about these but their case.
/// Without this check, looking up each character in the tables of Unicode took a sixth of the instructions of a login that
/// is refused for overload.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_as_rfc_8265_says(text in prop_oneof!["[ -~]{1,64}", ".{1,64}"]) {
            let trimmed = text.trim();
            prop_assume!(!trimmed.is_empty() && trimmed.chars().count() <= Username::MAX_LENGTH);
            let expected = UsernameCasePreserved::enforce(trimmed)
                .ok()
                .filter(|username| !username.contains('@'));
            let read = Username::parse_existing(&text).ok();
            prop_assert_eq!(read.as_ref().map(Username::as_str), expected.as_deref());
            if let Some(username) = read {
                let expected = UsernameCaseMapped::enforce(username.as_str()).ok();
                prop_assert_eq!(Some(username.comparable()), expected.map(std::borrow::Cow::into_owned));
            }
        }
    }

    #[test]
    fn usernames_are_compared_without_case_or_width() {
        let spelt = |text| Username::parse(text).unwrap().comparable();
        assert_eq!(spelt("AhmadSolih"), spelt("ahmadsolih"));
        assert_eq!(spelt("ａｂｃ"), spelt("abc"));
        assert_ne!(spelt("ahmad"), spelt("ahmed"));
    }

    #[test]
    fn a_uuid_is_not_accepted_as_a_new_username() {
        for text in [
            "0192d3f0-0000-7000-8000-000000000001",
            "0192D3F0-0000-7000-8000-00000000000A",
            "0192d3f0000070008000000000000001",
            "{0192d3f0-0000-7000-8000-000000000001}",
            "urn:uuid:0192d3f0-0000-7000-8000-000000000001",
            "\u{ff10}192d3f0-0000-7000-8000-000000000001",
        ] {
            assert_eq!(Username::parse(text).unwrap_err(), Flaw::IdShaped, "{text}");
            assert!(Username::parse_existing(text).is_ok(), "{text}");
        }
        assert!(Username::parse("0192d3f0-0000-7000-8000").is_ok());
    }

    #[test]
    fn an_invalid_username_is_refused_with_its_flaw() {
        let long = "a".repeat(65);
        for (text, flaw) in [
            ("", Flaw::Required),
            (long.as_str(), Flaw::TooLong { max: 64 }),
            ("two words", Flaw::Malformed),
            ("jo@example.com", Flaw::Malformed),
            ("jo\u{ff20}example.com", Flaw::Malformed),
            ("tab\there", Flaw::Malformed),
        ] {
            assert_eq!(Username::parse(text).unwrap_err(), flaw, "{text:?}");
        }
    }
}
