//! Decisions about clients.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use authlog_domain::client::{
    ClientAuthMethod, ClientChange, ClientChanged, ClientCommand, ClientEvent, ClientJwks,
    ClientLocked, ClientRefusal, ClientRegistered, ClientRemoved, ClientSecretIssued,
    ClientSecretRetired, ClientSettings, ClientUnlocked, GrantType, IdTokenAlg, LogoutNotDelivered,
    SettingsFlaw,
};
use authlog_domain::{
    Audience, Client, ClientName, ClientSecretId, RedirectUri, Scopes, SessionId, Timestamp, UserId,
};
use cqrs_es::Aggregate;
use uuid::Uuid;

fn at() -> Timestamp {
    Timestamp::from_unix_millis(1_700_000_000_000)
}

fn secret(number: u128) -> ClientSecretId {
    ClientSecretId::new(Uuid::from_u128(number))
}

fn uri(text: &str) -> RedirectUri {
    RedirectUri::parse(text).unwrap()
}

/// The settings of a web application that authenticates by a secret.
fn web_application() -> ClientSettings {
    ClientSettings {
        name: ClientName::parse("Shop").unwrap(),
        redirect_uris: vec![uri("https://shop.example/callback")],
        post_logout_redirect_uris: vec![],
        backchannel_logout_uri: None,
        grants: BTreeSet::from([GrantType::AuthorizationCode, GrantType::RefreshToken]),
        scopes: Scopes::parse("openid email").unwrap(),
        audiences: vec![],
        auth_method: ClientAuthMethod::ClientSecretBasic,
        jwks: None,
        require_pkce: true,
        dpop_bound: false,
        require_pushed_requests: false,
        id_token_alg: IdTokenAlg::Rs256,
        first_party: false,
    }
}

fn public_application() -> ClientSettings {
    ClientSettings {
        auth_method: ClientAuthMethod::None,
        ..web_application()
    }
}

#[test]
fn a_post_logout_redirect_uri_is_compared_as_a_string() {
    let settings = ClientSettings {
        redirect_uris: vec![uri("http://127.0.0.1/callback")],
        post_logout_redirect_uris: vec![uri("http://127.0.0.1/bye")],
        ..web_application()
    };
    assert!(settings.has_post_logout_redirect_uri("http://127.0.0.1/bye"));
    // Any port is right for a redirect URI of a native application, and for no other.
    assert!(settings.redirect_uris[0].matches("http://127.0.0.1:4711/callback"));
    assert!(!settings.has_post_logout_redirect_uri("http://127.0.0.1:4711/bye"));
}

fn decide(client: &Client, change: ClientChange) -> Result<Vec<ClientEvent>, ClientRefusal> {
    client.decide(ClientCommand { at: at(), change })
}

fn execute(client: &mut Client, change: ClientChange) -> Vec<ClientEvent> {
    let events = decide(client, change).unwrap();
    for event in &events {
        client.apply(event.clone());
    }
    events
}

fn register(settings: ClientSettings) -> ClientChange {
    ClientChange::Register {
        settings,
        secret: secret(1),
    }
}

fn registered(settings: ClientSettings) -> Client {
    let mut client = Client::default();
    execute(&mut client, register(settings));
    client
}

fn issued(number: u128) -> ClientEvent {
    ClientEvent::ClientSecretIssued(ClientSecretIssued {
        at: at(),
        secret_id: secret(number),
    })
}

fn retired(number: u128) -> ClientEvent {
    ClientEvent::ClientSecretRetired(ClientSecretRetired {
        at: at(),
        secret_id: secret(number),
    })
}

fn changed(settings: ClientSettings) -> ClientEvent {
    ClientEvent::ClientChanged(ClientChanged { at: at(), settings })
}

#[test]
fn a_client_that_authenticates_by_a_secret_is_registered_with_one() {
    let registered =
        |settings| ClientEvent::ClientRegistered(ClientRegistered { at: at(), settings });
    assert_eq!(
        decide(&Client::default(), register(web_application())).unwrap(),
        [registered(web_application()), issued(1)]
    );
    assert_eq!(
        decide(&Client::default(), register(public_application())).unwrap(),
        [registered(public_application())]
    );
}

