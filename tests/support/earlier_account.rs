//! An account that an earlier version registered, with a name that is no longer accepted.

use authlog_application::ports::RecordedEvent;
use authlog_application::ports::{
    Append, Base, CredentialRecord, Entropy as _, PasswordHash, StagedStream, StreamId,
};
use authlog_domain::user::{UserEvent, UserRegistered};
use authlog_domain::{
    AggregateKind, CredentialId, Email, Personal, Role, Timestamp, UserId, Username,
};
use authlog_infrastructure::system::SystemEntropy;
use cqrs_es::DomainEvent as _;
use serde_json::json;

use super::administered_account::another_node;
use super::{Person, Program};

/// Registers `person`, whose password is [`PASSWORD`], under names that new accounts may not have.
pub async fn is_registered(service: &Program, person: &Person) -> UserId {
    let node = another_node(service).await;
    let user = UserId::new(SystemEntropy.random_uuid());
    let credential = CredentialId::new(SystemEntropy.random_uuid());
    let event = UserEvent::UserRegistered(UserRegistered {
        at: Timestamp::parse("2020-01-02T03:04:05Z").unwrap(),
        number: node.next_account_number().await.unwrap(),
        username: Some(Personal::Known(Username::from_stored(&person.username))),
        email: Some(Personal::Known(Email::from_stored(&person.email))),
        name: None,
        phone: None,
        role: Role::User,
        credential,
    });
    let registered = RecordedEvent {
        aggregate_id: user.to_string(),
        sequence: 1,
        aggregate_type: AggregateKind::User.as_str().to_owned(),
        event_type: event.event_type(),
        event_version: event.event_version(),
        payload: serde_json::to_value(&event).unwrap(),
        metadata: json!({"user_id": user.to_string(), "request_id": SystemEntropy.random_uuid().to_string()}),
    };
    let append = Append {
        streams: vec![StagedStream {
            stream: StreamId {
                kind: AggregateKind::User,
                id: user.to_string(),
            },
            base: Base::Nothing,
            new: vec![registered],
        }],
        credential: Some(CredentialRecord {
            user,
            credential,
            hash: PasswordHash::from_stored(HASH.to_owned()),
        }),
        ..Append::default()
    };
    node.append(append).await.unwrap();
    user
}

/// The password of such an account, with its hash: a test vector of `crypt_blowfish`.
pub const PASSWORD: &str = "U*U*";
const HASH: &str = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK";
