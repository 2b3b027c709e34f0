//! The names of people.

use serde::{Deserialize, Serialize};

use super::{Flaw, bounded, text_value};

/// A person's name as that person writes it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonName(String);
text_value!(PersonName);

impl PersonName {
    /// The longest name, in characters: longer than real names, and short enough to print.
    pub const MAX_LENGTH: usize = 100;

    /// Parses a name. Surrounding white space is ignored.
    ///
    /// # Errors
    /// The flaw of the text: missing, longer than [`Self::MAX_LENGTH`], or with control characters.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        bounded(text, Self::MAX_LENGTH).map(|text| Self(text.to_owned()))
    }
}
