//! The access token of a request (RFC 6750 §2.1).

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::refused::Refused;

/// The token in the header `Authorization`. Tokens in forms and queries are not read: they end up in logs.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Refused> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let header = all.next().ok_or(Refused::Missing)?;
    if all.next().is_some() {
        return Err(Refused::Ambiguous);
    }
    let text = header.to_str().map_err(|_| Refused::Ambiguous)?;
    let (scheme, token) = text.split_once(' ').ok_or(Refused::Missing)?;
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Refused::Missing);
    }
    let token = token.trim_start_matches(' ');
    if token.is_empty() || token.contains([' ', ',']) {
        return Err(Refused::Ambiguous);
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let entries = values.iter().map(|value| {
            (
                AUTHORIZATION,
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        });
        entries.collect()
    }

    #[test]
    fn a_request_has_one_bearer_token_or_is_refused() {
        assert_eq!(bearer(&headers(&["Bearer a.b.c"])), Ok("a.b.c"));
        assert_eq!(bearer(&headers(&["bEaReR  a.b.c"])), Ok("a.b.c"));
        for values in [
            [].as_slice(),
            &["Bearer"],
            &["Basic YTpi"],
            &["DPoP a.b.c"],
            &[""],
        ] {
            assert_eq!(
                bearer(&headers(values)),
                Err(Refused::Missing),
                "{values:?}"
            );
        }
        for values in [
            ["Bearer a b"].as_slice(),
            &["Bearer "],
            &["Bearer a, Bearer b"],
            &["Bearer a", "Bearer a"],
            &["Bearer \u{e4}"],
        ] {
            assert_eq!(
                bearer(&headers(values)),
                Err(Refused::Ambiguous),
                "{values:?}"
            );
        }
    }
}
