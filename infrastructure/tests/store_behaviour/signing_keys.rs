//! The keys that sign tokens.

use std::collections::HashSet;

use authlog_infrastructure::Store;
use authlog_infrastructure::sealing::{MasterKey, MasterKeys};
use authlog_infrastructure::tokens::{
    JwtAlgorithm, KeyRecord, KeyState, SigningKey, keep_signing_key, retire_signing_key,
    rotate_signing_key,
};
use tokio::task::JoinSet;

use super::World;
use super::system::{SystemEntropy, now};

const ALGORITHM: JwtAlgorithm = JwtAlgorithm::EdDsa;

async fn keys_of(store: &dyn Store) -> Vec<KeyRecord> {
    store.signing_keys().await.unwrap().0
}

/// What can be told of a key.
fn told(key: &KeyRecord) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        key.kid.clone(),
        key.algorithm,
        [Some(key.signs_from), key.signs_until, key.retired_at],
        key.private.as_ref().map(|private| private.to_vec()),
    )
}

pub async fn a_key_is_read_back_as_it_was_written_on_every_node(world: &impl World) {
    let store = world.store();
    assert!(keys_of(&*store).await.is_empty());
    for algorithm in [
        JwtAlgorithm::EdDsa,
        JwtAlgorithm::Es256,
        JwtAlgorithm::Rs256,
    ] {
        keep_signing_key(&*store, algorithm, now()).await.unwrap();
    }
    let here = keys_of(&*store).await;
    let there = keys_of(&*world.another_node().await).await;
    assert_eq!(here.len(), 3);
    let told = |keys: &[KeyRecord]| keys.iter().map(told).collect::<Vec<_>>();
    assert_eq!(told(&here), told(&there));
    for key in here.iter().filter(|key| key.private.is_some()) {
        let read = SigningKey::from_stored(key.algorithm, key.private.as_ref().unwrap()).unwrap();
        assert_eq!(read.kid(), key.kid);
    }
}

pub async fn nodes_that_start_at_once_make_one_key(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    let mut race = JoinSet::new();
    for runner in 0..20 {
        let store = nodes[runner % 2].clone();
        race.spawn(async move {
            let keys = keep_signing_key(&*store, ALGORITHM, now()).await.unwrap();
            assert_eq!(keys.len(), 1);
            keys[0].kid.clone()
        });
    }
    let kids: HashSet<_> = race.join_all().await.into_iter().collect();
    assert_eq!(kids.len(), 1);
    assert_eq!(world.count("signing_keys").await, 1);
}

pub async fn of_changes_that_race_one_is_made(world: &impl World) {
    let store = world.store();
    keep_signing_key(&*store, ALGORITHM, now()).await.unwrap();
    let mut race = JoinSet::new();
    for _ in 0..10 {
        let store = world.store();
        race.spawn(async move { rotate_signing_key(&*store, ALGORITHM, false, now()).await });
    }
    let made = race.join_all().await;
    assert_eq!(made.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let (keys, number) = store.signing_keys().await.unwrap();
    assert_eq!(keys.len(), 2);
    // Whoever has not seen the last change changes nothing.
    let before = store.change_signing_keys(number - 1, &keys).await.unwrap();
    assert!(!before);
    assert!(store.change_signing_keys(number, &[]).await.unwrap());
}

pub async fn a_private_key_is_sealed_for_its_name(world: &impl World) {
    let store = world.store();
    keep_signing_key(&*store, ALGORITHM, now()).await.unwrap();
    let changed = rotate_signing_key(&*store, ALGORITHM, false, now()).await;
    let newest = changed.unwrap().pop().unwrap();
    world
        .execute(&format!(
            "UPDATE signing_keys SET sealed = (SELECT sealed FROM signing_keys WHERE kid <> '{0}')
             WHERE kid = '{0}'",
            newest.kid
        ))
        .await;
    assert!(store.signing_keys().await.is_err());
}

pub async fn nothing_is_left_of_a_key_that_was_retired(world: &impl World) {
    let store = world.store();
    let first = keep_signing_key(&*store, ALGORITHM, now()).await.unwrap();
    retire_signing_key(&*store, &first[0].kid, now())
        .await
        .unwrap();
    let keys = keys_of(&*world.another_node().await).await;
    let states: Vec<_> = keys.iter().map(|key| key.state(now())).collect();
    assert_eq!(states, [KeyState::Retired, KeyState::Signing]);
    assert!(keys[0].private.is_none());
    world
        .execute("DELETE FROM signing_keys WHERE sealed IS NOT NULL")
        .await;
    assert_eq!(world.count("signing_keys").await, 1);
}

/// They were kept one by one for each algorithm before there was a set of them.
pub async fn keys_of_an_earlier_version_become_the_set(world: &impl World) {
    let store = world.store();
    let [ed, rsa] =
        [ALGORITHM, JwtAlgorithm::Rs256].map(|algorithm| SigningKey::generate(algorithm).unwrap());
    for key in [&ed, &rsa] {
        let name = format!("signing-key/{}", key.algorithm());
        store.shared_secret(&name, &key.to_stored()).await.unwrap();
    }
    let keys = keep_signing_key(&*store, ALGORITHM, now()).await.unwrap();
    assert_eq!(keys.len(), 2);
    for key in keys {
        let signs = key.kid == ed.kid();
        let state = key.state(now());
        assert!(signs || key.kid == rsa.kid());
        assert_eq!(state == KeyState::Signing, signs, "{state:?}");
    }
    // Nothing of them is left where they were.
    let former = store.find_shared_secret("signing-key/EdDSA").await.unwrap();
    assert!(former.is_none());
}

pub async fn a_replaced_master_key_opens_no_signing_key(world: &impl World) {
    let store = world.store();
    let before = keep_signing_key(&*store, ALGORITHM, now()).await.unwrap();
    let new = MasterKey::generate(&SystemEntropy);
    let keys = MasterKeys::of_rotation(world.master(), new.clone());
    let both = world.open_with(keys).await.unwrap();
    both.begin_rotation().await.unwrap();
    // The old node does not seal under a key that is being replaced.
    let refused = rotate_signing_key(&*store, ALGORITHM, false, now()).await;
    assert!(refused.is_err());
    let meanwhile = rotate_signing_key(&*both, ALGORITHM, false, now()).await;
    meanwhile.unwrap();
    while both.rewrap_after(None, 10).await.unwrap().is_some() {}
    both.finish_rotation().await.unwrap();
    assert!(store.signing_keys().await.is_err());
    let opened = world.open_with(new.into()).await.unwrap();
    let after = keys_of(&*opened).await;
    assert_eq!(after.len(), 2);
    assert_eq!(
        after[0].private.as_deref().map(Vec::as_slice),
        before[0].private.as_deref().map(Vec::as_slice)
    );
}
