//! Scopes: what a client asks to do (RFC 6749 section 3.3).

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Flaw, public_text_value};

/// One scope: visible ASCII characters without `"` and `\`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scope(String);
public_text_value!(Scope);

impl Scope {
    /// The longest scope, in characters.
    pub const MAX_LENGTH: usize = 64;

    /// Parses one scope.
    ///
    /// # Errors
    /// The flaw of the text: missing, longer than [`Self::MAX_LENGTH`], or with characters that RFC 6749 does not allow.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        if text.is_empty() {
            return Err(Flaw::Required);
        }
        if !text.bytes().all(is_scope_character) {
            return Err(Flaw::Malformed);
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(Flaw::TooLong {
                max: Self::MAX_LENGTH,
            });
        }
        Ok(Self(text.to_owned()))
    }
}

/// `NQCHAR` of RFC 6749, appendix A.
const fn is_scope_character(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E)
}

/// A set of scopes. It is written as one text, sorted and separated by spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// The greatest number of scopes in one set.
    pub const MAX_COUNT: usize = 32;

    /// Parses scopes that are separated by spaces, in any order. An empty text is an empty set.
    ///
    /// # Errors
    /// The flaw of the first scope that is not valid, or [`Flaw::TooLong`] with the greatest number of characters for more than
    /// [`Self::MAX_COUNT`] scopes.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let named = text.split(' ').filter(|scope| !scope.is_empty());
        let scopes: BTreeSet<_> = named.map(Scope::parse).collect::<Result<_, _>>()?;
        if scopes.len() > Self::MAX_COUNT {
            return Err(Flaw::TooLong {
                max: Self::MAX_COUNT * (Scope::MAX_LENGTH + 1),
            });
        }
        Ok(Self(scopes))
    }

    /// Scopes that were valid when they were stored, separated by spaces.
    pub fn from_stored(text: &str) -> Self {
        let named = text.split(' ').filter(|scope| !scope.is_empty());
        Self(named.map(Scope::from_stored).collect())
    }

    /// Whether `scope` is one of them.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.iter().any(|it| it.as_str() == scope)
    }

    /// Those that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// Those that are in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    /// Those that are not in the other set.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    /// Whether each of them is in `other`.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }
}

impl std::fmt::Display for Scopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, scope) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads what was valid when it was stored.
impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self::from_stored(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_a_sorted_set_and_read_what_they_wrote() {
        let scopes = Scopes::parse("profile  openid profile").unwrap();
        assert_eq!(scopes.to_string(), "openid profile");
        let written = serde_json::to_value(&scopes).unwrap();
        assert_eq!(written, "openid profile");
        assert_eq!(serde_json::from_value::<Scopes>(written).unwrap(), scopes);
        assert!(Scopes::parse("").unwrap().is_empty());
    }

    #[test]
    fn sets_are_compared_and_combined() {
        let some = Scopes::parse("openid email").unwrap();
        let more = Scopes::parse("openid email profile").unwrap();
        assert!(some.is_subset_of(&more) && !more.is_subset_of(&some));
        assert!(some.contains("email") && !some.contains("mail"));
        let other = Scopes::parse("email phone").unwrap();
        assert_eq!(some.intersection(&other).to_string(), "email");
        assert_eq!(some.union(&other).to_string(), "email openid phone");
        assert_eq!(some.difference(&other).to_string(), "openid");
    }

    #[test]
    fn an_invalid_scope_is_refused_with_its_flaw() {
        for text in ["a\"b", "a\\b", "é", "a\tb", "a\u{0}"] {
            assert_eq!(
                Scopes::parse(text).unwrap_err(),
                Flaw::Malformed,
                "{text:?}"
            );
        }
        let long = "a".repeat(65);
        assert_eq!(Scopes::parse(&long).unwrap_err(), Flaw::TooLong { max: 64 });
        let many: Vec<_> = (0..33).map(|number| format!("s{number}")).collect();
        assert!(Scopes::parse(&many.join(" ")).is_err());
        assert!(Scopes::parse(&many[..32].join(" ")).is_ok());
    }
}
