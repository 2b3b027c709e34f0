//! Clients: rows and events that belong to no account.

use std::sync::Arc;

use authlog_application::ports::{AppendError, Check, LogFilter, StagedStream, StreamId};
use authlog_domain::client::{
    ClientAuthMethod, ClientChange, ClientCommand, ClientSettings, IdTokenAlg,
};
use authlog_domain::{
    AggregateKind, Client, ClientId, ClientName, ClientSecretId, RedirectUri, Scopes, UserId,
};
use authlog_infrastructure::Store;

use super::World;
use super::people::{Person, append, decide};
use super::system::{now, random};

pub fn client(id: &str) -> ClientId {
    ClientId::parse(id).unwrap()
}

fn settings(name: &str) -> ClientSettings {
    ClientSettings {
        name: ClientName::parse(name).unwrap(),
        redirect_uris: vec![RedirectUri::parse("https://shop.example/callback").unwrap()],
        post_logout_redirect_uris: vec![],
        backchannel_logout_uri: None,
        grants: [].into(),
        scopes: Scopes::parse("openid").unwrap(),
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

pub fn registration(name: &str) -> ClientChange {
    ClientChange::Register {
        settings: settings(name),
        secret: ClientSecretId::new(random()),
    }
}

/// What the change adds to the client's stream as it is stored now.
async fn decided(store: &dyn Store, id: &ClientId, change: ClientChange) -> StagedStream {
    let stream = StreamId {
        kind: AggregateKind::Client,
        id: id.to_string(),
    };
    let prior = store.load(&stream).await.unwrap();
    let command = ClientCommand { at: now(), change };
    let mut staged = decide::<Client>(stream, prior, UserId::new(random()), command)
        .await
        .unwrap();
    for event in &mut staged.new {
        event.metadata = serde_json::json!({ "actor": "operator", "contract": "cli" });
    }
    staged
}

pub async fn does(store: &dyn Store, id: &ClientId, change: ClientChange) {
    let staged = decided(store, id, change).await;
    append(store, vec![staged]).await.unwrap();
}

async fn findings(store: &dyn Store, repair: bool) -> Vec<(Check, bool)> {
    let diagnosis = store.examine(repair, now(), &|_| ()).await.unwrap();
    let found = diagnosis.divergences.into_iter();
    found
        .map(|(check, found)| (check, found.count == found.repaired))
        .collect()
}

pub async fn a_client_is_read_as_it_was_written_on_every_node(world: &impl World) {
    let store = world.store();
    let (shop, other) = (client("shop"), client("Other_client-1"));
    does(&*store, &shop, registration("Shop")).await;
    does(&*store, &other, registration("Other")).await;
    does(&*store, &shop, ClientChange::Lock).await;
    let another = world.another_node().await;
    for node in [&store, &another] {
        let found = node.client(&shop).await.unwrap().unwrap();
        assert_eq!(found.settings, settings("Shop"));
        assert_eq!((found.secrets.len(), found.locked), (1, true));
        let record = node.record(&shop).await.unwrap().unwrap();
        assert_eq!(record.version, 3);
        assert!(node.client(&client("unknown")).await.unwrap().is_none());
    }
    does(&*another, &shop, ClientChange::Remove).await;
    assert!(store.client(&shop).await.unwrap().is_none());
    let record = store.record(&shop).await.unwrap().unwrap();
    assert_eq!((record.version, record.state), (4, None));
    assert_eq!(findings(&*store, false).await, []);
}

pub async fn clients_are_listed_in_the_order_of_their_ids_without_removed_ones(world: &impl World) {
    let store = world.store();
    let ids = ["b", "a", "C", "d-1", "d_1", "e"];
    for id in ids {
        does(&*store, &client(id), registration(id)).await;
    }
    does(&*store, &client("e"), ClientChange::Remove).await;
    // Ids are compared as bytes.
    assert_eq!(listed(&*store).await, ["C", "a", "b", "d-1", "d_1"]);
}

/// All clients, read in pages of two.
async fn listed(store: &dyn Store) -> Vec<String> {
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = store.clients(after.as_ref(), 2).await.unwrap();
        assert!(page.clients.len() <= 2);
        listed.extend(page.clients.into_iter().map(|it| it.id.to_string()));
        after = page.next;
        if after.is_none() {
            return listed;
        }
    }
}

pub async fn rows_of_clients_that_were_changed_hide_no_others_in_a_list(world: &impl World) {
    let store = world.store();
    for id in ["a", "b", "c", "d", "e", "f"] {
        does(&*store, &client(id), registration(id)).await;
    }
    for change in [
        "state = 'x' WHERE client_id = 'b'",
        "version = 7 WHERE client_id = 'c'",
        "client_id = 'd/d' WHERE client_id = 'd'",
    ] {
        world.execute(&format!("UPDATE clients SET {change}")).await;
    }
    assert_eq!(listed(&*store).await, ["a", "e", "f"]);
}

pub async fn a_store_knows_whether_it_has_clients(world: &impl World) {
    let store = world.store();
    let shop = client("shop");
    assert!(!store.has_clients().await.unwrap());
    does(&*store, &shop, registration("Shop")).await;
    assert!(store.has_clients().await.unwrap());
    does(&*store, &shop, ClientChange::Remove).await;
    assert!(!store.has_clients().await.unwrap());
}

/// A rebuild reads a client's events before it writes the row.
pub async fn a_client_that_changes_during_a_rebuild_keeps_the_change(world: &impl World) {
    let store = world.store();
    let shop = client("shop");
    does(&*store, &shop, registration("Shop")).await;
    world.execute("UPDATE clients SET version = 100").await;
    super::read_models::rebuild(&*store, 10).await;
    assert_eq!(world.count("clients WHERE version = 100").await, 1);
    assert_eq!(findings(&*store, true).await, [(Check::Clients, true)]);

    let rebuilding = tokio::spawn({
        let store = world.another_node().await;
        async move {
            for _ in 0..20 {
                super::read_models::rebuild(&*store, 10).await;
            }
        }
    });
    let mut changes = 0;
    while !rebuilding.is_finished() {
        does(&*store, &shop, ClientChange::Lock).await;
        does(&*store, &shop, ClientChange::Unlock).await;
        changes += 2;
    }
    rebuilding.await.unwrap();
    let record = store.record(&shop).await.unwrap().unwrap();
    // A registration is two events.
    assert_eq!(record.version, 2 + changes);
    assert_eq!(findings(&*store, false).await, []);
}

pub async fn of_concurrent_changes_of_a_client_one_wins(world: &impl World) {
    let store = world.store();
    let shop = client("shop");
    let mut registrations = Vec::new();
    for name in ["One", "Two", "Three"] {
        registrations.push(decided(&*store, &shop, registration(name)).await);
    }
    assert_eq!(winners(&store, registrations).await, 1);
    let mut changes = Vec::new();
    for _ in 0..3 {
        changes.push(decided(&*store, &shop, ClientChange::Lock).await);
    }
    assert_eq!(winners(&store, changes).await, 1);
    assert_eq!(store.record(&shop).await.unwrap().unwrap().version, 3);
    assert_eq!(findings(&*store, false).await, []);
}

/// How many of the appends succeeded. The others conflict.
async fn winners(store: &Arc<dyn Store>, streams: Vec<StagedStream>) -> usize {
    let mut appends = tokio::task::JoinSet::new();
    for staged in streams {
        let store = Arc::clone(store);
        appends.spawn(async move { append(&*store, vec![staged]).await });
    }
    let outcomes = appends.join_all().await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    for outcome in outcomes {
        assert!(matches!(outcome, Ok(()) | Err(AppendError::Conflict)));
    }
    won
}

pub async fn a_client_that_was_changed_or_put_back_is_treated_as_missing(world: &impl World) {
    let store = world.store();
    let (shop, other) = (client("shop"), client("other"));
    does(&*store, &shop, registration("Shop")).await;
    does(&*store, &other, registration("Other")).await;
    world
        .execute("CREATE TABLE kept AS SELECT * FROM clients")
        .await;
    does(&*store, &shop, ClientChange::Lock).await;
    let original = store.client(&shop).await.unwrap();
    for change in [
        "state = replace(state, 'shop.example', 'evil.example')",
        "state = NULL",
        "state = 'x'",
        "version = 2",
        "state = (SELECT state FROM kept WHERE client_id = 'other')",
        "mac = (SELECT mac FROM kept WHERE client_id = 'other')",
        // The row before the lock, with its own MAC.
        "state = kept.state, version = kept.version, mac = kept.mac FROM kept",
    ] {
        let and = if change.contains("FROM kept") && change.starts_with("state = kept") {
            "AND kept.client_id = 'shop'"
        } else {
            ""
        };
        let changes = format!("UPDATE clients SET {change} WHERE clients.client_id = 'shop' {and}");
        world.execute(&changes).await;
        let found = store.record(&shop).await.unwrap();
        assert!(found.is_none(), "{change}");
        assert_eq!(
            findings(&*store, true).await,
            [(Check::Clients, true)],
            "{change}"
        );
        assert_eq!(store.client(&shop).await.unwrap(), original, "{change}");
    }
    // A row without events.
    world
        .execute("INSERT INTO clients SELECT 'planted', version, state, mac FROM kept WHERE client_id = 'other'")
        .await;
    assert!(store.client(&client("planted")).await.unwrap().is_none());
    assert_eq!(findings(&*store, true).await, [(Check::Clients, true)]);
    assert_eq!(world.count("clients").await, 2);
    world.execute("DELETE FROM clients").await;
    super::read_models::rebuild(&*store, 10).await;
    assert_eq!(store.client(&shop).await.unwrap(), original);
    assert_eq!(findings(&*store, false).await, []);
}

pub async fn events_of_a_client_are_in_the_log_and_in_no_account(world: &impl World) {
    let store = world.store();
    let ann = Person::called("ann");
    ann.registers(&*store).await;
    let shop = client("shop");
    does(&*store, &shop, registration("Shop")).await;
    for change in [ClientChange::Lock, ClientChange::Unlock] {
        does(&*store, &shop, change).await;
    }
    world.settle().await;
    let everything = LogFilter::default();
    let log = store.read_log(0, 100, &everything).await.unwrap();
    let of_client: Vec<_> = log
        .iter()
        .filter(|logged| logged.event.aggregate_type == "client")
        .collect();
    assert_eq!(of_client.len(), 4);
    assert!(of_client.iter().all(|logged| logged.user.is_none()));
    assert!(
        of_client
            .iter()
            .all(|logged| !logged.event.payload.is_null())
    );
    let of_ann = LogFilter {
        user: Some(ann.user),
        ..everything
    };
    assert_eq!(store.read_log(0, 100, &of_ann).await.unwrap().len(), 1);

    let (mut told, mut after) = (Vec::new(), 0);
    loop {
        let page = store.client_events(&shop, after, 3).await.unwrap();
        let Some(last) = page.last() else {
            break;
        };
        after = last.event.sequence;
        told.extend(page);
    }
    let indexes: Vec<_> = told.iter().map(|past| past.log_index.unwrap()).collect();
    let expected: Vec<_> = of_client.iter().map(|logged| logged.log_index).collect();
    assert_eq!(indexes, expected);
    // The text is stored as it came: nothing in it is sealed.
    let stored = world.stored_events().await;
    let registered = stored.iter().find(|it| it.event_type == "ClientRegistered");
    assert!(registered.unwrap().payload.contains("shop.example"));
    assert_eq!(
        registered.unwrap().metadata,
        r#"{"actor":"operator","contract":"cli"}"#
    );
}
