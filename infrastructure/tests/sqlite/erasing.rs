//! What an erasure leaves in the files: nothing, however the pages of the database were split and merged before.

use std::sync::Arc;

use authlog_infrastructure::Store;
use tokio::task::JoinSet;

use super::{SqliteWorld, open};
use crate::store_behaviour::World;
use crate::store_behaviour::people::Person;
use crate::store_behaviour::system::Seeded;

impl SqliteWorld {
    /// Everything that is in the files.
    fn bytes(&self) -> Vec<u8> {
        let wal = format!("{}-wal", self.path().display());
        let mut bytes = std::fs::read(self.path()).unwrap();
        bytes.extend(std::fs::read(wal).unwrap_or_default());
        bytes
    }

    /// Those of these people whose names are somewhere in the files.
    fn found<'a>(&self, people: &[&'a Person]) -> Vec<&'a str> {
        let bytes = self.bytes();
        let text = String::from_utf8_lossy(&bytes);
        let names = people.iter().map(|person| person.name.as_str());
        names.filter(|name| text.contains(name)).collect()
    }
}

async fn register(store: &Arc<dyn Store>, people: &[Person]) {
    let mut coming = JoinSet::new();
    for person in people {
        let (store, person) = (Arc::clone(store), person.clone());
        coming.spawn(async move { person.registers(&*store).await });
    }
    coming.join_all().await;
}

/// Ids are random here, so that pages are split in the middle; names differ in length, so that rows do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_erased_among_many_is_left_in_no_page() {
    let world = open().await;
    let store = world.store();
    let mut random = Seeded(7);
    let people: Vec<_> = (0..300)
        .map(|number| {
            let more = "x".repeat(random.below(40) as usize);
            Person::called(&format!("wombat{number:04}y{more}"))
        })
        .collect();
    for group in people.chunks(150) {
        register(&store, group).await;
    }
    let (erased, others): (Vec<_>, Vec<_>) = people.iter().partition(|_| random.below(3) == 0);
    assert_eq!(world.found(&erased).len(), erased.len());
    for person in &erased {
        person.erases_account(&*store).await;
    }
    assert_eq!(world.found(&erased), Vec::<&str>::new());
    assert_eq!(world.found(&others).len(), others.len());
}
