//! People who register, sign in and leave: appends as the use cases make them, decided by the real aggregates.

use std::collections::HashMap;
use std::time::Duration;

use authlog_application::ports::RecordedEvent;
use authlog_application::ports::{
    Append, AppendError, Base, CredentialRecord, PasswordHash, StagedStream, StreamId,
};
use authlog_domain::refused_logins::{LoginRefusalReason, RecordRefusedLogin};
use authlog_domain::session::{
    ClientGrant, Limits, LogOut, RefreshSession, SessionCommand, SessionRefusal, StartSession,
};
use authlog_domain::user::{
    Authority, Erase, ProvedEpoch, RegisterUser, RequestPasswordReset, ResetPassword, UserCommand,
    UserRefusal,
};
use authlog_domain::{
    AccountNumber, AggregateKind, Audience, Authentication, AuthenticationLevel,
    AuthenticationMethods, ClientId, CredentialId, Email, FactorId, KeyThumbprint, PersonName,
    Phone, RefusedLogins, ResetId, Role, Rotation, Scopes, Session, SessionId, User, UserId,
    Username,
};
use authlog_infrastructure::Store;
use authlog_projections::{Row, row};
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};

use super::system::{now, random};

/// How long a test's sessions last.
pub const LIFETIME: Duration = Duration::from_secs(3600);

/// The thumbprint of the key of an application.
pub const KEY: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

/// An account that a test makes. Its identifiers are derived from `name`.
#[derive(Clone)]
pub struct Person {
    pub name: String,
    pub user: UserId,
    pub credential: CredentialId,
}

