//! The keys of access tokens and those of ID tokens: two sets that do not affect each other.

use std::collections::HashSet;

use authlog_infrastructure::Store;
use authlog_infrastructure::sealing::{MasterKey, MasterKeys};
use authlog_infrastructure::tokens::{
    JwtAlgorithm, KeyPurpose, KeyRecord, KeyState, SigningKeys, ensure_signing_key,
    retire_signing_key, rotate_signing_key,
};
use tokio::task::JoinSet;

use super::World;
use super::system::{SystemEntropy, now};

async fn set(store: &dyn Store, purpose: KeyPurpose) -> SigningKeys {
    store.signing_keys(purpose, now()).await.unwrap()
}

/// Makes a key of each purpose, and returns their names.
async fn both(store: &dyn Store) -> [String; 2] {
    let mut kids = vec![];
    for purpose in KeyPurpose::ALL {
        let keys = ensure_signing_key(store, purpose, None, now())
            .await
            .unwrap();
        kids.push(keys[0].kid.clone());
    }
    kids.try_into().unwrap()
}

fn signing(keys: &[KeyRecord]) -> Vec<&str> {
    let signs = |key: &&KeyRecord| key.state(now()) == KeyState::Signing;
    keys.iter().filter(signs).map(|key| &*key.kid).collect()
}

pub async fn each_purpose_has_keys_of_its_own_that_change_by_themselves(world: &impl World) {
    let store = world.store();
    let [access, id_token] = both(&*store).await;
    // A setting is about access tokens.
    let keys = ensure_signing_key(
        &*store,
        KeyPurpose::IdToken,
        Some(JwtAlgorithm::EdDsa),
        now(),
    );
    let keys = keys.await.unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].algorithm, JwtAlgorithm::Rs256);
    // Nodes of the previous version read this table, and find only what they know.
    assert_eq!(world.count("signing_keys").await, 1);

    let numbers = async || {
        let sets = [
            set(&*store, KeyPurpose::Access).await,
            set(&*store, KeyPurpose::IdToken).await,
        ];
        sets.map(|set| set.number)
    };
    let before = numbers().await;
    let rotated = rotate_signing_key(&*store, KeyPurpose::IdToken, None, false, now()).await;
    assert_eq!(rotated.unwrap().len(), 2);
    assert_eq!(numbers().await, [before[0], before[1] + 1]);
    assert_eq!(set(&*store, KeyPurpose::Access).await.keys.len(), 1);
    let (purpose, _) = retire_signing_key(&*store, &access, now()).await.unwrap();
    assert_eq!(purpose, KeyPurpose::Access);
    assert_eq!(numbers().await, [before[0] + 1, before[1] + 1]);
    let of_id_tokens = set(&*world.another_node().await, KeyPurpose::IdToken).await;
    assert_eq!(signing(&of_id_tokens.keys), [&*id_token]);
    let (purpose, _) = retire_signing_key(&*store, &id_token, now()).await.unwrap();
    assert_eq!(purpose, KeyPurpose::IdToken);
    for purpose in KeyPurpose::ALL {
        let found = set(&*store, purpose).await;
        assert_eq!(signing(&found.keys).len(), 1);
        assert_eq!(found.keys.len(), 2);
        assert_eq!(found.faults, []);
    }
}

pub async fn nodes_that_start_at_once_make_one_key_of_id_tokens(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    let mut race = JoinSet::new();
    for runner in 0..6 {
        let store = nodes[runner % 2].clone();
        race.spawn(async move {
            let keys = ensure_signing_key(&*store, KeyPurpose::IdToken, None, now()).await;
            keys.unwrap().remove(0).kid
        });
    }
    let kids: HashSet<_> = race.join_all().await.into_iter().collect();
    assert_eq!(kids.len(), 1);
    assert_eq!(world.count("id_token_keys").await, 1);
}

pub async fn a_key_of_id_tokens_that_was_changed_or_removed_is_a_fault_and_another_is_made(
    world: &impl World,
) {
    let store = world.store();
    let [access, _] = both(&*store).await;
    for (damage, detail) in [
        (
            "UPDATE id_token_keys SET sealed = (SELECT sealed FROM signing_keys) WHERE signs_until IS NULL",
            "its private half cannot be opened",
        ),
        (
            "DELETE FROM id_token_keys WHERE signs_until IS NULL",
            "its row was removed",
        ),
        // No version has stored such keys without a ledger, so keys without one are not believed.
        (
            "DELETE FROM shared_secrets WHERE name = 'id-token-key-set'",
            "it was not stored by this service",
        ),
        (
            "UPDATE id_token_keys SET signs_until = signs_from WHERE signs_until IS NULL",
            "its times are not those with which it was stored",
        ),
    ] {
        world.execute(damage).await;
        let faults = set(&*store, KeyPurpose::IdToken).await.faults;
        assert!(!faults.is_empty(), "{damage}");
        let named = faults.iter().filter(|fault| fault.detail == detail);
        assert!(named.count() >= 1, "{damage}: {faults:?}");
        let keys = ensure_signing_key(&*store, KeyPurpose::IdToken, None, now()).await;
        assert_eq!(signing(&keys.unwrap()).len(), 1, "{damage}");
        let of_access = set(&*store, KeyPurpose::Access).await;
        assert_eq!(of_access.faults, [], "{damage}");
        assert_eq!(signing(&of_access.keys), [&*access], "{damage}");
    }
}

/// An attacker moves a row to the other table, and removes the ledger, so that it seems to be a change of an older version.
pub async fn a_key_of_one_purpose_is_not_accepted_for_the_other(world: &impl World) {
    let store = world.store();
    let [access, id_token] = both(&*store).await;
    for sql in [
        "DELETE FROM signing_keys",
        "INSERT INTO signing_keys SELECT * FROM id_token_keys",
        "DELETE FROM shared_secrets WHERE name = 'signing-key-set'",
    ] {
        world.execute(sql).await;
    }
    let found = set(&*store, KeyPurpose::Access).await;
    assert_eq!(found.faults.len(), 1);
    assert_eq!(found.faults[0].kid, id_token);
    assert!(found.keys.is_empty());
    let keys = ensure_signing_key(&*store, KeyPurpose::Access, None, now()).await;
    let keys = keys.unwrap();
    assert_eq!(keys.len(), 1);
    assert!(keys[0].kid != id_token && keys[0].kid != access);
    assert_eq!(set(&*store, KeyPurpose::IdToken).await.faults, []);
}

pub async fn a_replaced_master_key_opens_no_key_of_id_tokens(world: &impl World) {
    let store = world.store();
    let [_, kid] = both(&*store).await;
    let new = MasterKey::generate(&SystemEntropy);
    let keys = MasterKeys::of_rotation(world.master(), new.clone());
    let both = world.open_with(keys).await.unwrap();
    both.begin_rotation().await.unwrap();
    while both.rewrap_after(None, 10).await.unwrap().is_some() {}
    both.finish_rotation().await.unwrap();
    let old = store.signing_keys(KeyPurpose::IdToken, now()).await;
    assert!(old.is_err());
    let opened = world.open_with(new.into()).await.unwrap();
    let found = set(&*opened, KeyPurpose::IdToken).await;
    assert_eq!(found.faults, []);
    assert_eq!(signing(&found.keys), [&*kid]);
    assert!(found.keys[0].private.is_some());
}
