//! Personal data in events, which an erasure makes unreadable without changing the log.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Value, json};

/// A personal field of an event: known, or erased together with the key that sealed it.
///
/// In memory the value is in plain text. The store seals it when it is written and opens it when it is read. Once the
/// key is deleted, the field reads as `{"erased": true}`, which every aggregate and projection accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Personal<T> {
    /// The value.
    Known(T),
    /// There was a value, which can never be read again.
    Erased,
}

impl<T> Personal<T> {
    /// The value. `None` if it was erased.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Erased => None,
        }
    }
}

impl<T: Serialize> Serialize for Personal<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(value) => value.serialize(serializer),
            Self::Erased => json!({ "erased": true }).serialize(serializer),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Personal<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.get("erased") == Some(&Value::Bool(true)) {
            return Ok(Self::Erased);
        }
        serde_json::from_value(value)
            .map(Self::Known)
            .map_err(serde::de::Error::custom)
    }
}
