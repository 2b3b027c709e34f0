//! The access token in the `Authorization` header.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

/// The token of the `Authorization` header, with or without the scheme `Bearer` in any letter case (RFC 9110 §11.1),
/// because the contracts document both forms. Returns an empty text, which is never a valid token, if the header is
/// missing or is sent more than once: a proxy may have checked another of its values.
pub(crate) fn presented_token(headers: &HeaderMap) -> &str {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let only = values.next().filter(|_| values.next().is_none());
    let value = only
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .trim();
    match value.split_at_checked("Bearer".len()) {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("bearer")
                && (rest.is_empty() || rest.starts_with([' ', '\t'])) =>
        {
            rest.trim()
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_header_yields_a_token_or_none(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            shaped in "(?i:bearer)?[ \t]{0,3}[!-~ \t]{0,40}",
        ) {
            for bytes in [bytes.as_slice(), shaped.as_bytes()] {
                let Ok(value) = HeaderValue::from_bytes(bytes) else { continue };
                let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
                let token = presented_token(&headers);
                prop_assert_eq!(token, token.trim());
            }
        }
    }

    #[test]
    fn a_token_is_found_with_and_without_the_word_bearer() {
        for (value, token) in [
            (&b"Bearer abc.def"[..], "abc.def"),
            (b"bearer abc", "abc"),
            (b"BEARER \t abc  ", "abc"),
            (b"abc.def", "abc.def"),
            (b"  abc ", "abc"),
            (b"Bearer", ""),
            (b"Bearer ", ""),
            (b"", ""),
            (b"Bearer \xff\xfe", ""),
            (b"Basic dXNlcg==", "Basic dXNlcg=="),
            (b"Bearerabc", "Bearerabc"),
        ] {
            let headers =
                HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap())]);
            assert_eq!(presented_token(&headers), token, "{value:?}");
        }
        assert_eq!(presented_token(&HeaderMap::new()), "");
        let twice = ["abc", "abc"].map(|it| (AUTHORIZATION, HeaderValue::from_static(it)));
        assert_eq!(presented_token(&HeaderMap::from_iter(twice)), "");
    }
}
