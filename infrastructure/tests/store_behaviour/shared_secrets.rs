//! Secrets that all nodes of a store have in common.

use std::collections::HashSet;

use authlog_infrastructure::OpenError;
use authlog_infrastructure::sealing::MasterKey;
use tokio::task::JoinSet;

use super::World;
use super::system::SystemEntropy;

pub async fn a_shared_secret_is_the_same_on_every_node(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    let mut race = JoinSet::new();
    for runner in 0..20_u8 {
        let store = nodes[usize::from(runner) % nodes.len()].clone();
        race.spawn(async move {
            let secret = store.shared_secret("signing-key", &[runner; 48]).await;
            secret.unwrap().to_vec()
        });
    }
    let secrets: HashSet<_> = race.join_all().await.into_iter().collect();
    assert_eq!(secrets.len(), 1);
    let late = world.another_node().await;
    let again = late.shared_secret("signing-key", &[99; 48]).await.unwrap();
    assert!(secrets.contains(again.as_slice()));
    let other = late.shared_secret("another", &[98; 16]).await.unwrap();
    assert_eq!(other.as_slice(), [98; 16]);
}

pub async fn a_shared_secret_is_sealed(world: &impl World) {
    let store = world.store();
    let made = store.shared_secret("first", &[1; 32]).await.unwrap();
    assert_eq!(made.as_slice(), [1; 32]);
    store.shared_secret("second", &[2; 32]).await.unwrap();
    // Each secret is sealed for its own name, so one cannot replace the other.
    world
        .execute(
            "UPDATE shared_secrets
             SET sealed = (SELECT sealed FROM shared_secrets WHERE name = 'second')
             WHERE name = 'first'",
        )
        .await;
    assert!(store.shared_secret("first", &[3; 32]).await.is_err());
}

pub async fn a_store_does_not_open_under_another_master_key(world: &impl World) {
    let another = MasterKey::generate(&SystemEntropy);
    let outcome = world.open_with(another.into()).await.map(drop);
    assert!(
        matches!(outcome, Err(OpenError::WrongMasterKey)),
        "{outcome:?}"
    );
}
