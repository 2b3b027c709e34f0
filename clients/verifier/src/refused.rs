//! Why a token is refused, and the HTTP answer that says so.

use std::fmt;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The request has no bearer token.
    Missing,
    /// The request has several tokens, or an `Authorization` header that cannot be read.
    Ambiguous,
    /// The text is not a token in the format of Authlog.
    Malformed,
    /// It is a token of another kind: its `typ` is not `at+jwt`.
    WrongType,
    /// Its algorithm is not one of those that the verifier accepts.
    Algorithm,
    /// The key set has no key with its `kid`.
    UnknownKey,
    /// Its signature is wrong.
    Signature,
    /// It is of another issuer.
    Issuer,
    /// It is for another audience.
    Audience,
    /// It has expired.
    Expired,
    /// It begins later, or was issued by a clock that is ahead.
    NotYetValid,
    /// It lives longer than ended sessions are remembered.
    TooLongLived,
    /// It is bound to a key (`cnf`), and was presented without a proof, or with one of another key.
    BoundToKey,
    /// A proof of a key was presented with a token that is not bound to a key (RFC 9449 §7.1).
    NotBoundToKey,
    /// Its session, or the session with which that one ends, was ended.
    SessionEnded,
    /// Every session of the account was ended that had begun before: by a new password, a lock, a change of role or on request.
    EpochRaised,
    /// Its account was erased.
    AccountErased,
    /// Its client is locked.
    ClientLocked,
    /// Its client was removed.
    ClientRemoved,
    /// Its client may no longer get tokens for itself.
    ClientGrantRemoved,
    /// The secret with which it was asked for was retired.
    SecretRetired,
    /// The verifier has not yet read which sessions have ended, or has no keys.
    NotReady,
    /// The deny list is older than permitted.
    Stale,
    /// The key set is older than permitted: it cannot be fetched, or a cache serves an old one.
    KeysExpired,
    /// A background task of the verifier has ended, by a panic or with its runtime, so nothing is brought up to date any more.
    Stopped,
    /// The token has none of the required roles.
    Role,
    /// The token lacks scopes.
    Scope {
        /// The required scopes, separated by spaces.
        required: String,
    },
    /// The person was not authenticated strongly or recently enough (RFC 9470).
    Authentication {
        /// The required level.
        acr: Option<String>,
        /// How long ago the person may have been authenticated.
        max_age: Option<Duration>,
    },
}

/// The names of all reasons, in the order of [`Refused`].
pub(crate) const NAMES: [&str; 28] = [
    "missing",
    "ambiguous",
    "malformed",
    "wrong-type",
    "algorithm",
    "unknown-key",
    "signature",
    "issuer",
    "audience",
    "expired",
    "not-yet-valid",
    "too-long-lived",
    "bound-to-key",
    "not-bound-to-key",
    "session-ended",
    "epoch-raised",
    "account-erased",
    "client-locked",
    "client-removed",
    "client-grant-removed",
    "secret-retired",
    "not-ready",
    "stale",
    "keys-expired",
    "stopped",
    "role",
    "scope",
    "authentication",
];

