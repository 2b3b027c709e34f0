//! How a client authenticates itself, as a request says it (RFC 6749 §2.3, RFC 7523 §2.2).

use authlog_application::{ClientCredentials, ClientProof};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use super::parameters::{Parameters, Unreadable};

/// The only type of assertion (RFC 7523 §2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a client presents. It holds secrets and has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum PresentedCredentials {
    /// The client id alone, of a public client.
    Public { client: String },
    /// A secret in the `Authorization` header.
    Basic { client: String, secret: String },
    /// A secret in the form.
    Post { client: String, secret: String },
    /// A signed assertion. The client id is optional, because the assertion names it.
    Assertion {
        client: Option<String>,
        assertion: String,
    },
}

impl PresentedCredentials {
    /// The credentials, to be checked.
    pub(crate) fn as_credentials(&self) -> ClientCredentials<'_> {
        let (client, proof) = match self {
            Self::Public { client } => (Some(client), ClientProof::None),
            Self::Basic { client, secret } => (Some(client), ClientProof::Basic(secret)),
            Self::Post { client, secret } => (Some(client), ClientProof::Post(secret)),
            Self::Assertion { client, assertion } => {
                (client.as_ref(), ClientProof::Assertion(assertion))
            }
        };
        let client = client.map(String::as_str);
        ClientCredentials { client, proof }
    }
}

/// Why a request has no credentials that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialsError {
    /// A parameter cannot be read.
    Parameter(Unreadable),
    /// The client authenticates itself in several ways.
    SeveralMethods,
    /// The `Authorization` header is of another scheme, or is not what RFC 7617 and RFC 6749 §2.3.1 say.
    MalformedHeader,
    /// The client id in the form is not that in the header.
    DifferentClients,
    /// The assertion is of another type.
    UnknownAssertionType,
    /// There are no credentials at all.
    None,
}

impl From<Unreadable> for CredentialsError {
    fn from(unreadable: Unreadable) -> Self {
        Self::Parameter(unreadable)
    }
}

/// Reads the credentials of a request with this form.
///
/// # Errors
/// See [`CredentialsError`].
pub(crate) fn presented_credentials(
    headers: &HeaderMap,
    form: &Parameters,
) -> Result<PresentedCredentials, CredentialsError> {
    let client = form.optional("client_id")?;
    let secret = form.optional("client_secret")?;
    let assertion = form.optional("client_assertion")?;
    let assertion_type = form.optional("client_assertion_type")?;
    let header = basic(headers)?;
    let methods = [
        header.is_some(),
        secret.is_some(),
        assertion.is_some() || assertion_type.is_some(),
    ];
    if methods.into_iter().filter(|is_used| *is_used).count() > 1 {
        return Err(CredentialsError::SeveralMethods);
    }
    if let Some((known, secret)) = header {
        return match client {
            Some(client) if client != known => Err(CredentialsError::DifferentClients),
            _ => Ok(PresentedCredentials::Basic {
                client: known,
                secret,
            }),
        };
    }
    let client = client.map(str::to_owned);
    match (assertion, assertion_type) {
        (None, None) => {}
        (Some(assertion), Some(JWT_BEARER)) => {
            let assertion = assertion.to_owned();
            return Ok(PresentedCredentials::Assertion { client, assertion });
        }
        (_, Some(_)) => return Err(CredentialsError::UnknownAssertionType),
        (Some(_), None) => return Err(Unreadable::Missing("client_assertion_type").into()),
    }
    let client = client.ok_or(CredentialsError::None)?;
    Ok(match secret {
        Some(secret) => PresentedCredentials::Post {
            client,
            secret: secret.to_owned(),
        },
        None => PresentedCredentials::Public { client },
    })
}

/// Whether a request presents an `Authorization` header of the scheme `Basic`.
pub(crate) fn uses_basic(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    values.any(|value| {
        value
            .to_str()
            .is_ok_and(|value| after_scheme(value).is_some())
    })
}

/// The client id and the secret of the `Authorization` header, if there is one. Both are form-encoded before they are joined
/// (RFC 6749 §2.3.1), which changes nothing about ids and secrets of this service.
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, CredentialsError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    // A proxy may have checked another one of several headers.
    let only = Some(value).filter(|_| values.next().is_none());
    let pair = only
        .and_then(|value| value.to_str().ok())
        .and_then(after_scheme)
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .and_then(|decoded| String::from_utf8(decoded).ok());
    let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
    let decoded = pair.and_then(|(client, secret)| Some((decoded(client)?, decoded(secret)?)));
    decoded
        .filter(|(client, _)| !client.is_empty())
        .map(Some)
        .ok_or(CredentialsError::MalformedHeader)
}

