//! The names that people give their second factors.

use serde::{Deserialize, Serialize};

use super::{Flaw, bounded, text_value};

/// The name that a person gave a second factor, such as "work phone".
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FactorLabel(String);
text_value!(FactorLabel);

impl FactorLabel {
    /// The longest label, in characters: enough for the model of a device, and short enough for a list.
    pub const MAX_LENGTH: usize = 64;

    /// Parses a label. Surrounding white space is ignored.
    ///
    /// # Errors
    /// The flaw of the text: missing, longer than [`Self::MAX_LENGTH`], or with control characters.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        bounded(text, Self::MAX_LENGTH).map(|text| Self(text.to_owned()))
    }
}
