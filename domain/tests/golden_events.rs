//! Every version of every event that was ever stored remains readable. Each has a golden file, which is never edited.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use authlog_domain::client::{
    ClientAuthMethod, ClientChanged, ClientEvent, ClientJwks, ClientLocked, ClientRegistered,
    ClientRemoved, ClientSecretIssued, ClientSecretRetired, ClientSettings, ClientUnlocked,
    GrantType, IdTokenAlg, LogoutNotDelivered,
};
use authlog_domain::refused_logins::{LoginRefusalReason, LoginRefused, RefusedLoginsEvent};
use authlog_domain::session::{
    AuthorizationCodeReused, ClientGrant, LoggedIn, LoggedOut, RefreshTokenReused, SessionCommand,
    SessionEvent, SessionRevoked, StartSession, SteppedUp, TokenRefreshed,
};
use authlog_domain::user::{
    ConsentGiven, ConsentWithdrawn, EmailChanged, EmailVerificationRequested, EmailVerified,
    FactorRemoved, FactorRenamed, PasskeyCounterWentBack, PasskeyEnrolled, PasswordChanged,
    PasswordFoundBreached, PasswordRehashed, PasswordReset, PasswordResetRequested,
    RecoveryCodeUsed, RecoveryCodesIssued, RoleChanged, SessionsRevoked, TotpEnrolled, UserErased,
    UserEvent, UserLocked, UserRegistered, UserUnlocked,
};
use authlog_domain::{
    AccountNumber, AggregateKind, Audience, Authentication, AuthenticationLevel,
    AuthenticationMethods, ClientId, ClientName, ClientSecretId, CredentialId, Email, EventKind,
    FactorId, FactorLabel, HttpsUri, KeyThumbprint, PasskeyTransport, PersonName, Personal, Phone,
    RecoverySetId, RedirectUri, ResetId, RevocationReason, Role, Rotation, Scopes, Session,
    SessionId, Timestamp, TotpAlgorithm, UserId, Username, VerificationId,
};
use cqrs_es::DomainEvent;
use serde_json::Value;
use uuid::Uuid;

