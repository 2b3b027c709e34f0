//! Members of a JSON request. All of ours are texts.

use std::fmt;

use authlog_application::{Field, Refusal, Violation};
use authlog_domain::Flaw;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A member of a JSON request. Reading one never fails, so that a wrong type is answered like any other wrong input: by
/// naming the member. It may be a password and has no `Debug`.
#[derive(Default)]
pub(crate) enum Member {
    /// It is not there, or is `null`.
    #[default]
    Absent,
    /// A text.
    Text(String),
    /// Something else.
    NotText,
}

impl Member {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::NotText => None,
        }
    }

    /// Whether the client sent anything.
    pub fn was_sent(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

/// Refuses the members that are there and are no texts.
///
/// # Errors
/// [`Refusal::Invalid`], with [`Flaw::Malformed`] for each.
pub(crate) fn only_texts(members: &[(Field, &Member)]) -> Result<(), Refusal> {
    let violations: Vec<Violation> = members
        .iter()
        .filter(|(_, member)| matches!(member, Member::NotText))
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

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor)
    }
}

struct MemberVisitor;

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member")
    }

    fn visit_str<E>(self, text: &str) -> Result<Member, E> {
        Ok(Member::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Member, E> {
        Ok(Member::Text(text))
    }

    fn visit_unit<E>(self) -> Result<Member, E> {
        Ok(Member::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Member, E> {
        Ok(Member::NotText)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Member, E> {
        Ok(Member::NotText)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Member, E> {
        Ok(Member::NotText)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Member, E> {
        Ok(Member::NotText)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Member, A::Error> {
        while members.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Member::NotText)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Member, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Member::NotText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_counts_as_absent_and_other_types_are_noticed() {
        let read = |json: &str| serde_json::from_str::<Member>(json).unwrap();
        assert!(matches!(read("null"), Member::Absent));
        assert_eq!(read(r#""caf\u00e9""#).text(), Some("café"));
        for json in [
            "true",
            "7",
            "-7",
            "1.5",
            "[1, [2]]",
            r#"{"a": {"b": null}}"#,
        ] {
            assert!(matches!(read(json), Member::NotText), "{json}");
        }
    }

    #[test]
    fn members_of_the_wrong_type_are_refused_by_name() {
        let members = [
            (Field::Username, &Member::NotText),
            (Field::Email, &Member::Absent),
            (Field::Password, &Member::NotText),
        ];
        let Err(Refusal::Invalid(violations)) = only_texts(&members) else {
            panic!("they were accepted");
        };
        let fields: Vec<Field> = violations.iter().map(|violation| violation.field).collect();
        assert_eq!(fields, [Field::Username, Field::Password]);
    }
}
