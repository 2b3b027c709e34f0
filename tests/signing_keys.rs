//! Signing keys are rotated while the service runs, and every session survives.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::collections::BTreeSet;
use std::process::Output;

use serde_json::Value;
use support::contract::{Tokens, is_refused, refreshes_nothing, verifies};
use support::http::Http;
use support::{
    Contract, Person, Program, Settings, Store, api_auth, eventually, on_both_stores, own, token,
};

on_both_stores!(
    a_new_key_is_published_before_it_signs_and_the_old_one_verifies_until_its_last_token_expired,
    a_retired_key_ends_its_tokens_and_another_signs,
    another_algorithm_takes_over_and_tokens_of_the_former_stay_valid,
    a_database_keeps_its_algorithm_when_the_setting_is_gone,
    keys_of_id_tokens_are_made_for_the_first_client_and_rotate_by_themselves,
    a_key_of_id_tokens_that_was_removed_is_reported_and_replaced,
    a_client_asks_for_the_types_of_keys_that_it_reads,
);

async fn a_new_key_is_published_before_it_signs_and_the_old_one_verifies_until_its_last_token_expired(
    store: Store,
) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let before = Contract::ApiAuth.signs_in(&http, &ann).await;
    let old = kid(&before.access);
    assert_eq!(published(&http).await, BTreeSet::from([old.clone()]));

    let said = keys(&service.settings, &["rotate"]).await;
    assert!(said.status.success(), "{said:?}");
    let two = eventually("the new key is published", async || {
        Some(published(&http).await).filter(|keys| keys.len() == 2)
    })
    .await;
    let new = two.into_iter().find(|kid| *kid != old).unwrap();
    let list = text(&keys(&service.settings, &["list"]).await);
    assert!(line(&list, &old).contains("signing"), "{list}");
    assert!(line(&list, &new).contains("published"), "{list}");
    let meanwhile = Contract::ApiAuth.signs_in(&http, &ann).await;
    assert_eq!(kid(&meanwhile.access), old);
    // It signs after ten minutes, when every verifier's cached key set has it.
    let set = http.send(own::KEY_SET).await;
    assert_eq!(set.header("cache-control"), Some("public, max-age=300"));
    let again = keys(&service.settings, &["rotate"]).await;
    assert!(!again.status.success());
    assert!(text(&again).contains("published already"), "{again:?}");

    let fast_service = keys(&service.settings, &["rotate", "--now"]).await;
    assert!(fast_service.status.success(), "{fast_service:?}");
    signs_with(&http, &ann, &new).await;
    verifies(&http, &before.access).await;
    let answer = http.send(api_auth::REFRESH).bearer(before.refresh()).await;
    let refreshed = Contract::ApiAuth.tokens_in(&answer.json());
    assert_eq!(kid(&refreshed.access), new);
    assert_eq!(published(&http).await.len(), 2);

    // A week and a minute later: the longest lifetime of a token, and the allowed difference of clocks.
    set_last_signature_ago(&service.settings, &old, 7 * 24 * 60 * 60 + 61);
    eventually("the old key is not published any more", async || {
        (published(&http).await == BTreeSet::from([new.clone()])).then_some(())
    })
    .await;
    is_refused(&http, &before.access).await;
    verifies(&http, &refreshed.access).await;
    let list = text(&keys(&service.settings, &["list"]).await);
    assert!(line(&list, &old).contains("retired"), "{list}");
}