fn at() -> Timestamp {
    Timestamp::parse("2026-11-21T09:25:00.123Z").unwrap()
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// An event of each type in its current version, as kind of aggregate, stored type, version and payload.
#[expect(clippy::too_many_lines, reason = "one entry for each event")]
fn samples() -> Vec<(AggregateKind, String, String, Value)> {
    fn sample(
        kind: AggregateKind,
        event: &impl DomainEvent,
    ) -> (AggregateKind, String, String, Value) {
        let payload = serde_json::to_value(event).unwrap();
        (kind, event.event_type(), event.event_version(), payload)
    }
    let user = [
        UserEvent::UserRegistered(UserRegistered {
            at: at(),
            number: AccountNumber::new(7),
            username: Some(Personal::Known(Username::parse("AhmadSolih").unwrap())),
            email: Some(Personal::Known(
                Email::parse("ahmadsolih@gmail.com").unwrap(),
            )),
            name: Some(Personal::Known(PersonName::parse("Ahmad Solih").unwrap())),
            phone: Some(Personal::Known(Phone::parse("+6285319076822").unwrap())),
            role: Role::User,
            credential: CredentialId::new(id(1)),
        }),
        UserEvent::PasswordResetRequested(PasswordResetRequested {
            at: at(),
            reset: ResetId::new(id(2)),
            expires_at: at(),
        }),
        UserEvent::PasswordReset(PasswordReset {
            at: at(),
            reset: ResetId::new(id(2)),
            credential: CredentialId::new(id(3)),
            session_epoch: 1,
        }),
        UserEvent::PasswordRehashed(PasswordRehashed {
            at: at(),
            credential: CredentialId::new(id(5)),
        }),
        UserEvent::RoleChanged(RoleChanged {
            at: at(),
            role: Role::Auditor,
            session_epoch: Some(2),
        }),
        UserEvent::PasswordChanged(PasswordChanged {
            at: at(),
            credential: CredentialId::new(id(5)),
            session_epoch: 3,
            kept_session: SessionId::new(id(6)),
        }),
        UserEvent::SessionsRevoked(SessionsRevoked {
            at: at(),
            reason: RevocationReason::Owner,
            session_epoch: 4,
            kept_session: Some(SessionId::new(id(6))),
        }),
        UserEvent::UserLocked(UserLocked {
            at: at(),
            session_epoch: 5,
        }),
        UserEvent::UserUnlocked(UserUnlocked { at: at() }),
        UserEvent::EmailVerificationRequested(EmailVerificationRequested {
            at: at(),
            verification: VerificationId::new(id(7)),
            email: Some(Personal::Known(Email::parse("solih@gmail.com").unwrap())),
            expires_at: at(),
        }),
        UserEvent::EmailVerified(EmailVerified {
            at: at(),
            verification: VerificationId::new(id(7)),
        }),
        UserEvent::EmailChanged(EmailChanged {
            at: at(),
            verification: VerificationId::new(id(7)),
            email: Personal::Known(Email::parse("solih@gmail.com").unwrap()),
        }),
        UserEvent::TotpEnrolled(TotpEnrolled {
            at: at(),
            factor: FactorId::new(id(8)),
            algorithm: TotpAlgorithm::Sha1,
            digits: 6,
            period: 30,
        }),
        UserEvent::PasskeyEnrolled(PasskeyEnrolled {
            at: at(),
            factor: FactorId::new(id(10)),
            rp_id: "auth.example.com".to_owned(),
            aaguid: id(11),
            transports: vec![PasskeyTransport::Hybrid, PasskeyTransport::Internal],
            discoverable: true,
            user_verified: true,
            backup_eligible: true,
            backed_up: false,
        }),
        UserEvent::PasskeyCounterWentBack(PasskeyCounterWentBack {
            at: at(),
            factor: FactorId::new(id(10)),
            stored: 7,
            received: 3,
        }),
        UserEvent::FactorRemoved(FactorRemoved {
            at: at(),
            factor: FactorId::new(id(8)),
            reason: RevocationReason::Administrator,
        }),
        UserEvent::RecoveryCodesIssued(RecoveryCodesIssued {
            at: at(),
            set: RecoverySetId::new(id(9)),
            count: 10,
        }),
        UserEvent::RecoveryCodeUsed(RecoveryCodeUsed {
            at: at(),
            set: RecoverySetId::new(id(9)),
            left: 9,
        }),
        UserEvent::FactorRenamed(FactorRenamed {
            at: at(),
            factor: FactorId::new(id(8)),
            label: Some(Personal::Known(FactorLabel::parse("work phone").unwrap())),
        }),
        UserEvent::PasswordFoundBreached(PasswordFoundBreached {
            at: at(),
            credential: CredentialId::new(id(5)),
        }),
        UserEvent::ConsentGiven(ConsentGiven {
            at: at(),
            client: ClientId::parse("shop").unwrap(),
            scopes: Scopes::parse("openid email").unwrap(),
        }),
        UserEvent::ConsentWithdrawn(ConsentWithdrawn {
            at: at(),
            client: ClientId::parse("shop").unwrap(),
        }),
        UserEvent::UserErased(UserErased {
            at: at(),
            session_epoch: 2,
        }),
    ];
    let session = [
        SessionEvent::LoggedIn(LoggedIn {
            at: at(),
            user: UserId::new(id(4)),
            epoch: 0,
            rotation: Some(Rotation::Rotating),
            expires_at: at(),
            amr: Some(AuthenticationMethods::PASSWORD_AND_CODE),
            acr: Some(AuthenticationLevel::Aal2),
            auth_time: Some(at()),
            factor: Some(FactorId::new(id(8))),
            client: Some(ClientId::parse("shop").unwrap()),
            scopes: Some(Scopes::parse("openid email").unwrap()),
            audience: vec![Audience::parse("https://api.shop.example").unwrap()],
            parent: Some(SessionId::new(id(13))),
            dpop_jkt: None,
        }),
        SessionEvent::TokenRefreshed(TokenRefreshed {
            at: at(),
            generation: 1,
            expires_at: at(),
        }),
        SessionEvent::RefreshTokenReused(RefreshTokenReused {
            at: at(),
            generation: 0,
        }),
        SessionEvent::AuthorizationCodeReused(AuthorizationCodeReused { at: at() }),
        SessionEvent::LoggedOut(LoggedOut { at: at() }),
        SessionEvent::SessionRevoked(SessionRevoked {
            at: at(),
            reason: RevocationReason::Administrator,
        }),
        SessionEvent::SteppedUp(SteppedUp {
            at: at(),
            amr: AuthenticationMethods::PASSWORD_AND_CODE,
            acr: AuthenticationLevel::Aal2,
            auth_time: at(),
            factor: Some(FactorId::new(id(8))),
        }),
    ];
    let refused = RefusedLoginsEvent::LoginRefused(LoginRefused {
        at: at(),
        reason: LoginRefusalReason::WrongPassword,
    });
    let mut samples: Vec<_> = user
        .iter()
        .map(|event| sample(AggregateKind::User, event))
        .collect();
    samples.extend(
        session
            .iter()
            .map(|event| sample(AggregateKind::Session, event)),
    );
    samples.push(sample(AggregateKind::RefusedLogins, &refused));
    let client = client_events();
    samples.extend(
        client
            .iter()
            .map(|event| sample(AggregateKind::Client, event)),
    );
    samples
}

fn client_events() -> [ClientEvent; 8] {
    let uri = |text| RedirectUri::parse(text).unwrap();
    let settings = ClientSettings {
        name: ClientName::parse("Shop").unwrap(),
        redirect_uris: vec![uri("https://shop.example/callback")],
        post_logout_redirect_uris: vec![uri("https://shop.example/")],
        backchannel_logout_uri: Some(HttpsUri::parse("https://shop.example/logout").unwrap()),
        grants: [GrantType::AuthorizationCode, GrantType::RefreshToken].into(),
        scopes: Scopes::parse("openid email").unwrap(),
        audiences: vec![Audience::parse("https://api.shop.example").unwrap()],
        auth_method: ClientAuthMethod::ClientSecretBasic,
        jwks: None,
        require_pkce: true,
        dpop_bound: false,
        require_pushed_requests: false,
        id_token_alg: IdTokenAlg::Rs256,
        first_party: true,
    };
    let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let by_key = ClientSettings {
        auth_method: ClientAuthMethod::PrivateKeyJwt,
        backchannel_logout_uri: None,
        jwks: Some(ClientJwks::parse(key).unwrap()),
        id_token_alg: IdTokenAlg::AccessKey,
        ..settings.clone()
    };
    let secret_id = ClientSecretId::new(id(12));
    [
        ClientEvent::ClientRegistered(ClientRegistered { at: at(), settings }),
        ClientEvent::ClientSecretIssued(ClientSecretIssued {
            at: at(),
            secret_id,
        }),
        ClientEvent::ClientSecretRetired(ClientSecretRetired {
            at: at(),
            secret_id,
        }),
        ClientEvent::ClientChanged(ClientChanged {
            at: at(),
            settings: by_key,
        }),
        ClientEvent::ClientLocked(ClientLocked { at: at() }),
        ClientEvent::ClientUnlocked(ClientUnlocked { at: at() }),
        ClientEvent::ClientRemoved(ClientRemoved { at: at() }),
        ClientEvent::LogoutNotDelivered(LogoutNotDelivered {
            at: at(),
            session: SessionId::new(id(2)),
            user: UserId::new(id(1)),
            ended_at: at(),
        }),
    ]
}

fn golden_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The golden files, as kind of aggregate, file name without extension, and payload.
fn golden_files() -> Vec<(AggregateKind, String, Value)> {
    let mut files = Vec::new();
    for kind in AggregateKind::ALL {
        for entry in std::fs::read_dir(golden_folder().join(kind.as_str())).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            files.push((kind, name, serde_json::from_str(&text).unwrap()));
        }
    }
    files
}

