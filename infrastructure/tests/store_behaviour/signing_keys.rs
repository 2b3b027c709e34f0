//! The keys that sign tokens.

use std::collections::HashSet;

use authlog_infrastructure::Store;
use authlog_infrastructure::sealing::{MasterKey, MasterKeys};
use authlog_infrastructure::tokens::{
    JwtAlgorithm, KeyPurpose, KeyRecord, KeyState, SigningKey, ensure_signing_key,
    retire_signing_key, rotate_signing_key,
};
use tokio::task::JoinSet;

use super::World;
use super::system::{SystemEntropy, now};

const ALGORITHM: JwtAlgorithm = JwtAlgorithm::EdDsa;

async fn keys_of(store: &dyn Store) -> Vec<KeyRecord> {
    store
        .signing_keys(KeyPurpose::Access, now())
        .await
        .unwrap()
        .keys
}

/// The parts of a key that can be compared.
fn comparable(key: &KeyRecord) -> impl PartialEq + std::fmt::Debug + use<> {
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
        ensure_signing_key(&*store, KeyPurpose::Access, Some(algorithm), now())
            .await
            .unwrap();
    }
    let here = keys_of(&*store).await;
    let there = keys_of(&*world.another_node().await).await;
    assert_eq!(here.len(), 3);
    let comparable = |keys: &[KeyRecord]| keys.iter().map(comparable).collect::<Vec<_>>();
    assert_eq!(comparable(&here), comparable(&there));
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
            let keys = ensure_signing_key(&*store, KeyPurpose::Access, Some(ALGORITHM), now())
                .await
                .unwrap();
            assert_eq!(keys.len(), 1);
            keys[0].kid.clone()
        });
    }
    let kids: HashSet<_> = race.join_all().await.into_iter().collect();
    assert_eq!(kids.len(), 1);
    assert_eq!(world.count("signing_keys").await, 1);
}

