//! Fields of a JSON request, all of which are strings.

use std::fmt;

use authlog_application::{Field, Refusal, Violation};
use authlog_domain::Flaw;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A field of a JSON request. Reading it never fails, so that a value of another type is reported like any other
/// invalid field. The value may be a password, so the type has no `Debug`.
#[derive(Default)]
pub(crate) enum JsonField {
    /// The field is missing or `null`.
    #[default]
    Absent,
    /// A string.
    Text(String),
    /// A value of another type.
    NotString,
}

impl JsonField {
    /// The string, if the value is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::NotString => None,
        }
    }

    /// The code that the client sent. An empty one is none, as forms send a field that was not filled in. A value of another
    /// type is a wrong one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Text(text) if text.trim().is_empty() => None,
            Self::Text(text) => Some(text),
            Self::NotString => Some(""),
            Self::Absent => None,
        }
    }

    /// Whether the client sent a value other than `null`.
    pub fn was_sent(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

/// Refuses fields whose value is not a string.
///
/// # Errors
/// [`Refusal::Invalid`], with [`Flaw::Malformed`] for each of them.
pub(crate) fn reject_non_strings(fields: &[(Field, &JsonField)]) -> Result<(), Refusal> {
    let violations: Vec<Violation> = fields
        .iter()
        .filter(|(_, field)| matches!(field, JsonField::NotString))
        .map(|&(field, _)| Violation {
            field,
            flaw: Flaw::Malformed,
        })
        .collect();
    if violations.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Invalid(violations))
    }
}

impl<'de> Deserialize<'de> for JsonField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonFieldVisitor)
    }
}

struct JsonFieldVisitor;

impl<'de> Visitor<'de> for JsonFieldVisitor {
    type Value = JsonField;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<JsonField, E> {
        Ok(JsonField::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<JsonField, E> {
        Ok(JsonField::Text(text))
    }

    fn visit_unit<E>(self) -> Result<JsonField, E> {
        Ok(JsonField::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<JsonField, E> {
        Ok(JsonField::NotString)
    }

    fn visit_i64<E>(self, _: i64) -> Result<JsonField, E> {
        Ok(JsonField::NotString)
    }

    fn visit_u64<E>(self, _: u64) -> Result<JsonField, E> {
        Ok(JsonField::NotString)
    }

    fn visit_f64<E>(self, _: f64) -> Result<JsonField, E> {
        Ok(JsonField::NotString)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<JsonField, A::Error> {
        while fields.next_element::<IgnoredAny>()?.is_some() {}
        Ok(JsonField::NotString)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<JsonField, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(JsonField::NotString)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_absent_and_other_types_are_recognised() {
        let read = |json: &str| serde_json::from_str::<JsonField>(json).unwrap();
        assert!(matches!(read("null"), JsonField::Absent));
        assert_eq!(read(r#""caf\u00e9""#).text(), Some("café"));
        for json in [
            "true",
            "7",
            "-7",
            "1.5",
            "[1, [2]]",
            r#"{"a": {"b": null}}"#,
        ] {
            assert!(matches!(read(json), JsonField::NotString), "{json}");
        }
    }

    #[test]
    fn fields_of_the_wrong_type_are_refused_by_name() {
        let fields = [
            (Field::Username, &JsonField::NotString),
            (Field::Email, &JsonField::Absent),
            (Field::Password, &JsonField::NotString),
        ];
        let Err(Refusal::Invalid(violations)) = reject_non_strings(&fields) else {
            panic!("they were accepted");
        };
        let fields: Vec<Field> = violations.iter().map(|violation| violation.field).collect();
        assert_eq!(fields, [Field::Username, Field::Password]);
    }
}