/// The payload after it was read as an event and written again.
fn reread(kind: AggregateKind, payload: Value) -> Value {
    fn reread<E: DomainEvent>(payload: Value) -> Value {
        serde_json::to_value(serde_json::from_value::<E>(payload).unwrap()).unwrap()
    }
    match kind {
        AggregateKind::User => reread::<UserEvent>(payload),
        AggregateKind::Session => reread::<SessionEvent>(payload),
        AggregateKind::RefusedLogins => reread::<RefusedLoginsEvent>(payload),
        AggregateKind::Client => reread::<ClientEvent>(payload),
    }
}

#[test]
fn every_stored_version_of_every_event_is_read_and_loses_nothing() {
    let files = golden_files();
    assert!(files.len() >= samples().len());
    for (kind, name, payload) in files {
        assert_eq!(reread(kind, payload.clone()), payload, "{kind:?} {name}");
    }
}

#[test]
fn a_login_of_version_1_was_by_password_alone_at_its_time() {
    let files = golden_files();
    let (.., payload) = files
        .iter()
        .find(|(_, name, _)| name == "LoggedIn.v1")
        .unwrap();
    let event: SessionEvent = serde_json::from_value(payload.clone()).unwrap();
    assert_eq!(event.event_version(), "1");
    let SessionEvent::LoggedIn(event) = event else {
        panic!("{event:?}");
    };
    assert_eq!(event.authentication(), Authentication::by_password(at()));
}

