//! Fixtures, and tests of the router as a whole. The ports are null ports: no test here reaches a use case that needs
//! them. The behaviour of the service is tested on the real program, in `tests/`.

mod arbitrary;
mod http1;
mod http2;
mod null_ports;
mod routing;

use std::time::Duration;

use authlog_application::ports::{Account, IdentifierKind};
use authlog_application::{
    ClientRegistryRefusal, Field, IssuedAt, IssuedToken, Refusal, SecondFactorRefusal, SignedIn,
    Violation,
};
use authlog_domain::client::ServiceScope;
use authlog_domain::user::{Consents, SecondFactors};
use authlog_domain::{
    AccountNumber, CredentialId, Email, Flaw, PersonName, Role, SessionId, Timestamp, UserId,
    Username,
};
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::Value;
use uuid::Uuid;

pub(crate) use arbitrary::a_body;

/// The instant in the examples of the first document of `/api/auth`.
pub(crate) fn some_instant() -> Timestamp {
    at("2024-07-24T16:34:05.337Z")
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// When the example tokens of that document were issued.
pub(crate) fn issued_at() -> IssuedAt {
    let issued_at = Timestamp::from_unix_millis(1_721_839_143_530);
    IssuedAt {
        issued_at,
        expires_at: issued_at.plus(Duration::from_secs(3 * 60 * 60)),
    }
}

pub(crate) fn an_account() -> Account {
    Account {
        id: UserId::new(Uuid::from_u128(7)),
        version: 1,
        number: AccountNumber::new(42),
        username: Some(Username::parse("ahmadsolih").unwrap()),
        email: Some(Email::parse("ahmadsolih@gmail.com").unwrap()),
        name: Some(PersonName::parse("Ahmad Solih").unwrap()),
        phone: None,
        role: Role::User,
        credential: CredentialId::new(Uuid::from_u128(8)),
        email_verified: false,
        locked: false,
        session_epoch: 0,
        kept_session: None,
        pending_reset: None,
        pending_verification: None,
        recent_requests: None,
        second_factors: SecondFactors::default(),
        consents: Consents::default(),
        created_at: at("2025-11-23T21:38:00Z"),
        updated_at: at("2025-11-23T21:39:00Z"),
    }
}

pub(crate) fn signed_in() -> SignedIn {
    let issued = issued_at();
    SignedIn {
        account: an_account(),
        session: SessionId::new(Uuid::from_u128(9)),
        access: IssuedToken {
            token: "access".to_owned(),
            expires_at: issued.expires_at,
        },
        refresh: Some(IssuedToken {
            token: "refresh".to_owned(),
            expires_at: issued.issued_at.plus(Duration::from_secs(3 * 24 * 60 * 60)),
        }),
    }
}

/// One refusal of each kind, in the order of the enum.
pub(crate) fn every_refusal() -> Vec<Refusal> {
    let retry_after = Duration::from_secs(3);
    vec![
        Refusal::Invalid(vec![Violation {
            field: Field::Username,
            flaw: Flaw::Required,
        }]),
        Refusal::RegistrationClosed,
        Refusal::IdentifierTaken(vec![IdentifierKind::Username]),
        Refusal::WrongCredentials {
            password_too_short: None,
            challenge: None,
        },
        Refusal::InvalidAccessToken,
        Refusal::Forbidden,
        Refusal::InsufficientScope(ServiceScope::ReadEvents),
        Refusal::InvalidRefreshToken,
        Refusal::RefreshTokenReused,
        Refusal::InvalidResetToken,
        Refusal::InvalidVerificationToken,
        Refusal::UnknownAccount,
        Refusal::UnknownSession,
        Refusal::SecondFactor(SecondFactorRefusal::Expired),
        Refusal::Client(ClientRegistryRefusal::Unknown),
        Refusal::LastAdministrator,
        Refusal::TooManyAttempts { retry_after },
        Refusal::Overloaded { retry_after },
        Refusal::Unavailable("the disk is full".into()),
    ]
}

/// The body of a response, which must be JSON.
pub(crate) fn body(response: Response) -> Value {
    serde_json::from_str(&text(response)).unwrap()
}

/// The body of a response, which must be text.
pub(crate) fn text(response: Response) -> String {
    let collected = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(response.into_body().collect())
        .unwrap();
    String::from_utf8(collected.to_bytes().to_vec()).unwrap()
}