impl Refused {
    /// A short name of the reason, which never changes: for logs and metrics.
    pub fn name(&self) -> &'static str {
        NAMES[self.index()]
    }

    /// The position in [`NAMES`].
    pub(crate) fn index(&self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Ambiguous => 1,
            Self::Malformed => 2,
            Self::WrongType => 3,
            Self::Algorithm => 4,
            Self::UnknownKey => 5,
            Self::Signature => 6,
            Self::Issuer => 7,
            Self::Audience => 8,
            Self::Expired => 9,
            Self::NotYetValid => 10,
            Self::TooLongLived => 11,
            Self::BoundToKey => 12,
            Self::NotBoundToKey => 13,
            Self::SessionEnded => 14,
            Self::EpochRaised => 15,
            Self::AccountErased => 16,
            Self::ClientLocked => 17,
            Self::ClientRemoved => 18,
            Self::ClientGrantRemoved => 19,
            Self::SecretRetired => 20,
            Self::NotReady => 21,
            Self::Stale => 22,
            Self::KeysExpired => 23,
            Self::Stopped => 24,
            Self::Role => 25,
            Self::Scope { .. } => 26,
            Self::Authentication { .. } => 27,
        }
    }

    /// Whether the token was good, and something has ended since: its session, its account, its client or the secret of that.
    pub fn is_ended(&self) -> bool {
        matches!(
            self,
            Self::SessionEnded
                | Self::EpochRaised
                | Self::AccountErased
                | Self::ClientLocked
                | Self::ClientRemoved
                | Self::ClientGrantRemoved
                | Self::SecretRetired
        )
    }

    /// What to tell the client. It contains nothing of the token.
    pub fn detail(&self) -> &'static str {
        match self {
            Self::Missing => "the request has no access token",
            Self::Ambiguous => "the request has several access tokens or an unreadable one",
            Self::Malformed => "the access token is malformed",
            Self::WrongType => "the token is not an access token",
            Self::Algorithm | Self::UnknownKey | Self::Signature => {
                "the signature of the access token cannot be verified"
            }
            Self::Issuer => "the access token is of another issuer",
            Self::Audience => "the access token is for another audience",
            Self::Expired => "the access token has expired",
            Self::NotYetValid | Self::TooLongLived => "the access token is not valid at this time",
            Self::BoundToKey => "the access token is bound to a key and needs a proof",
            Self::NotBoundToKey => "the access token is not bound to the key of the proof",
            Self::SessionEnded | Self::EpochRaised | Self::AccountErased => {
                "the session of the access token has ended"
            }
            Self::ClientLocked
            | Self::ClientRemoved
            | Self::ClientGrantRemoved
            | Self::SecretRetired => "the client of the access token may no longer use it",
            Self::NotReady | Self::Stale | Self::KeysExpired | Self::Stopped => {
                "access tokens cannot be verified at the moment; repeat the request later"
            }
            Self::Role => "the account does not have the required role",
            Self::Scope { .. } => "the access token does not have the required scope",
            Self::Authentication { .. } => "a stronger or more recent authentication is required",
        }
    }

    /// The status of the answer. A deny list that is too old is the fault of the service and not of the client, so the answer is 503
    /// and not 401, which would make clients discard their tokens.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Ambiguous => StatusCode::BAD_REQUEST,
            Self::NotReady | Self::Stale | Self::KeysExpired | Self::Stopped => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Role | Self::Scope { .. } => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// The challenge of the answer (RFC 6750 §3, RFC 9470 §3). An answer with the status 503 has none.
    pub fn www_authenticate(&self) -> Option<HeaderValue> {
        let error = match self {
            // RFC 6750 §3.1: without a token, the answer has no error.
            Self::Missing => return Some(HeaderValue::from_static("Bearer")),
            Self::NotReady | Self::Stale | Self::KeysExpired | Self::Stopped => return None,
            Self::Ambiguous => "invalid_request",
            Self::Role | Self::Scope { .. } => "insufficient_scope",
            Self::Authentication { .. } => "insufficient_user_authentication",
            _ => "invalid_token",
        };
        let mut challenge = format!(
            "Bearer error=\"{error}\", error_description=\"{}\"",
            self.detail()
        );
        match self {
            Self::Scope { required } => {
                challenge.push_str(&format!(", scope=\"{}\"", quotable(required)));
            }
            Self::Authentication { acr, max_age } => {
                if let Some(acr) = acr {
                    challenge.push_str(&format!(", acr_values=\"{}\"", quotable(acr)));
                }
                if let Some(max_age) = max_age {
                    challenge.push_str(&format!(", max_age=\"{}\"", max_age.as_secs()));
                }
            }
            _ => {}
        }
        HeaderValue::try_from(challenge).ok()
    }

    /// The whole answer: a problem document (RFC 9457).
    pub fn to_response(&self) -> Response<String> {
        let status = self.status();
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": self.detail(),
        });
        let mut response = Response::new(body.to_string());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, json);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.www_authenticate() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.detail(), self.name())
    }
}

impl std::error::Error for Refused {}

/// The characters of a text that a quoted string of a challenge may have (RFC 6750 §3).
fn quotable(text: &str) -> String {
    let is_allowed = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    text.chars().filter(is_allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(refused: &Refused) -> Option<String> {
        let value = refused.www_authenticate()?;
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn an_answer_has_the_challenge_of_its_reason() {
        let missing = challenge(&Refused::Missing).unwrap();
        assert_eq!(missing, "Bearer");
        let ended = challenge(&Refused::SessionEnded).unwrap();
        let expected = r#"Bearer error="invalid_token", error_description="the session of the access token has ended""#;
        assert_eq!(ended, expected);
        let scope = Refused::Scope {
            required: "orders.read \"x\"\n".to_owned(),
        };
        assert!(
            challenge(&scope)
                .unwrap()
                .ends_with(r#", scope="orders.read x""#)
        );
        let step_up = Refused::Authentication {
            acr: Some("urn:authlog:aal2".to_owned()),
            max_age: Some(Duration::from_secs(600)),
        };
        let expected = r#", acr_values="urn:authlog:aal2", max_age="600""#;
        assert!(challenge(&step_up).unwrap().ends_with(expected));
        assert_eq!(challenge(&Refused::Stale), None);
    }

    #[test]
    fn a_fault_of_the_service_does_not_discard_tokens_of_clients() {
        for refused in [
            Refused::Stale,
            Refused::NotReady,
            Refused::KeysExpired,
            Refused::Stopped,
        ] {
            let response = refused.to_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[RETRY_AFTER], "1");
            assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
        }
    }

    #[test]
    fn each_reason_has_a_name_of_its_own() {
        let names = std::collections::BTreeSet::from(NAMES);
        assert_eq!(names.len(), NAMES.len());
        let last = Refused::Authentication {
            acr: None,
            max_age: None,
        };
        assert_eq!(last.index() + 1, NAMES.len());
        assert_eq!(last.name(), "authentication");
        assert_eq!(Refused::Stale.name(), "stale");
    }
}