/// The event of a login by a person who was authenticated like this.
fn started(authentication: Authentication) -> SessionEvent {
    started_with(authentication, None)
}

fn started_with(authentication: Authentication, grant: Option<ClientGrant>) -> SessionEvent {
    let command = SessionCommand::Start(StartSession {
        at: at(),
        user: UserId::new(id(4)),
        epoch: 0,
        rotation: Some(Rotation::Rotating),
        expires_at: at(),
        authentication,
        grant,
    });
    let events = Session::default().decide(command).unwrap();
    let [event] = <[SessionEvent; 1]>::try_from(events).unwrap();
    event
}

#[test]
fn a_login_is_written_in_version_2_only_if_it_was_more_than_a_password() {
    let files = golden_files();
    let golden = |name: &str| {
        let file = files.iter().find(|(_, golden, _)| golden == name);
        file.map(|(.., payload)| payload.clone()).unwrap()
    };
    let by_password = started(Authentication::by_password(at()));
    assert_eq!(by_password.event_version(), "1");
    assert_eq!(
        serde_json::to_value(&by_password).unwrap(),
        golden("LoggedIn.v1")
    );
    let factor = Some(FactorId::new(id(8)));
    let with_code = started(Authentication::by_password_and_code(at(), factor));
    assert_eq!(with_code.event_version(), "2");
    assert_eq!(
        serde_json::to_value(&with_code).unwrap(),
        golden("LoggedIn.v2")
    );
    // A password that was checked at another time than that of the login.
    let earlier = Authentication::by_password(Timestamp::from_unix_millis(0));
    let event = started(earlier);
    assert_eq!(event.event_version(), "2");
    let SessionEvent::LoggedIn(event) = event else {
        panic!("{event:?}");
    };
    assert_eq!(event.authentication(), earlier);
}

