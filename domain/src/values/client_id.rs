//! The ids and the names of OAuth clients.

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::{Flaw, bounded, public_text_value};

/// The id of an OAuth client, and of its `Client` aggregate: a text that the operator chose, or a generated UUID.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(String);
public_text_value!(ClientId);

impl ClientId {
    /// The longest id, in characters: longer than a UUID, and short enough for a subject of NATS and a line of a table.
    pub const MAX_LENGTH: usize = 64;

    /// Parses an id: letters, digits, `-` and `_`. These need no escaping in a URL, in HTTP Basic authentication, and in the
    /// subject of a NATS message.
    ///
    /// # Errors
    /// The flaw of the text: missing, longer than [`Self::MAX_LENGTH`], or with other characters.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        if text.is_empty() {
            return Err(Flaw::Required);
        }
        if text.chars().count() > Self::MAX_LENGTH {
            return Err(Flaw::TooLong {
                max: Self::MAX_LENGTH,
            });
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !text.bytes().all(is_plain) {
            return Err(Flaw::Malformed);
        }
        Ok(Self(text.to_owned()))
    }

    /// Parses an id that an operator chose for a new client.
    ///
    /// # Errors
    /// As for [`Self::parse`], and [`Flaw::IdShaped`] for an id that is written like the id of an account: events are published
    /// to subjects that are named after both, so a reader of that account's events would get those of the client as well.
    pub fn parse_chosen(text: &str) -> Result<Self, Flaw> {
        let id = Self::parse(text)?;
        // Account ids are never written in the other forms of a UUID, without hyphens for example.
        if text.len() == Hyphenated::LENGTH && Uuid::try_parse(text).is_ok() {
            return Err(Flaw::IdShaped);
        }
        Ok(id)
    }
}

/// The name of a client, as people see it when they are asked for their consent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientName(String);
public_text_value!(ClientName);

impl ClientName {
    /// The longest name, in characters: it has to fit a heading.
    pub const MAX_LENGTH: usize = 64;

    /// Parses a name. Surrounding white space is ignored.
    ///
    /// # Errors
    /// The flaw of the text: missing, longer than [`Self::MAX_LENGTH`], or with control characters.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        bounded(text, Self::MAX_LENGTH).map(|text| Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_needs_no_escaping_anywhere() {
        for text in [
            "a",
            "web-app",
            "Web_App-2",
            "0192d3f0-0000-7000-8000-000000000001",
        ] {
            assert_eq!(ClientId::parse(text).unwrap().as_str(), text);
        }
        for text in [
            "two words",
            "a.b",
            "a/b",
            "a:b",
            "a*",
            "a>",
            "é",
            " a",
            "a\n",
        ] {
            assert_eq!(
                ClientId::parse(text).unwrap_err(),
                Flaw::Malformed,
                "{text:?}"
            );
        }
        assert_eq!(ClientId::parse("").unwrap_err(), Flaw::Required);
        assert_eq!(
            ClientId::parse(&"a".repeat(65)).unwrap_err(),
            Flaw::TooLong { max: 64 }
        );
    }

    #[test]
    fn a_chosen_id_is_no_accounts() {
        for text in [
            "0192d3f0-0000-7000-8000-000000000001",
            "0192D3F0-0000-7000-8000-00000000000A",
        ] {
            assert_eq!(
                ClientId::parse_chosen(text).unwrap_err(),
                Flaw::IdShaped,
                "{text}"
            );
        }
        for text in ["shop", "0192d3f000007000800000000000000a"] {
            assert_eq!(ClientId::parse_chosen(text).unwrap().as_str(), text);
        }
        assert_eq!(ClientId::parse_chosen("a.b").unwrap_err(), Flaw::Malformed);
    }
}