impl Person {
    /// A person of this name who has not registered yet. Each call makes another person.
    pub fn called(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            user: UserId::new(random()),
            credential: CredentialId::new(random()),
        }
    }

    pub fn username(&self) -> Username {
        Username::parse(&self.name).unwrap()
    }

    pub fn email(&self) -> Email {
        Email::parse(&format!("{}@people.example", self.name)).unwrap()
    }

    pub fn full_name(&self) -> PersonName {
        PersonName::parse(&format!("{} Fullname", self.name)).unwrap()
    }

    #[expect(clippy::unused_self, reason = "read like the other values of a person")]
    pub fn phone(&self) -> Phone {
        Phone::parse("+4915112345678").unwrap()
    }

    /// What the person's password hash reads; no two people have the same.
    pub fn hash(&self) -> String {
        format!("$argon2id$of-{}", self.credential)
    }

    pub fn stream(&self) -> StreamId {
        user_stream(self.user)
    }

    /// The registration under this number, not yet appended.
    pub async fn registration_as(&self, number: i64) -> Append {
        self.registration_with(number, self.email()).await
    }

    /// The registration with another address, not yet appended.
    pub async fn registration_with(&self, number: i64, email: Email) -> Append {
        let command = UserCommand::Register(RegisterUser {
            at: now(),
            number: AccountNumber::new(number),
            username: Some(self.username()),
            email: Some(email),
            name: Some(self.full_name()),
            phone: Some(self.phone()),
            role: Role::User,
            credential: self.credential,
            verification: None,
            totp: vec![],
        });
        let staged = decide::<User>(self.stream(), vec![], self.user, command).await;
        Append {
            streams: vec![staged.unwrap()],
            credential: Some(self.credential_record(self.credential, &self.hash())),
            ..Append::default()
        }
    }

    /// The registration under the store's next number, not yet appended.
    pub async fn registration(&self, store: &dyn Store) -> Append {
        let number = store.next_account_number().await.unwrap();
        self.registration_as(number.get()).await
    }

    /// Registers.
    pub async fn registers(&self, store: &dyn Store) {
        store.append(self.registration(store).await).await.unwrap();
    }

    pub fn credential_record(&self, credential: CredentialId, hash: &str) -> CredentialRecord {
        CredentialRecord {
            user: self.user,
            credential,
            hash: PasswordHash::from_stored(hash.to_owned()),
        }
    }

    /// What `command` adds to the account's stream as it is stored now.
    pub async fn decides(
        &self,
        store: &dyn Store,
        command: UserCommand,
    ) -> Result<StagedStream, UserRefusal> {
        let prior = store.load(&self.stream()).await.unwrap();
        decide::<User>(self.stream(), prior, self.user, command).await
    }

    /// Appends what `command` adds to the account's stream.
    pub async fn does(&self, store: &dyn Store, command: UserCommand) -> Result<(), UserRefusal> {
        let staged = self.decides(store, command).await?;
        append(store, vec![staged]).await.unwrap();
        Ok(())
    }

    /// The erasure of the account, not yet appended.
    pub async fn erasure(&self, store: &dyn Store) -> StagedStream {
        let command = UserCommand::Erase(Erase {
            at: now(),
            authority: Authority::Administrator,
        });
        self.decides(store, command).await.unwrap()
    }

    /// Erases the account.
    pub async fn erases_account(&self, store: &dyn Store) {
        let staged = self.erasure(store).await;
        append(store, vec![staged]).await.unwrap();
    }

    /// A login that is refused, not yet appended.
    pub async fn refused_login(&self, store: &dyn Store) -> StagedStream {
        let at = now();
        let stream = StreamId {
            kind: AggregateKind::RefusedLogins,
            id: RefusedLogins::stream_of(self.user, at),
        };
        let command = RecordRefusedLogin {
            at,
            reason: LoginRefusalReason::WrongPassword,
        };
        let prior = store.load(&stream).await.unwrap();
        let staged = decide::<RefusedLogins>(stream, prior, self.user, command).await;
        staged.unwrap()
    }

    /// The start of a session under this epoch: under the first with a password alone, under later ones with a second factor.
    pub async fn login(&self, session: SessionId, epoch: u32) -> StagedStream {
        self.login_with(session, epoch, None).await
    }

    /// The start of a session of an application, which ends with the session `parent`.
    pub async fn lets_in(&self, session: SessionId, epoch: u32, parent: SessionId) -> StagedStream {
        let grant = ClientGrant {
            client: ClientId::from_stored("shop"),
            scopes: Scopes::from_stored("email openid"),
            audience: vec![Audience::parse("https://api.shop.example").unwrap()],
            parent: Some(parent),
            dpop_jkt: Some(KeyThumbprint::parse(KEY).unwrap()),
        };
        self.login_with(session, epoch, Some(grant)).await
    }

    async fn login_with(
        &self,
        session: SessionId,
        epoch: u32,
        grant: Option<ClientGrant>,
    ) -> StagedStream {
        let at = now();
        let authentication = if epoch == 0 {
            Authentication::by_password(at)
        } else {
            Authentication {
                amr: AuthenticationMethods::PASSWORD_AND_CODE,
                acr: AuthenticationLevel::Aal2,
                auth_time: at,
                factor: Some(FactorId::new(random())),
            }
        };
        let command = SessionCommand::Start(StartSession {
            at,
            user: self.user,
            epoch,
            rotation: Some(Rotation::Rotating),
            expires_at: at.plus(LIFETIME),
            authentication,
            grant,
        });
        let staged = decide::<Session>(session_stream(session), vec![], self.user, command).await;
        staged.unwrap()
    }

    /// Signs in.
    pub async fn signs_in(&self, store: &dyn Store) -> SessionId {
        let session = SessionId::new(random());
        let staged = self.login(session, 0).await;
        append(store, vec![staged]).await.unwrap();
        session
    }

    /// A session that was started and ended, not yet appended.
    pub async fn visit(&self) -> StagedStream {
        let login = self.login(SessionId::new(random()), 0).await;
        let command = SessionCommand::LogOut(LogOut { at: now() });
        let logout = decide::<Session>(login.stream.clone(), login.new.clone(), self.user, command);
        let logout = logout.await.unwrap();
        StagedStream {
            new: [login.new, logout.new].concat(),
            ..login
        }
    }

    /// What `command` adds to one of the person's sessions as it is stored now.
    pub async fn decides_in(
        &self,
        store: &dyn Store,
        session: SessionId,
        command: SessionCommand,
    ) -> Result<StagedStream, SessionRefusal> {
        let stream = session_stream(session);
        let prior = store.load(&stream).await.unwrap();
        decide::<Session>(stream, prior, self.user, command).await
    }

    /// Appends what `command` adds to one of the person's sessions.
    pub async fn does_in(
        &self,
        store: &dyn Store,
        session: SessionId,
        command: SessionCommand,
    ) -> Result<(), SessionRefusal> {
        let staged = self.decides_in(store, session, command).await?;
        append(store, vec![staged]).await.unwrap();
        Ok(())
    }

    /// Signs out.
    pub async fn signs_out(&self, store: &dyn Store, session: SessionId) {
        let command = SessionCommand::LogOut(LogOut { at: now() });
        self.does_in(store, session, command).await.unwrap();
    }

    /// A proof of the account's current session epoch.
    pub async fn proof(&self, store: &dyn Store) -> ProvedEpoch {
        let account = store.account(self.user).await.unwrap();
        proved(account.unwrap().session_epoch)
    }

    /// A request for a reset that may be carried out within [`LIFETIME`].
    pub fn ask_for_reset(&self, reset: ResetId) -> UserCommand {
        let at = now();
        UserCommand::RequestPasswordReset(RequestPasswordReset {
            at,
            reset,
            email: self.email(),
            expires_at: at.plus(LIFETIME),
        })
    }

    /// Asks for a reset and carries it out, with this credential as the new password.
    pub async fn resets_password(&self, store: &dyn Store, credential: CredentialId, hash: &str) {
        let reset = ResetId::new(random());
        self.does(store, self.ask_for_reset(reset)).await.unwrap();
        let command = UserCommand::ResetPassword(ResetPassword {
            at: now(),
            reset,
            credential,
        });
        let staged = self.decides(store, command).await.unwrap();
        let append = Append {
            streams: vec![staged],
            credential: Some(self.credential_record(credential, hash)),
            ..Append::default()
        };
        store.append(append).await.unwrap();
    }
}