async fn a_retired_key_ends_its_tokens_and_another_signs(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let stolen = Contract::ApiAuth.signs_in(&http, &ann).await;
    let opaque = Contract::Api.signs_in(&http, &ann).await;
    let old = kid(&stolen.access);
    // A node's cached verification of a token does not outlive the key.
    verifies(&http, &stolen.access).await;

    let said = keys(&service.settings, &["retire", &old]).await;
    assert!(said.status.success(), "{said:?}");
    eventually("the key is not published any more", async || {
        (!published(&http).await.contains(&old)).then_some(())
    })
    .await;
    is_refused(&http, &stolen.access).await;
    refreshes_nothing(&http, stolen.refresh()).await;
    // No key signed the opaque token.
    verifies(&http, &opaque.access).await;
    let newest = Contract::ApiAuth.signs_in(&http, &ann).await;
    verifies(&http, &newest.access).await;
    assert_ne!(kid(&newest.access), old);

    for (kid, words) in [
        (old.as_str(), "has been retired since"),
        ("../../etc/passwd", "there is no key"),
        ("' OR 1=1 --", "there is no key"),
    ] {
        let refused = keys(&service.settings, &["retire", kid]).await;
        assert!(!refused.status.success());
        assert!(text(&refused).contains(words), "{refused:?}");
    }
    let list = text(&keys(&service.settings, &["list"]).await);
    assert!(line(&list, &old).contains("retired"), "{list}");
}

async fn another_algorithm_takes_over_and_tokens_of_the_former_stay_valid(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let mut service = settings.clone().start().await;
    let ann = Person::called("ann");
    Contract::Users.registers(&service.http(), &ann).await;
    let before = Contract::Users.signs_in(&service.http(), &ann).await;
    assert!(service.terminate().await.success());

    let settings = settings.with("AUTHLOG_JWT_ALGORITHM", "EdDSA");
    let mut service = settings.clone().start().await;
    let http = service.http();
    assert_eq!(published(&http).await.len(), 2);
    verifies(&http, &before.access).await;
    // Other verifiers have not fetched the new key yet.
    let meanwhile = Contract::Users.signs_in(&http, &ann).await;
    assert_eq!(algorithm(&meanwhile.access), "ES256");
    let fast_service = keys(&settings, &["rotate", "--now"]).await;
    assert!(fast_service.status.success(), "{fast_service:?}");
    eventually("tokens are signed with the other algorithm", async || {
        let tokens = Contract::Users.signs_in(&http, &ann).await;
        verifies(&http, &tokens.access).await;
        (algorithm(&tokens.access) == "EdDSA").then_some(())
    })
    .await;
    verifies(&http, &before.access).await;
    assert!(service.terminate().await.success());

    // A shared secret is never published, and this command does not rotate it. The keys of ID tokens are there as well.
    let shared = settings
        .with("AUTHLOG_JWT_ALGORITHM", "HS256")
        .with("AUTHLOG_JWT_SECRET", "0123456789abcdef0123456789abcdef");
    let service = shared.clone().start().await;
    let http = service.http();
    let tokens = Contract::Users.signs_in(&http, &ann).await;
    assert_eq!(token::header(&tokens.access)["alg"], "HS256");
    assert!(!published(&http).await.contains(&kid(&tokens.access)));
    verifies(&http, &tokens.access).await;
    verifies(&http, &before.access).await;
    let refused = keys(&shared, &["rotate"]).await;
    assert!(text(&refused).contains("AUTHLOG_JWT_SECRET"), "{refused:?}");
    let rotated = keys(&shared, &["rotate", "--purpose", "id-token"]).await;
    assert!(rotated.status.success(), "{rotated:?}");
}