#[test]
fn an_id_is_used_once_even_after_the_client_was_removed() {
    let mut client = registered(web_application());
    let taken = Err(ClientRefusal::IdTaken);
    assert_eq!(decide(&client, register(web_application())), taken);
    let removed = execute(&mut client, ClientChange::Remove);
    assert_eq!(
        removed,
        [ClientEvent::ClientRemoved(ClientRemoved { at: at() })]
    );
    assert_eq!(client, Client::Removed);
    assert_eq!(decide(&client, register(web_application())), taken);
}

#[test]
fn a_client_that_does_not_exist_cannot_be_changed() {
    let mut removed = registered(web_application());
    execute(&mut removed, ClientChange::Remove);
    for client in [Client::default(), removed] {
        for change in [
            ClientChange::Change {
                settings: web_application(),
            },
            ClientChange::IssueSecret { secret: secret(2) },
            ClientChange::RetireSecret { secret: secret(1) },
            ClientChange::Lock,
            ClientChange::Unlock,
            ClientChange::Remove,
        ] {
            assert_eq!(decide(&client, change), Err(ClientRefusal::NoSuchClient));
        }
    }
}

#[test]
fn two_secrets_are_valid_at_once() {
    let mut client = registered(web_application());
    let issue = |number| ClientChange::IssueSecret {
        secret: secret(number),
    };
    let retire = |number| ClientChange::RetireSecret {
        secret: secret(number),
    };
    assert_eq!(execute(&mut client, issue(2)), [issued(2)]);
    assert_eq!(
        decide(&client, issue(3)),
        Err(ClientRefusal::TooManySecrets)
    );
    assert_eq!(execute(&mut client, retire(1)), [retired(1)]);
    assert_eq!(decide(&client, retire(1)), Err(ClientRefusal::NoSuchSecret));
    assert_eq!(execute(&mut client, issue(3)), [issued(3)]);
    let state = client.registered().unwrap();
    let valid: Vec<_> = state.secrets.iter().map(|secret| secret.id).collect();
    assert_eq!(valid, [secret(2), secret(3)]);
}

#[test]
fn a_public_client_gets_no_secret() {
    let client = registered(public_application());
    let issue = ClientChange::IssueSecret { secret: secret(2) };
    assert_eq!(decide(&client, issue), Err(ClientRefusal::HasNoSecrets));
}

#[test]
fn a_client_that_becomes_public_loses_its_secrets() {
    let mut client = registered(web_application());
    let change = |settings| ClientChange::Change { settings };
    assert_eq!(
        execute(&mut client, change(public_application())),
        [retired(1), changed(public_application())]
    );
    execute(&mut client, change(web_application()));
    assert!(client.registered().unwrap().secrets.is_empty());
}

#[test]
fn what_changes_nothing_is_not_recorded() {
    let mut client = registered(web_application());
    let same = ClientChange::Change {
        settings: web_application(),
    };
    assert_eq!(execute(&mut client, same), []);
    assert_eq!(execute(&mut client, ClientChange::Unlock), []);
    assert_eq!(
        execute(&mut client, ClientChange::Lock),
        [ClientEvent::ClientLocked(ClientLocked { at: at() })]
    );
    assert!(client.registered().unwrap().locked);
    assert_eq!(execute(&mut client, ClientChange::Lock), []);
    assert_eq!(
        execute(&mut client, ClientChange::Unlock),
        [ClientEvent::ClientUnlocked(ClientUnlocked { at: at() })]
    );
    assert!(!client.registered().unwrap().locked);
}