/// What follows the scheme `Basic`, in any letter case (RFC 9110 §11.1).
fn after_scheme(value: &str) -> Option<&str> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| rest.trim())
}

/// A form-encoded text.
fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn presented(headers: &[&str], form: &str) -> Result<PresentedCredentials, CredentialsError> {
        let headers = headers
            .iter()
            .map(|it| (AUTHORIZATION, HeaderValue::from_str(it).unwrap()));
        let form = Parameters::parse(form.as_bytes()).ok().unwrap();
        presented_credentials(&headers.collect(), &form)
    }

    fn header(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    fn basic(client: &str, secret: &str) -> PresentedCredentials {
        PresentedCredentials::Basic {
            client: client.to_owned(),
            secret: secret.to_owned(),
        }
    }

    #[test]
    fn each_method_is_recognised() {
        let own = header("app:als_x-y");
        assert!(presented(&[&own], "") == Ok(basic("app", "als_x-y")));
        // Clients may repeat their id in the form.
        assert!(presented(&[&own], "client_id=app") == Ok(basic("app", "als_x-y")));
        let encoded = header("my%20app%3A:a+b%25:c");
        assert!(presented(&[&encoded], "") == Ok(basic("my app:", "a b%:c")));
        let lower = own.replacen("Basic", "bAsIc", 1);
        assert!(presented(&[&lower], "") == Ok(basic("app", "als_x-y")));
        let client = "app".to_owned();
        let public = PresentedCredentials::Public {
            client: client.clone(),
        };
        assert!(presented(&[], "client_id=app") == Ok(public.clone()));
        // A secret without a value was not sent.
        assert!(presented(&[], "client_id=app&client_secret=") == Ok(public));
        let post = PresentedCredentials::Post {
            client: client.clone(),
            secret: "s".to_owned(),
        };
        assert!(presented(&[], "client_secret=s&client_id=app") == Ok(post));
        let form = format!("client_assertion=a.b.c&client_assertion_type={JWT_BEARER}");
        for (form, client) in [
            (form.clone(), None),
            (format!("{form}&client_id=app"), Some(client)),
        ] {
            let assertion = "a.b.c".to_owned();
            let expected = PresentedCredentials::Assertion { client, assertion };
            assert!(presented(&[], &form) == Ok(expected));
        }
    }

    #[test]
    fn credentials_that_are_ambiguous_or_malformed_are_refused() {
        let own = header("app:s");
        let jwt = format!("client_assertion=a&client_assertion_type={JWT_BEARER}");
        for (headers, form, error) in [
            (&[][..], "", CredentialsError::None),
            (&[], "client_secret=s", CredentialsError::None),
            (
                &[&*own],
                "client_secret=s",
                CredentialsError::SeveralMethods,
            ),
            (&[&*own], &*jwt, CredentialsError::SeveralMethods),
            (
                &[],
                &*format!("client_id=app&client_secret=s&{jwt}"),
                CredentialsError::SeveralMethods,
            ),
            (
                &[&*own],
                "client_id=other",
                CredentialsError::DifferentClients,
            ),
            (
                &[],
                "client_id=app&client_id=app",
                CredentialsError::Parameter(Unreadable::Repeated("client_id")),
            ),
            (
                &[],
                "client_id=app&client_assertion=a",
                CredentialsError::Parameter(Unreadable::Missing("client_assertion_type")),
            ),
            (
                &[],
                "client_id=app&client_assertion=a&client_assertion_type=saml",
                CredentialsError::UnknownAssertionType,
            ),
            (&[&*own, &*own], "", CredentialsError::MalformedHeader),
            (&["Basic"], "", CredentialsError::MalformedHeader),
            (&["Basic ????"], "", CredentialsError::MalformedHeader),
            (&["Bearer abc"], "", CredentialsError::MalformedHeader),
            (&[&*header("app")], "", CredentialsError::MalformedHeader),
            (&[&*header(":s")], "", CredentialsError::MalformedHeader),
            (&[&*header("%ff:s")], "", CredentialsError::MalformedHeader),
        ] {
            let refused = presented(headers, form).err();
            assert_eq!(refused, Some(error), "{headers:?} {form}");
        }
    }

    proptest! {
        #[test]
        fn any_header_has_credentials_or_is_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            pair in "[a-z%+:\u{e4}]{0,12}",
        ) {
            let form = Parameters::parse(b"").ok().unwrap();
            for bytes in [bytes.as_slice(), header(&pair).as_bytes()] {
                let Ok(value) = HeaderValue::from_bytes(bytes) else { continue };
                let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
                let _ = uses_basic(&headers);
                let presented = presented_credentials(&headers, &form);
                let is_public = matches!(presented, Ok(PresentedCredentials::Public { .. }));
                prop_assert!(!is_public);
            }
        }
    }
}
