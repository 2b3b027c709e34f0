//! Personal data inside events, which erasure must be able to take away without changing the log.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Value, json};

/// A personal field of an event: known, or erased together with the key that sealed it.
///
/// In memory it is plain. The store seals it on the way in and opens it on the way out; once the key is gone it
/// reads as `{"erased": true}`, which every aggregate and projection accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Personal<T> {
    /// The datum itself.
    Known(T),
    /// There was a datum and it can never be read again.
    Erased,
}

impl<T> Personal<T> {
    /// The datum, unless it was erased.
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