pub async fn of_concurrent_key_changes_one_succeeds(world: &impl World) {
    let store = world.store();
    ensure_signing_key(&*store, KeyPurpose::Access, Some(ALGORITHM), now())
        .await
        .unwrap();
    let mut race = JoinSet::new();
    for _ in 0..10 {
        let store = world.store();
        race.spawn(async move {
            rotate_signing_key(&*store, KeyPurpose::Access, Some(ALGORITHM), false, now()).await
        });
    }
    let made = race.join_all().await;
    assert_eq!(made.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let stored = store.signing_keys(KeyPurpose::Access, now()).await.unwrap();
    let (keys, number) = (stored.keys, stored.number);
    assert_eq!(keys.len(), 2);
    // A node that has not seen the last change cannot make another.
    let change = async |after, keys: &[KeyRecord]| {
        let change = store
            .change_signing_keys(KeyPurpose::Access, after, keys, &[], now())
            .await;
        change.unwrap()
    };
    assert!(!change(number - 1, &keys).await);
    assert!(change(number, &[]).await);
}

pub async fn a_private_key_is_sealed_for_its_key_id(world: &impl World) {
    let store = world.store();
    ensure_signing_key(&*store, KeyPurpose::Access, Some(ALGORITHM), now())
        .await
        .unwrap();
    let changed =
        rotate_signing_key(&*store, KeyPurpose::Access, Some(ALGORITHM), false, now()).await;
    let newest = changed.unwrap().pop().unwrap();
    world
        .execute(&format!(
            "UPDATE signing_keys SET sealed = (SELECT sealed FROM signing_keys WHERE kid <> '{0}')
             WHERE kid = '{0}'",
            newest.kid
        ))
        .await;
    let found = store.signing_keys(KeyPurpose::Access, now()).await.unwrap();
    assert_eq!(found.faults.len(), 1);
    assert_eq!(found.faults[0].kid, newest.kid);
    let usable = found.keys.iter().filter(|key| key.private.is_some());
    assert!(usable.clone().all(|key| key.kid != newest.kid));
    assert_eq!(usable.count(), 1);
}

/// The rows as they are, to be put back.
async fn copy_of_keys(world: &impl World) {
    world
        .execute("CREATE TABLE copied_keys AS SELECT * FROM signing_keys")
        .await;
}

async fn put_keys_back(world: &impl World) {
    world.execute("DELETE FROM signing_keys").await;
    world
        .execute("INSERT INTO signing_keys SELECT * FROM copied_keys")
        .await;
}

pub async fn an_old_row_does_not_bring_a_retired_key_back(world: &impl World) {
    let store = world.store();
    let first = ensure_signing_key(&*store, KeyPurpose::Access, Some(ALGORITHM), now())
        .await
        .unwrap();
    let kid = first[0].kid.as_str();
    copy_of_keys(world).await;
    let (_, changed) = retire_signing_key(&*store, kid, now()).await.unwrap();
    let successor = changed.last().unwrap().kid.as_str();
    put_keys_back(world).await;
    for node in [store, world.another_node().await] {
        let found = node.signing_keys(KeyPurpose::Access, now()).await.unwrap();
        let named: HashSet<_> = found.faults.iter().map(|fault| &*fault.kid).collect();
        assert_eq!(named, HashSet::from([kid, successor]));
        let is_retired = |key: &KeyRecord| key.state(now()) == KeyState::Retired;
        assert!(found.keys.iter().all(is_retired));
        let key = found.keys.iter().find(|key| key.kid == kid).unwrap();
        assert_eq!(key.state(now()), KeyState::Retired);
        assert!(key.private.is_none());
    }
    // A successor signs, although its row was removed.
    let store = world.store();
    let keys = ensure_signing_key(&*store, KeyPurpose::Access, Some(ALGORITHM), now())
        .await
        .unwrap();
    let signs = |key: &&KeyRecord| key.state(now()) == KeyState::Signing;
    assert_ne!(keys.iter().find(signs).unwrap().kid, kid);
    assert_eq!(
        store
            .signing_keys(KeyPurpose::Access, now())
            .await
            .unwrap()
            .faults,
        []
    );
}

pub async fn a_program_remembers_a_retirement_when_the_whole_set_is_put_back(world: &impl World) {
    let store = world.store();
    let first = ensure_signing_key(&*store, KeyPurpose::Access, Some(ALGORITHM), now())
        .await
        .unwrap();
    let kid = first[0].kid.as_str();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("retired-keys");
    store.keep_retired_keys_in(file.clone()).unwrap();
    copy_of_keys(world).await;
    world
        .execute("CREATE TABLE copied_ledger AS SELECT * FROM shared_secrets WHERE name = 'signing-key-set'")
        .await;
    world
        .execute("CREATE TABLE copied_changes AS SELECT * FROM signing_key_changes")
        .await;
    retire_signing_key(&*store, kid, now()).await.unwrap();
    keys_of(&*store).await;
    put_keys_back(world).await;
    for sql in [
        "DELETE FROM shared_secrets WHERE name = 'signing-key-set'",
        "INSERT INTO shared_secrets SELECT * FROM copied_ledger",
        "UPDATE signing_key_changes SET number = (SELECT number FROM copied_changes)",
    ] {
        world.execute(sql).await;
    }
    let restarted = world.another_node().await;
    restarted.keep_retired_keys_in(file).unwrap();
    for node in [store, restarted] {
        let found = node.signing_keys(KeyPurpose::Access, now()).await.unwrap();
        assert_eq!(found.faults.len(), 1);
        assert_eq!(found.keys[0].state(now()), KeyState::Retired);
        assert!(found.keys[0].private.is_none());
    }
}

pub async fn unusable_key_rows_are_left_out_and_can_be_removed(world: &impl World) {
    let store = world.store();
    let first = ensure_signing_key(&*store, KeyPurpose::Access, Some(ALGORITHM), now())
        .await
        .unwrap();
    world
        .execute_own(
            "INSERT INTO signing_keys VALUES ('far', 'EdDSA', 0, 9223372036854775807, NULL, x'00'),
                ('odd', 'x', 0, 0, NULL, NULL), ('new', 'EdDSA', 0, 0, NULL, NULL)",
            r"INSERT INTO signing_keys VALUES ('far', 'EdDSA', now(), 'infinity', NULL, '\x00'),
                ('odd', 'x', now(), now(), NULL, NULL), ('new', 'EdDSA', now(), now(), NULL, NULL)",
        )
        .await;
    let found = store.signing_keys(KeyPurpose::Access, now()).await.unwrap();
    let kids: HashSet<_> = found.faults.iter().map(|fault| &*fault.kid).collect();
    assert_eq!(kids, HashSet::from(["far", "odd", "new"]));
    assert_eq!(found.keys.len(), 1);
    for kid in ["far", "odd", "new"] {
        retire_signing_key(&*store, kid, now()).await.unwrap();
    }
    let found = store.signing_keys(KeyPurpose::Access, now()).await.unwrap();
    assert_eq!(found.faults, []);
    assert_eq!(found.keys[0].kid, first[0].kid);
    assert_eq!(world.count("signing_keys").await, 1);
}

/// During a rolling upgrade, nodes of a version without a ledger serve for a while.
pub async fn key_changes_of_an_older_node_are_accepted_during_an_upgrade(world: &impl World) {
    let store = world.store();
    let first = ensure_signing_key(&*store, KeyPurpose::Access, Some(ALGORITHM), now())
        .await
        .unwrap();
    let kid = first[0].kid.as_str();
    world
        .execute(&format!(
            "UPDATE signing_keys SET retired_at = signs_from, signs_until = signs_from, sealed = NULL
             WHERE kid = '{kid}'"
        ))
        .await;
    world
        .execute("UPDATE signing_key_changes SET number = number + 1")
        .await;
    let found = store.signing_keys(KeyPurpose::Access, now()).await.unwrap();
    assert!(found.is_unconfirmed);
    assert_eq!(found.keys[0].state(now()), KeyState::Retired);
    ensure_signing_key(&*store, KeyPurpose::Access, Some(ALGORITHM), now())
        .await
        .unwrap();
    let found = store.signing_keys(KeyPurpose::Access, now()).await.unwrap();
    assert!(!found.is_unconfirmed);
    assert_eq!(found.faults, []);
    // After the upgrade such a change is not accepted, and the ledger decides.
    world
        .execute("UPDATE signing_key_changes SET number = number + 1")
        .await;
    world
        .execute("UPDATE signing_keys SET signs_until = signs_from WHERE retired_at IS NULL")
        .await;
    let later = now().plus(std::time::Duration::from_secs(2 * 60 * 60));
    let found = store.signing_keys(KeyPurpose::Access, later).await.unwrap();
    let signs = found
        .keys
        .iter()
        .find(|key| key.state(later) == KeyState::Signing);
    assert!(signs.is_some_and(|key| key.signs_until.is_none()));
    assert_eq!(found.faults.len(), 1);
}

pub async fn the_private_half_of_a_retired_key_is_deleted(world: &impl World) {
    let store = world.store();
    let first = ensure_signing_key(&*store, KeyPurpose::Access, Some(ALGORITHM), now())
        .await
        .unwrap();
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

/// Earlier versions stored one key for each algorithm as a shared secret.
pub async fn keys_of_an_earlier_version_are_migrated(world: &impl World) {
    let store = world.store();
    let [ed, rsa] =
        [ALGORITHM, JwtAlgorithm::Rs256].map(|algorithm| SigningKey::generate(algorithm).unwrap());
    for key in [&ed, &rsa] {
        let name = format!("signing-key/{}", key.algorithm());
        store.shared_secret(&name, &key.to_stored()).await.unwrap();
    }
    let keys = ensure_signing_key(&*store, KeyPurpose::Access, Some(ALGORITHM), now())
        .await
        .unwrap();
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

/// ES256 is the default of a store without keys. Which algorithm a store has is decided by its keys, not by the program.
pub async fn a_store_keeps_the_algorithm_of_its_keys_unless_a_setting_names_another(
    world: &impl World,
) {
    let store = world.store();
    let ed = SigningKey::generate(JwtAlgorithm::EdDsa).unwrap();
    let name = "signing-key/EdDSA";
    store.shared_secret(name, &ed.to_stored()).await.unwrap();
    let rsa = SigningKey::generate(JwtAlgorithm::Rs256).unwrap();
    let name = "signing-key/RS256";
    store.shared_secret(name, &rsa.to_stored()).await.unwrap();
    let signing = |keys: &[KeyRecord]| {
        let mut signing = keys
            .iter()
            .filter(|key| key.state(now()) == KeyState::Signing);
        (signing.next().unwrap().clone(), signing.count())
    };
    for node in [store.clone(), world.another_node().await, store.clone()] {
        let keys = ensure_signing_key(&*node, KeyPurpose::Access, None, now())
            .await
            .unwrap();
        assert_eq!(keys.len(), 2);
        let (key, others) = signing(&keys);
        assert_eq!((&*key.kid, others), (ed.kid(), 0));
    }
    let changed = rotate_signing_key(&*store, KeyPurpose::Access, None, true, now())
        .await
        .unwrap();
    assert_eq!(changed.last().unwrap().algorithm, JwtAlgorithm::EdDsa);
    // A setting that is taken back changes nothing either.
    let es256 = Some(JwtAlgorithm::Es256);
    let keys = ensure_signing_key(&*store, KeyPurpose::Access, es256, now())
        .await
        .unwrap();
    let count = keys.len();
    for wanted in [None, es256, None] {
        let keys = ensure_signing_key(&*store, KeyPurpose::Access, wanted, now())
            .await
            .unwrap();
        assert_eq!(keys.len(), count);
        let newest = keys.iter().find(|key| key.signs_until.is_none()).unwrap();
        assert_eq!(newest.algorithm, JwtAlgorithm::Es256);
    }
}

pub async fn a_new_store_signs_with_es256_on_every_node(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    let mut race = JoinSet::new();
    for runner in 0..10 {
        let store = nodes[runner % 2].clone();
        race.spawn(async move {
            ensure_signing_key(&*store, KeyPurpose::Access, None, now())
                .await
                .unwrap()
        });
    }
    for keys in race.join_all().await {
        assert_eq!(keys.len(), 1);
        assert_eq!(keys[0].algorithm, JwtAlgorithm::Es256);
    }
    assert_eq!(world.count("signing_keys").await, 1);
}

pub async fn a_replaced_master_key_opens_no_signing_key(world: &impl World) {
    let store = world.store();
    let before = ensure_signing_key(&*store, KeyPurpose::Access, Some(ALGORITHM), now())
        .await
        .unwrap();
    let new = MasterKey::generate(&SystemEntropy);
    let keys = MasterKeys::of_rotation(world.master(), new.clone());
    let both = world.open_with(keys).await.unwrap();
    both.begin_rotation().await.unwrap();
    // The old node does not seal under a key that is being replaced.
    let refused =
        rotate_signing_key(&*store, KeyPurpose::Access, Some(ALGORITHM), false, now()).await;
    assert!(refused.is_err());
    let meanwhile =
        rotate_signing_key(&*both, KeyPurpose::Access, Some(ALGORITHM), false, now()).await;
    meanwhile.unwrap();
    while both.rewrap_after(None, 10).await.unwrap().is_some() {}
    both.finish_rotation().await.unwrap();
    assert!(store.signing_keys(KeyPurpose::Access, now()).await.is_err());
    let opened = world.open_with(new.into()).await.unwrap();
    let after = keys_of(&*opened).await;
    assert_eq!(after.len(), 2);
    assert_eq!(
        after[0].private.as_deref().map(Vec::as_slice),
        before[0].private.as_deref().map(Vec::as_slice)
    );
}