/// A proof that was made while the account had this session epoch.
#[expect(clippy::disallowed_methods, reason = "here proofs are made up")]
pub fn proved(epoch: u32) -> ProvedEpoch {
    ProvedEpoch::new(epoch)
}

/// The exchange of the refresh token of this generation, with no grace.
pub fn refresh(generation: u32, account_epoch: u32) -> SessionCommand {
    let at = now();
    SessionCommand::Refresh(RefreshSession {
        at,
        account_epoch,
        generation,
        replacement_expires_at: Some(at.plus(LIFETIME)),
        grace: Duration::ZERO,
        limits: Limits {
            lifetime: Duration::MAX,
            idle: None,
        },
    })
}

pub fn user_stream(user: UserId) -> StreamId {
    StreamId {
        kind: AggregateKind::User,
        id: user.to_string(),
    }
}

pub fn session_stream(session: SessionId) -> StreamId {
    StreamId {
        kind: AggregateKind::Session,
        id: session.to_string(),
    }
}

/// Appends the streams and nothing besides.
pub async fn append(store: &dyn Store, streams: Vec<StagedStream>) -> Result<(), AppendError> {
    store
        .append(Append {
            streams,
            ..Append::default()
        })
        .await
        .map(drop)
}

/// Decides `command` on the aggregate with the events `prior`.
pub async fn decide<A>(
    stream: StreamId,
    prior: Vec<RecordedEvent>,
    user: UserId,
    command: A::Command,
) -> Result<StagedStream, A::Error>
where
    A: Aggregate<Services = ()>,
{
    let mut aggregate = A::default();
    for event in &prior {
        aggregate.apply(serde_json::from_value(event.payload.clone()).unwrap());
    }
    let sink = EventSink::<A>::default();
    aggregate.handle(command, &(), &sink).await?;
    let new = (prior.len() as u64 + 1..)
        .zip(sink.collect().await)
        .map(|(sequence, event)| recorded::<A>(&stream, sequence, user, &event))
        .collect();
    Ok(StagedStream {
        base: base(stream.kind, &prior),
        stream,
        new,
    })
}

/// The base of a command that was decided on these events.
fn base(kind: AggregateKind, events: &[RecordedEvent]) -> Base {
    match row(kind, events).unwrap() {
        Some(Row::Account(row)) => Base::Account(row),
        Some(Row::Session(row)) => Base::Session(row),
        Some(Row::Client(row)) => Base::Client(row),
        None if events.is_empty() => Base::Nothing,
        None => Base::Events(events.len() as u64),
    }
}

/// The event as `cqrs-es` hands it over, with the metadata that the use cases give it.
fn recorded<A: Aggregate>(
    stream: &StreamId,
    sequence: u64,
    user: UserId,
    event: &A::Event,
) -> RecordedEvent {
    RecordedEvent {
        aggregate_id: stream.id.clone(),
        sequence,
        aggregate_type: A::TYPE.to_owned(),
        event_type: event.event_type(),
        event_version: event.event_version(),
        payload: serde_json::to_value(event).unwrap(),
        metadata: serde_json::to_value(metadata(user)).unwrap(),
    }
}

/// The address of every client. It is personal, so it must not appear in stored data.
pub const ADDRESS: &str = "203.0.113.77";

/// The user agent of every client, which is personal as well.
pub const USER_AGENT: &str = "Curious/7.1";

fn metadata(user: UserId) -> HashMap<String, String> {
    [
        ("user_id", user.to_string()),
        ("actor", format!("user:{user}")),
        ("request_id", random().to_string()),
        ("contract", "api-auth".to_owned()),
        ("ip", ADDRESS.to_owned()),
        ("user_agent", USER_AGENT.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
