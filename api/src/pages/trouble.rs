//! What a page says of a refusal, in sentences for the person in front of it.

use std::time::Duration;

use authlog_application::{Field, PasskeyRefusal, Refusal, SecondFactorRefusal, Violation};
use authlog_domain::{Flaw, Timestamp};
use axum::http::StatusCode;
use axum::response::Response;

use super::frame::Frame;
use super::html::alert;
use crate::http::{RequestError, overloaded, retry_later, unavailable};

/// The page after a refusal. `again` makes the page with this status and sentence, usually the same form once more.
/// `wrong` is the sentence for a wrong password.
pub(super) fn refused(
    refusal: Refusal,
    wrong: &str,
    again: impl FnOnce(StatusCode, &str) -> Response,
) -> Response {
    match refusal {
        Refusal::Invalid(violations) => again(StatusCode::BAD_REQUEST, &sentences(&violations)),
        Refusal::IdentifierTaken(kinds) => {
            let taken: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
            let trouble = format!("Another account has this {} already.", taken.join(" and "));
            again(StatusCode::CONFLICT, &trouble)
        }
        Refusal::WrongCredentials { .. } => again(StatusCode::FORBIDDEN, wrong),
        Refusal::RegistrationClosed => again(StatusCode::FORBIDDEN, REGISTRATION_CLOSED),
        Refusal::Forbidden | Refusal::InsufficientScope(_) => {
            again(StatusCode::FORBIDDEN, "The account may not do this.")
        }
        Refusal::InvalidAccessToken
        | Refusal::InvalidRefreshToken
        | Refusal::RefreshTokenReused
        | Refusal::UnknownAccount => again(
            StatusCode::UNAUTHORIZED,
            "Your session has ended. Please sign in again.",
        ),
        Refusal::InvalidResetToken | Refusal::InvalidVerificationToken => again(
            StatusCode::BAD_REQUEST,
            "This link is not valid, has expired, or was used before.",
        ),
        Refusal::UnknownSession => again(StatusCode::NOT_FOUND, "This session has ended already."),
        Refusal::SecondFactor(refusal) => {
            let (status, trouble) = second_factor(refusal);
            again(status, trouble)
        }
        Refusal::Client(_) => again(StatusCode::NOT_FOUND, "There is no such application."),
        Refusal::LastAdministrator => again(
            StatusCode::CONFLICT,
            "This account is the last administrator.",
        ),
        Refusal::TooManyAttempts { retry_after } => {
            let wait = in_words(retry_after);
            let trouble = format!("Too many attempts. Please wait {wait} and try again.");
            let page = again(StatusCode::TOO_MANY_REQUESTS, &trouble);
            retry_later(page, retry_after)
        }
        Refusal::Overloaded { retry_after } => {
            overloaded(again(StatusCode::SERVICE_UNAVAILABLE, LATER), retry_after)
        }
        Refusal::Unavailable(cause) => {
            unavailable(again(StatusCode::SERVICE_UNAVAILABLE, LATER), &*cause)
        }
    }
}

/// What the sign-up page says if registration is closed.
pub(super) const REGISTRATION_CLOSED: &str =
    "This service takes no registrations. Ask its operator for an account.";

/// What a page says while the service cannot answer.
pub(super) const LATER: &str =
    "The service is temporarily unavailable. Please try again in a moment.";

const fn second_factor(refusal: SecondFactorRefusal) -> (StatusCode, &'static str) {
    match refusal {
        SecondFactorRefusal::Expired => (
            StatusCode::BAD_REQUEST,
            "This took too long, or the account has changed meanwhile. Please begin again.",
        ),
        SecondFactorRefusal::WrongCode => (StatusCode::FORBIDDEN, "The code is wrong."),
        SecondFactorRefusal::CodeUsed => (
            StatusCode::FORBIDDEN,
            "This code was used before. Please wait for the next one.",
        ),
        SecondFactorRefusal::Unknown => (
            StatusCode::NOT_FOUND,
            "The account has no such second factor.",
        ),
        SecondFactorRefusal::TooMany => (
            StatusCode::CONFLICT,
            "The account has as many second factors as it can have.",
        ),
        SecondFactorRefusal::NotShown | SecondFactorRefusal::LevelTooLow { .. } => (
            StatusCode::FORBIDDEN,
            "This needs a second factor: a code of your authenticator app, a passkey, or a recovery code.",
        ),
        SecondFactorRefusal::OwnAccount => (
            StatusCode::FORBIDDEN,
            "These are your own second factors. Remove them one by one.",
        ),
        SecondFactorRefusal::Passkey(refusal) => passkey(refusal),
        SecondFactorRefusal::Label(_) => (
            StatusCode::BAD_REQUEST,
            "A name has at most 64 characters and no control characters.",
        ),
        SecondFactorRefusal::Missing => (
            StatusCode::CONFLICT,
            "Recovery codes replace a second factor, and the account has none.",
        ),
    }
}