#[test]
fn a_logout_that_was_not_delivered_is_recorded_and_changes_nothing() {
    let (session, user) = (
        SessionId::new(Uuid::from_u128(7)),
        UserId::new(Uuid::from_u128(8)),
    );
    let report = || ClientChange::ReportUndeliveredLogout {
        session,
        user,
        ended_at: at(),
    };
    let mut client = registered(web_application());
    let before = client.clone();
    let event = LogoutNotDelivered {
        at: at(),
        session,
        user,
        ended_at: at(),
    };
    assert_eq!(
        execute(&mut client, report()),
        [ClientEvent::LogoutNotDelivered(event)]
    );
    assert_eq!(client, before);
    execute(&mut client, ClientChange::Remove);
    assert_eq!(decide(&client, report()), Err(ClientRefusal::NoSuchClient));
}

#[test]
fn settings_have_to_fit_together() {
    let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"a"}]}"#;
    let web = web_application();
    let many = (0..21).map(|number| uri(&format!("https://shop.example/{number}")));
    let audience = Audience::parse("https://api.example").unwrap();
    let flawed = [
        (
            ClientSettings {
                redirect_uris: vec![],
                ..web.clone()
            },
            "redirect_uris",
            SettingsFlaw::NoRedirectUri,
        ),
        (
            ClientSettings {
                redirect_uris: many.collect(),
                ..web.clone()
            },
            "redirect_uris",
            SettingsFlaw::TooManyUris,
        ),
        (
            ClientSettings {
                audiences: vec![audience.clone(), audience],
                ..web.clone()
            },
            "audiences",
            SettingsFlaw::Repeated,
        ),
        (
            ClientSettings {
                grants: BTreeSet::from([GrantType::RefreshToken]),
                ..web.clone()
            },
            "grants",
            SettingsFlaw::NothingToRefresh,
        ),
        (
            ClientSettings {
                grants: BTreeSet::from([GrantType::ClientCredentials]),
                ..public_application()
            },
            "auth_method",
            SettingsFlaw::MachineWithoutAuthentication,
        ),
        (
            ClientSettings {
                require_pkce: false,
                ..public_application()
            },
            "require_pkce",
            SettingsFlaw::PkceNeeded,
        ),
        (
            ClientSettings {
                auth_method: ClientAuthMethod::PrivateKeyJwt,
                ..web.clone()
            },
            "jwks",
            SettingsFlaw::NoKeys,
        ),
        (
            ClientSettings {
                jwks: Some(ClientJwks::parse(key).unwrap()),
                ..web.clone()
            },
            "jwks",
            SettingsFlaw::KeysWithoutUse,
        ),
        (
            ClientSettings {
                scopes: Scopes::parse("openid events.read").unwrap(),
                ..web.clone()
            },
            "scopes",
            SettingsFlaw::ServiceScopeWithoutGrant,
        ),
        (
            ClientSettings {
                scopes: Scopes::parse("tokens.introspect").unwrap(),
                ..public_application()
            },
            "scopes",
            SettingsFlaw::InspectorWithoutAuthentication,
        ),
    ];
    for (settings, member, flaw) in flawed {
        let refusal = Err(ClientRefusal::Settings { member, flaw });
        let change = ClientChange::Change {
            settings: settings.clone(),
        };
        assert_eq!(decide(&Client::default(), register(settings)), refusal);
        assert_eq!(decide(&registered(web.clone()), change), refusal);
    }
}

#[test]
fn scopes_at_this_service_are_for_clients_that_act_for_themselves() {
    let web = web_application();
    let resource_server = ClientSettings {
        redirect_uris: vec![],
        grants: BTreeSet::new(),
        scopes: Scopes::parse("tokens.introspect").unwrap(),
        ..web.clone()
    };
    let machine = ClientSettings {
        grants: BTreeSet::from([GrantType::ClientCredentials]),
        scopes: Scopes::parse("audit.read events.read tokens.introspect").unwrap(),
        ..web
    };
    for settings in [resource_server, machine] {
        assert!(decide(&Client::default(), register(settings)).is_ok());
    }
}

#[test]
fn a_state_is_read_as_it_was_written() {
    let client = registered(web_application());
    let text = serde_json::to_string(&client).unwrap();
    assert_eq!(serde_json::from_str::<Client>(&text).unwrap(), client);
}