#[test]
fn a_login_is_written_in_version_3_only_for_an_application() {
    let grant = ClientGrant {
        client: ClientId::parse("shop").unwrap(),
        scopes: Scopes::default(),
        audience: vec![],
        parent: None,
        dpop_jkt: None,
    };
    let by_password = Authentication::by_password(at());
    let event = started_with(by_password, Some(grant.clone()));
    assert_eq!(event.event_version(), "3");
    let SessionEvent::LoggedIn(event) = event else {
        panic!("{event:?}");
    };
    assert_eq!(event.authentication(), by_password);
    assert_eq!(event.grant(), Some(grant));
}

#[test]
fn a_login_says_to_which_key_its_tokens_are_bound_only_if_they_are() {
    let jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    let grant = |dpop_jkt| ClientGrant {
        client: ClientId::parse("shop").unwrap(),
        scopes: Scopes::default(),
        audience: vec![],
        parent: None,
        dpop_jkt,
    };
    let by_password = Authentication::by_password(at());
    let bound = grant(Some(KeyThumbprint::parse(jkt).unwrap()));
    let event = started_with(by_password, Some(bound.clone()));
    assert_eq!(event.event_version(), "3");
    let stored = serde_json::to_value(&event).unwrap();
    assert_eq!(stored["LoggedIn"]["dpop_jkt"], jkt);
    let SessionEvent::LoggedIn(event) = serde_json::from_value(stored).unwrap() else {
        panic!("not a login");
    };
    assert_eq!(event.grant(), Some(bound));
    let unbound = serde_json::to_value(started_with(by_password, Some(grant(None)))).unwrap();
    assert_eq!(unbound["LoggedIn"].get("dpop_jkt"), None);
}

#[test]
fn every_kind_of_event_has_a_sample() {
    let sampled: BTreeSet<_> = samples()
        .into_iter()
        .map(|(_, event_type, _, _)| EventKind::from_stored(&event_type))
        .collect();
    assert_eq!(sampled, EventKind::ALL.map(Some).into());
}

#[test]
fn every_event_is_written_as_in_its_golden_file() {
    let files = golden_files();
    for (kind, event_type, version, payload) in samples() {
        let name = format!("{event_type}.v{version}");
        let golden = files.iter().find(|(k, n, _)| *k == kind && *n == name);
        let Some((_, _, golden)) = golden else {
            panic!(
                "{}/{name}.json is missing; it should hold\n{payload:#}",
                kind.as_str()
            );
        };
        assert_eq!(golden, &payload, "{name}");
    }
}

#[test]
fn every_personal_field_is_declared_and_can_be_erased() {
    let mut personal = 0;
    for (kind, event_type, _, payload) in samples() {
        let mut erased = payload.clone();
        for pointer in kind.personal_fields(&event_type) {
            *erased.pointer_mut(pointer).unwrap() = serde_json::json!({ "erased": true });
            personal += 1;
        }
        assert_eq!(reread(kind, erased.clone()), erased, "{event_type}");
        let text = erased.to_string();
        for planted in ["Solih", "solih", "gmail", "+62", "work phone"] {
            assert!(!text.contains(planted), "{event_type} still says {planted}");
        }
    }
    assert_eq!(personal, 7);
}

#[test]
fn no_event_has_a_member_for_a_password_a_hash_or_a_token() {
    fn members(value: &Value, found: &mut BTreeSet<String>) {
        if let Value::Object(object) = value {
            for (name, value) in object {
                found.insert(name.clone());
                members(value, found);
            }
        }
    }
    let mut found = BTreeSet::new();
    for (_, _, _, payload) in samples() {
        // The outermost field is the name of the event.
        members(
            payload.as_object().unwrap().values().next().unwrap(),
            &mut found,
        );
    }
    assert!(found.contains("credential"), "the walk found {found:?}");
    // Neither is one: a secret is derived from its id under a key of the service, and an algorithm is public.
    for public in ["secret_id", "id_token_alg"] {
        assert!(found.remove(public), "the walk found {found:?}");
    }
    for secret in ["password", "hash", "token", "secret"] {
        let named: Vec<_> = found.iter().filter(|name| name.contains(secret)).collect();
        assert!(named.is_empty(), "{named:?}");
    }
}
