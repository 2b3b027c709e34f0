//! The names of people.

use serde::{Deserialize, Serialize};

use super::{Flaw, bounded, text_value};

/// A person's name as they write it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonName(String);
text_value!(PersonName);

impl PersonName {
    /// Longer than the names of people are; short enough to print.
    pub const MAX_LENGTH: usize = 100;

    /// Reads a name; surrounding white space is passed over.
    ///
    /// # Errors
    /// The flaw of the text: absent, longer than [`Self::MAX_LENGTH`], or with control characters.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        bounded(text, Self::MAX_LENGTH).map(|text| Self(text.to_owned()))
    }
}