const fn passkey(refusal: PasskeyRefusal) -> (StatusCode, &'static str) {
    match refusal {
        PasskeyRefusal::Unavailable => (
            StatusCode::CONFLICT,
            "This service has no passkeys, because its address has no host name.",
        ),
        PasskeyRefusal::Malformed(_) => (
            StatusCode::BAD_REQUEST,
            "The browser sent no passkey that can be read. Passkeys need JavaScript and a current browser.",
        ),
        PasskeyRefusal::WrongType | PasskeyRefusal::WrongFlags | PasskeyRefusal::UnsupportedKey => {
            (
                StatusCode::BAD_REQUEST,
                "This passkey is of a kind that cannot be used here.",
            )
        }
        PasskeyRefusal::WrongOrigin
        | PasskeyRefusal::CrossOrigin
        | PasskeyRefusal::WrongRelyingParty => (
            StatusCode::FORBIDDEN,
            "The passkey was used at another address than that of this service.",
        ),
        PasskeyRefusal::NotPresent | PasskeyRefusal::NotVerified => (
            StatusCode::FORBIDDEN,
            "Your device did not verify you, by its PIN or your fingerprint for example.",
        ),
        PasskeyRefusal::WrongSignature
        | PasskeyRefusal::Unknown
        | PasskeyRefusal::WrongUserHandle => (
            StatusCode::FORBIDDEN,
            "This passkey belongs to no account here, or cannot be used now.",
        ),
        PasskeyRefusal::WrongChallenge | PasskeyRefusal::ChallengeUsed => (
            StatusCode::FORBIDDEN,
            "This page was used before, or another one after it. Please begin again.",
        ),
        PasskeyRefusal::AlreadyEnrolled => (StatusCode::CONFLICT, "The passkey is added already."),
        PasskeyRefusal::None => (StatusCode::CONFLICT, "The account has no passkey."),
    }
}

/// A page about `trouble` alone.
pub(super) fn page(frame: &Frame<'_>, status: StatusCode, trouble: &str) -> Response {
    frame.page(status, TITLE, &alert(Some(trouble)))
}

/// The same with what to do about it.
pub(super) fn page_with_advice(
    frame: &Frame<'_>,
    status: StatusCode,
    trouble: &str,
    advice: &str,
) -> Response {
    let content = format!("{}<p>{advice}</p>", alert(Some(trouble)));
    frame.page(status, TITLE, &content)
}

const TITLE: &str = "That did not work";

/// The page for a request that failed before a use case was called.
pub(super) fn failed(failure: RequestError, _: Timestamp) -> Response {
    let trouble = match failure {
        RequestError::UnknownPath => "There is no page at this address.",
        RequestError::WrongMethod => "This address takes no such request.",
        RequestError::UnreadableBody
        | RequestError::BodyTooLarge
        | RequestError::WrongMediaType
        | RequestError::EncodedBody => "The form could not be read. Please open the page again.",
        RequestError::BodyTooSlow => "The form took too long to arrive. Please try again.",
        RequestError::LimitExceeded | RequestError::TimedOut => LATER,
        RequestError::Panicked => "An internal error occurred.",
    };
    page(&Frame::without_links(), failure.status(), trouble)
}