async fn keys_of_id_tokens_are_made_for_the_first_client_and_rotate_by_themselves(store: Store) {
    let mut service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    assert!(of_type(&http, "RSA").await.is_empty());
    let first = id_token_key(&service.settings, &http).await;
    let list = text(&keys(&service.settings, &["list"]).await);
    for (kid, purpose) in [(&first, "id-token"), (&kid(&tokens.access), "access")] {
        let line = line(&list, kid);
        assert!(line.contains(purpose) && line.contains("signing"), "{list}");
    }

    let rotated = keys(&service.settings, &["rotate", "--purpose", "id-token"]).await;
    assert!(rotated.status.success(), "{rotated:?}");
    assert_eq!(text(&rotated).matches("id-token").count(), 2, "{rotated:?}");
    let two = eventually("the new key of ID tokens is published", async || {
        Some(of_type(&http, "RSA").await).filter(|keys| keys.len() == 2)
    })
    .await;
    let second = two.into_iter().find(|kid| *kid != first).unwrap();
    // A key of access tokens is published besides, and neither purpose waits for the other.
    let rotated = keys(&service.settings, &["rotate"]).await;
    assert!(rotated.status.success(), "{rotated:?}");
    let list = text(&keys(&service.settings, &["list"]).await);
    assert_eq!(list.matches("signing").count(), 2, "{list}");
    assert_eq!(list.matches("published").count(), 2, "{list}");

    let retired = keys(&service.settings, &["retire", &first]).await;
    assert!(retired.status.success(), "{retired:?}");
    eventually("the retired key is not published any more", async || {
        (of_type(&http, "RSA").await == BTreeSet::from([second.clone()])).then_some(())
    })
    .await;
    verifies(&http, &tokens.access).await;
    assert_eq!(published(&http).await.len(), 2);
    let again = Contract::ApiAuth.signs_in(&http, &ann).await;
    assert_eq!(kid(&again.access), kid(&tokens.access));

    // A restart makes no other key.
    assert!(service.terminate().await.success());
    service.restart().await;
    let http = service.http();
    assert_eq!(of_type(&http, "RSA").await, BTreeSet::from([second]));
}

async fn a_key_of_id_tokens_that_was_removed_is_reported_and_replaced(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let first = id_token_key(&service.settings, &http).await;
    service.settings.execute("DELETE FROM id_token_keys");
    service.has_logged("its row was removed").await;
    eventually("another key of ID tokens is published", async || {
        let keys = of_type(&http, "RSA").await;
        (keys.len() == 1 && !keys.contains(&first)).then_some(())
    })
    .await;
    verifies(&http, &tokens.access).await;
    let list = text(&keys(&service.settings, &["list"]).await);
    assert!(!list.contains("WRONG"), "{list}");
    service
        .settings
        .execute("UPDATE id_token_keys SET signs_until = signs_from WHERE signs_until IS NULL");
    let found = service.settings.run(&["doctor"], "");
    assert!(!found.status.success());
    assert!(
        text(&found).contains("its times are not those with which it was stored"),
        "{found:?}"
    );
}

