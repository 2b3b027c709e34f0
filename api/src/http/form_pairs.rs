//! The pairs of a form (`application/x-www-form-urlencoded`).

use std::borrow::Cow;

use url::form_urlencoded;

/// A name and its value.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The decoded pairs of a form or a query. Bytes that are no UTF-8 are replaced.
///
/// If nothing is encoded, as in a form with Authlog's tokens, it is not copied character by character, which would cost more than the
/// lookup of a token.
pub(crate) fn form_pairs(form: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    // All bytes are examined, without an early exit, so that the compiler can vectorise the loop.
    let is_encoded = form
        .iter()
        .fold(false, |found, letter| found | matches!(letter, b'%' | b'+'));
    let plain = str::from_utf8(form).ok().filter(|_| !is_encoded);
    let encoded = if plain.is_some() { b"" } else { form };
    let plain_pairs = plain
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.into(), value.into()));
    plain_pairs.chain(form_urlencoded::parse(encoded))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_form_is_read_as_browsers_write_it(
            form in prop_oneof![
                "[a=&%+20\u{e9}]{0,12}".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..40),
            ],
        ) {
            let expected: Vec<_> = form_urlencoded::parse(&form).collect();
            let found: Vec<_> = form_pairs(&form).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