/// A time to wait, rounded up.
fn in_words(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let (count, unit) = match seconds {
        0..=90 => (seconds.max(1), "second"),
        91..=5400 => (seconds.div_ceil(60), "minute"),
        _ => (seconds.div_ceil(3600), "hour"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// One sentence for each flaw.
pub(super) fn sentences(violations: &[Violation]) -> String {
    let sentences: Vec<String> = violations.iter().map(|it| sentence(*it)).collect();
    sentences.join(" ")
}

fn sentence(Violation { field, flaw }: Violation) -> String {
    let (article, name) = match field {
        Field::Username => ("a", "username"),
        Field::Name => ("a", "name"),
        Field::Email => ("an", "e-mail address"),
        Field::Phone => ("a", "telephone number"),
        Field::Password | Field::PasswordConfirmation => ("a", "password"),
    };
    match (flaw, field) {
        (Flaw::Mismatch, _) | (_, Field::PasswordConfirmation) => {
            "The passwords do not match. Please type the same one twice.".to_owned()
        }
        (Flaw::Required, _) => format!("Please type {article} {name}."),
        (Flaw::TooShort { min }, _) => {
            format!("The {name} is too short. It must have at least {min} characters.")
        }
        (Flaw::TooLong { max }, _) => {
            format!("The {name} is too long. It must have at most {max} characters.")
        }
        (Flaw::Malformed, Field::Email | Field::Phone) => format!("The {name} is not valid."),
        (Flaw::Malformed, _) => format!("The {name} has characters that are not allowed."),
        (Flaw::IdShaped, _) => format!("The {name} must not be a UUID."),
        (Flaw::Common, _) => {
            format!("Very many people have this {name}. A few unrelated words make a good one.")
        }
        (Flaw::Breached, _) => format!(
            "This {name} is on a list of breached passwords, so others know it. A few unrelated words make a good one."
        ),
        (Flaw::Guessable, _) => {
            format!("The {name} is too easy to guess. A few unrelated words make a good one.")
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;
    use crate::tests::{every_refusal, some_instant, text};

    #[test]
    fn every_refusal_has_its_status_and_a_sentence() {
        let statuses: Vec<u16> = every_refusal()
            .into_iter()
            .map(|refusal| {
                refused(refusal, "Wrong.", |status, trouble| {
                    assert!(trouble.ends_with('.'), "{trouble}");
                    status.into_response()
                })
            })
            .map(|page| page.status().as_u16())
            .collect();
        assert_eq!(
            statuses,
            [
                400, 403, 409, 403, 401, 403, 403, 401, 401, 400, 400, 401, 404, 400, 404, 409,
                429, 503, 503
            ]
        );
    }

    #[test]
    fn an_error_of_http_is_a_page() {
        for failure in RequestError::ALL {
            let response = failed(failure, some_instant());
            assert_eq!(response.status(), failure.status());
            assert!(text(response).contains("role=\"alert\""), "{failure:?}");
        }
    }

    #[test]
    fn a_flaw_is_explained() {
        for (field, flaw, words) in [
            (
                Field::Password,
                Flaw::TooShort { min: 7 },
                "password is too short. It must have at least 7",
            ),
            (
                Field::Password,
                Flaw::TooLong { max: 256 },
                "at most 256 characters",
            ),
            (Field::Password, Flaw::Common, "Very many people"),
            (
                Field::Password,
                Flaw::Breached,
                "list of breached passwords",
            ),
            (Field::Password, Flaw::Guessable, "too easy to guess"),
            (
                Field::PasswordConfirmation,
                Flaw::Mismatch,
                "passwords do not match",
            ),
            (
                Field::Username,
                Flaw::Malformed,
                "username has characters that are not allowed",
            ),
            (Field::Email, Flaw::Malformed, "e-mail address is not valid"),
            (
                Field::Email,
                Flaw::Required,
                "Please type an e-mail address.",
            ),
            (Field::Username, Flaw::IdShaped, "must not be a UUID"),
        ] {
            let text = sentences(&[Violation { field, flaw }]);
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn the_time_to_wait_is_rounded_up() {
        for (millis, words) in [
            (0, "1 second"),
            (1001, "2 seconds"),
            (90_000, "90 seconds"),
            (90_001, "2 minutes"),
            (120_001, "3 minutes"),
            (5_400_000, "90 minutes"),
            (5_400_001, "2 hours"),
        ] {
            assert_eq!(in_words(Duration::from_millis(millis)), words);
        }
    }
}