async fn a_client_asks_for_the_types_of_keys_that_it_reads(store: Store) {
    let service = Settings::on(store)
        .with("AUTHLOG_JWT_ALGORITHM", "EdDSA")
        .start()
        .await;
    let http = service.http();
    id_token_key(&service.settings, &http).await;
    let types = async |query: &str| {
        let answer = http.send(own::KEY_SET).query(query).await;
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
        let keys = answer.json()["keys"].clone();
        let keys = keys.as_array().unwrap().clone();
        let types: Vec<Value> = keys.iter().map(|key| key["kty"].clone()).collect();
        types
    };
    assert_eq!(types("").await, ["OKP", "RSA"]);
    assert_eq!(types("v=1").await, ["OKP", "RSA"]);
    assert_eq!(types("kty=RSA,EC").await, ["RSA"]);
    assert_eq!(types("kty=EC").await, [""; 0]);
    for query in ["kty=", "kty=oct", "kty=rsa", "kty=RSA;EC", "kty=%FF"] {
        let answer = http.send(own::KEY_SET).query(query).await;
        assert_eq!(answer.status, 400, "{query}: {answer}");
        let detail = "kty must be a list of RSA, EC and OKP.";
        assert!(answer.body.contains(detail), "{query}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_start_at_once_make_one_key_of_id_tokens() {
    let [first, second] = Settings::of_two_nodes().map(Settings::with_cheap_hashing);
    let nodes: [Program; 2] = tokio::join!(first.start(), second.start()).into();
    let made = id_token_key(&nodes[0].settings, &nodes[0].http()).await;
    assert_eq!(
        id_token_key(&nodes[1].settings, &nodes[1].http()).await,
        made
    );
    let list = text(&keys(&nodes[0].settings, &["list"]).await);
    assert_eq!(list.matches("id-token").count(), 1, "{list}");
}

/// The default changed from EdDSA to ES256. The setting `EdDSA` writes what an older program wrote by default.
async fn a_database_keeps_its_algorithm_when_the_setting_is_gone(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let former = settings.clone().with("AUTHLOG_JWT_ALGORITHM", "EdDSA");
    let mut service = former.start().await;
    let ann = Person::called("ann");
    Contract::Users.registers(&service.http(), &ann).await;
    let before = Contract::Users.signs_in(&service.http(), &ann).await;
    let key = kid(&before.access);
    assert_eq!(algorithm(&before.access), "EdDSA");
    assert!(service.terminate().await.success());

    let mut service = settings.clone().start().await;
    let http = service.http();
    verifies(&http, &before.access).await;
    assert_eq!(published(&http).await, BTreeSet::from([key.clone()]));
    let after = Contract::Users.signs_in(&http, &ann).await;
    assert_eq!(kid(&after.access), key);
    // The next key has the same algorithm.
    let rotated = keys(&settings, &["rotate", "--now"]).await;
    assert!(rotated.status.success(), "{rotated:?}");
    let rotated = eventually("the new key signs", async || {
        let tokens = Contract::Users.signs_in(&http, &ann).await;
        (kid(&tokens.access) != key).then_some(tokens)
    })
    .await;
    assert_eq!(algorithm(&rotated.access), "EdDSA");
    let retired = keys(&settings, &["retire", &kid(&rotated.access)]).await;
    assert!(retired.status.success(), "{retired:?}");
    assert!(service.terminate().await.success());
    let service = settings.start().await;
    let tokens = Contract::Users.signs_in(&service.http(), &ann).await;
    assert_eq!(algorithm(&tokens.access), "EdDSA");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_the_setting_signs_as_the_others_do() {
    let [first, second] = Settings::of_two_nodes().map(Settings::with_cheap_hashing);
    let one = first.clone().start().await;
    let other = second.clone().start().await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&one.http(), &ann).await;
    let [of_one, of_other] = [
        Contract::ApiAuth.signs_in(&one.http(), &ann).await,
        Contract::ApiAuth.signs_in(&other.http(), &ann).await,
    ];
    assert_eq!(algorithm(&of_one.access), "ES256");
    assert_eq!(kid(&of_one.access), kid(&of_other.access));

    // A node with another algorithm setting publishes a key of it, and the other nodes follow.
    drop(other);
    let other = second.with("AUTHLOG_JWT_ALGORITHM", "RS256").start().await;
    let fast_service = keys(&first, &["rotate", "--now"]).await;
    assert!(fast_service.status.success(), "{fast_service:?}");
    for node in [&one, &other] {
        let http = node.http();
        eventually("the node signs with the other algorithm", async || {
            let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
            (algorithm(&tokens.access) == "RS256").then_some(())
        })
        .await;
    }
    drop(one);
    let one = first.start().await;
    let tokens = Contract::ApiAuth.signs_in(&one.http(), &ann).await;
    assert_eq!(algorithm(&tokens.access), "RS256");
    // One of them, and the first key of access tokens, which has another type.
    assert_eq!(published(&one.http()).await.len(), 1);
    assert_eq!(of_type(&one.http(), "RSA").await.len(), 1);
    verifies(&other.http(), &tokens.access).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_keys_change_no_node_refuses_what_another_signed() {
    let [first, second] = Settings::of_two_nodes().map(Settings::with_cheap_hashing);
    let nodes = [first.start().await, second.start().await];
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&nodes[0].http(), &ann).await;
    let old = Contract::ApiAuth.signs_in(&nodes[0].http(), &ann).await;
    let rotated = keys(&nodes[0].settings, &["rotate", "--now"]).await;
    assert!(rotated.status.success(), "{rotated:?}");
    let current = changes_without_a_refusal(&nodes, &ann, &kid(&old.access)).await;
    for node in &nodes {
        verifies(&node.http(), &old.access).await;
    }
    // A replacement that signs at once, before the other node knows it.
    let retired = keys(&nodes[1].settings, &["retire", &current]).await;
    assert!(retired.status.success(), "{retired:?}");
    changes_without_a_refusal(&nodes, &ann, &current).await;
    for node in &nodes {
        let keys = published(&node.http()).await;
        assert!(!keys.contains(&current), "{keys:?}");
    }
}

/// Signs in on both nodes until both sign with another key than `old`, and asserts that each accepts tokens of the
/// other. Returns the id of the new key.
async fn changes_without_a_refusal(nodes: &[Program; 2], ann: &Person, old: &str) -> String {
    let [first, second] = nodes.each_ref().map(Program::http);
    eventually("both nodes sign with the new key", async || {
        let mut kids = BTreeSet::new();
        for (here, there) in [(&first, &second), (&second, &first)] {
            let Tokens { access, .. } = Contract::ApiAuth.signs_in(here, ann).await;
            let kid = kid(&access);
            if kid != old {
                verifies(there, &access).await;
            }
            kids.insert(kid);
        }
        kids.remove(old);
        (kids.len() == 1).then(|| kids.into_iter().next())?
    })
    .await
}

async fn signs_with(http: &Http, person: &Person, expected: &str) {
    eventually("the new key signs", async || {
        let tokens = Contract::ApiAuth.signs_in(http, person).await;
        verifies(http, &tokens.access).await;
        (kid(&tokens.access) == expected).then_some(())
    })
    .await;
}

/// The ids of the published keys of access tokens, as long as their algorithm is not RS256.
async fn published(http: &Http) -> BTreeSet<String> {
    of_type(http, "EC,OKP").await
}

/// The id of the key of ID tokens, which is made once a client is registered.
async fn id_token_key(settings: &Settings, http: &Http) -> String {
    let uri = ["--redirect-uri", "https://app.example/"];
    let create = [
        &["client", "create", "--id", "app", "--name", "App"][..],
        &uri,
    ]
    .concat();
    // Another call has registered it if this one fails.
    settings.run(&create, "");
    eventually("a key of ID tokens is published", async || {
        of_type(http, "RSA").await.into_iter().next()
    })
    .await
}

/// The ids of the published keys of these types.
async fn of_type(http: &Http, types: &str) -> BTreeSet<String> {
    let query = format!("kty={types}");
    let answer = http.send(own::KEY_SET).query(&query).await;
    let set = answer.json();
    let keys = set["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

fn algorithm(access: &str) -> String {
    token::header(access)["alg"].as_str().unwrap().to_owned()
}

fn kid(access: &str) -> String {
    token::header(access)["kid"].as_str().unwrap().to_owned()
}

/// Dates the key's last signature this many seconds back, as a version without a ledger of signatures would have left
/// it.
fn set_last_signature_ago(settings: &Settings, kid: &str, seconds: i64) {
    let millis = seconds * 1000;
    let ago = if settings.is_sqlite() {
        format!("CAST(strftime('%s', 'now') AS INTEGER) * 1000 - {millis}")
    } else {
        format!("now() - interval '{seconds} s'")
    };
    settings.execute(&format!(
        "BEGIN;
         UPDATE signing_keys SET signs_from = {ago}, signs_until = {ago} WHERE kid = '{kid}';
         DELETE FROM shared_secrets WHERE name = 'signing-key-set';
         COMMIT"
    ));
}

async fn keys(settings: &Settings, arguments: &[&str]) -> Output {
    let settings = settings.clone();
    let arguments: Vec<String> = std::iter::once("keys")
        .chain(arguments.iter().copied())
        .map(str::to_owned)
        .collect();
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        settings.run(&arguments, "")
    });
    running.await.unwrap()
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

#[track_caller]
fn line<'a>(list: &'a str, kid: &str) -> &'a str {
    list.lines().find(|line| line.contains(kid)).unwrap()
}
