//! The parameters of a request: form-encoded, each at most once (RFC 6749 §3.1, §3.2).

use percent_encoding::percent_decode;
use url::form_urlencoded;

use crate::http::form_pairs;

/// Decoded parameters. They hold codes and secrets, and have no `Debug`.
pub(crate) struct Parameters(Vec<(String, String)>);

/// The largest number of parameters. A request has two dozen at most, and decoded parameters take many times the memory of the shortest
/// encoded ones.
const MAX_PARAMETERS: usize = 64;

/// Why a parameter cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The parameters are not UTF-8.
    NotUtf8,
    /// There are more than [`MAX_PARAMETERS`].
    TooMany,
    /// The parameter of this name occurs more than once.
    Repeated(&'static str),
    /// The parameter of this name is missing.
    Missing(&'static str),
}

impl Unreadable {
    /// A sentence for the developer of the client.
    pub(crate) fn sentence(self) -> String {
        match self {
            Self::NotUtf8 => "The parameters are not UTF-8.".to_owned(),
            Self::TooMany => "There are too many parameters.".to_owned(),
            Self::Repeated(name) => format!("The parameter {name} occurs more than once."),
            Self::Missing(name) => format!("The parameter {name} is missing."),
        }
    }
}

impl Parameters {
    /// Parses a query string or the body of a form.
    ///
    /// # Errors
    /// [`Unreadable::NotUtf8`]: a parameter with replaced characters would mean something else. [`Unreadable::TooMany`].
    pub(crate) fn parse(encoded: &[u8]) -> Result<Self, Unreadable> {
        let pairs = form_pairs(encoded).take(MAX_PARAMETERS + 1);
        let pairs: Vec<_> = pairs
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        if pairs.len() > MAX_PARAMETERS {
            return Err(Unreadable::TooMany);
        }
        let is_utf8 = if encoded.contains(&b'%') {
            percent_decode(encoded).decode_utf8().is_ok()
        } else {
            str::from_utf8(encoded).is_ok()
        };
        is_utf8.then_some(Self(pairs)).ok_or(Unreadable::NotUtf8)
    }

    /// These parameters, which were decoded before.
    pub(crate) fn of(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The decoded parameters.
    pub(crate) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    /// Only the parameters with these names, without those that have no value.
    pub(crate) fn only(&self, names: &[&str]) -> Self {
        let kept = self.0.iter();
        let kept = kept.filter(|(name, value)| names.contains(&&**name) && !value.is_empty());
        Self(kept.cloned().collect())
    }

    /// Replaces the parameter of this name.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// The parameter of this name. One without a value counts as missing (RFC 6749 §3.1).
    ///
    /// # Errors
    /// [`Unreadable::Repeated`].
    pub(crate) fn optional(&self, name: &'static str) -> Result<Option<&str>, Unreadable> {
        let mut values = self.named(name);
        let value = values.next();
        match values.next() {
            Some(_) => Err(Unreadable::Repeated(name)),
            None => Ok(value.filter(|value| !value.is_empty())),
        }
    }

    /// The parameter of this name.
    ///
    /// # Errors
    /// [`Unreadable::Missing`] and [`Unreadable::Repeated`].
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, Unreadable> {
        self.optional(name)?.ok_or(Unreadable::Missing(name))
    }

    /// The values of a parameter that may occur several times.
    pub(crate) fn repeated(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.named(name).filter(|value| !value.is_empty())
    }

    /// The parameters, form-encoded.
    pub(crate) fn encoded(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.0)
            .finish()
    }

    /// The parameters with only this value of this name, form-encoded.
    pub(crate) fn encoded_with(&self, name: &str, value: Option<&str>) -> String {
        let others = self.0.iter().filter(|(known, _)| known != name);
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(others)
            .extend_pairs(value.map(|value| (name, value)))
            .finish()
    }

    fn named(&self, name: &'static str) -> impl Iterator<Item = &str> {
        let pairs = self.0.iter().filter(move |(known, _)| known == name);
        pairs.map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Parameters {
        Parameters::parse(text.as_bytes()).ok().unwrap()
    }

    #[test]
    fn a_parameter_occurs_once_and_an_empty_one_is_missing() {
        let parameters = parsed("a=1&b=&c=x+y%2B&d=1&d=1&e=&e=1&%61b=2");
        assert_eq!(parameters.optional("a"), Ok(Some("1")));
        assert_eq!(parameters.optional("b"), Ok(None));
        assert_eq!(parameters.required("b"), Err(Unreadable::Missing("b")));
        assert_eq!(parameters.optional("c"), Ok(Some("x y+")));
        assert_eq!(parameters.optional("ab"), Ok(Some("2")));
        for name in ["d", "e"] {
            let refused = parameters.optional(name);
            assert_eq!(refused, Err(Unreadable::Repeated(name)));
        }
        assert_eq!(
            parameters.required("none"),
            Err(Unreadable::Missing("none"))
        );
    }

    #[test]
    fn a_parameter_that_may_be_repeated_has_all_its_values() {
        let parameters = parsed("resource=a&x=1&resource=&resource=b");
        assert_eq!(
            parameters.repeated("resource").collect::<Vec<_>>(),
            ["a", "b"]
        );
    }

    #[test]
    fn parameters_are_encoded_again_with_another_value_of_one() {
        let parameters = parsed("a=1&marker=x&b=%20%26&marker=y");
        let encoded = |value| parameters.encoded_with("marker", value);
        assert_eq!(encoded(None), "a=1&b=+%26");
        assert_eq!(encoded(Some("z&")), "a=1&b=+%26&marker=z%26");
        assert_eq!(parameters.encoded(), "a=1&marker=x&b=+%26&marker=y");
    }

    #[test]
    fn parameters_are_chosen_and_replaced() {
        let mut parameters = parsed("a=1&b=2&c=&b=3&d=4").only(&["b", "c", "a"]);
        assert_eq!(parameters.encoded(), "a=1&b=2&b=3");
        parameters.set("b", "5");
        parameters.set("x", "6");
        assert_eq!(parameters.encoded(), "a=1&b=5&x=6");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        for bytes in [&b"a=\xff"[..], b"a=%ff", b"%c3=1", b"a=%c3&b=%a4"] {
            assert!(Parameters::parse(bytes).is_err(), "{bytes:?}");
        }
        assert!(Parameters::parse("a=%C3%A4&b=ä".as_bytes()).is_ok());
    }

    #[test]
    fn more_parameters_than_any_client_sends_are_refused() {
        assert!(Parameters::parse(&b"a=1&".repeat(MAX_PARAMETERS)).is_ok());
        let refused = Parameters::parse(&b"a&".repeat(MAX_PARAMETERS + 1));
        assert_eq!(refused.err(), Some(Unreadable::TooMany));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parameters_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            shaped in "((state|nonce|x)=?[%a-f0-9+]{0,12}&?){0,5}",
        ) {
            for bytes in [bytes.as_slice(), shaped.as_bytes()] {
                if let Ok(parameters) = Parameters::parse(bytes) {
                    let _ = parameters.optional("state");
                    let again = parameters.encoded();
                    prop_assert_eq!(parsed(&again).0, parameters.0);
                }
            }
        }
    }
}
