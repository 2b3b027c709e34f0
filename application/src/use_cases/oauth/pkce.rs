//! Proof key for code exchange (RFC 7636), by S256 alone: `plain` protects against nothing that TLS does not.

use super::AuthorizationRefusal;
use super::request::{AuthorizationForm, invalid};

/// SHA-256 in base64 without padding.
const CHALLENGE_LENGTH: usize = 43;

/// The challenge of an authorization request.
pub(super) fn challenge(
    form: &AuthorizationForm<'_>,
    is_required: bool,
) -> Result<Option<String>, AuthorizationRefusal> {
    let Some(challenge) = form.code_challenge else {
        return match form.code_challenge_method {
            Some(_) => Err(invalid("the parameter code_challenge is missing")),
            None if is_required => Err(invalid(
                "the client has to use PKCE: the parameter code_challenge is missing",
            )),
            None => Ok(None),
        };
    };
    if form.code_challenge_method != Some("S256") {
        return Err(invalid("the code challenge method has to be S256"));
    }
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if challenge.len() != CHALLENGE_LENGTH || !challenge.bytes().all(is_base64) {
        return Err(invalid("the code challenge is malformed"));
    }
    Ok(Some(challenge.to_owned()))
}

/// Whether the text has the form of a verifier (§4.1).
pub(super) fn is_verifier(text: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (43..=128).contains(&text.len()) && text.bytes().all(is_unreserved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form<'a>(challenge: Option<&'a str>, method: Option<&'a str>) -> AuthorizationForm<'a> {
        AuthorizationForm {
            code_challenge: challenge,
            code_challenge_method: method,
            ..AuthorizationForm::default()
        }
    }

    #[test]
    fn only_a_challenge_by_s256_is_accepted() {
        let of_rfc = Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        let accepted = challenge(&form(of_rfc, Some("S256")), true).unwrap();
        assert_eq!(accepted.as_deref(), of_rfc);
        assert_eq!(challenge(&form(None, None), false).unwrap(), None);
        for (challenge_text, method, is_required) in [
            (None, None, true),
            (None, Some("S256"), false),
            (of_rfc, None, false),
            (of_rfc, Some("plain"), false),
            (Some("short"), Some("S256"), false),
            (
                Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM"),
                Some("S256"),
                false,
            ),
        ] {
            let refused = challenge(&form(challenge_text, method), is_required).unwrap_err();
            assert_eq!(refused.code(), "invalid_request");
        }
    }

    #[test]
    fn a_verifier_has_43_to_128_unreserved_characters() {
        assert!(is_verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert!(is_verifier(&"~".repeat(128)));
        for text in [&"a".repeat(42), &"a".repeat(129), &"+".repeat(43)] {
            assert!(!is_verifier(text));
        }
    }
}
