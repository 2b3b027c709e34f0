//! Limits for readers of the log: no account and no client may have too many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use authlog_application::Actor;

/// How many readers of the log a node serves at a time. Each may hold a page of events in memory.
const READERS: usize = 1000;

/// How many of them may be of one account or client: enough for every instance of a large service, and there is room for ten
/// services.
const READERS_OF_AN_ACTOR: usize = READERS / 10;

/// Why a reader is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// The account or the client has as many readers as one may have.
    Actor,
    /// The node has as many readers as it serves.
    Node,
}

/// The number of readers, by account and by client.
#[derive(Default)]
pub(crate) struct ReaderPlaces(Mutex<ReaderCounts>);

#[derive(Default)]
struct ReaderCounts {
    total: usize,
    by_actor: HashMap<Actor, usize>,
}

impl ReaderPlaces {
    /// Takes a place for a reader.
    ///
    /// # Errors
    /// The actor or the node has too many readers.
    pub fn take(self: &Arc<Self>, actor: &Actor) -> Result<ReaderPlace, NoPlace> {
        let mut held = self.lock();
        let of_actor = held.by_actor.get(actor).copied().unwrap_or(0);
        if of_actor >= READERS_OF_AN_ACTOR {
            return Err(NoPlace::Actor);
        }
        if held.total >= READERS {
            return Err(NoPlace::Node);
        }
        held.total += 1;
        held.by_actor.insert(actor.clone(), of_actor + 1);
        drop(held);
        Ok(ReaderPlace {
            places: Arc::clone(self),
            actor: actor.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, ReaderCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a reader, which is free again when this is dropped.
pub(crate) struct ReaderPlace {
    places: Arc<ReaderPlaces>,
    actor: Actor,
}

impl Drop for ReaderPlace {
    fn drop(&mut self) {
        let mut held = self.places.lock();
        held.total -= 1;
        if let Some(of_actor) = held.by_actor.get_mut(&self.actor) {
            *of_actor -= 1;
            if *of_actor == 0 {
                held.by_actor.remove(&self.actor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use authlog_domain::{ClientId, UserId};
    use uuid::Uuid;

    #[test]
    fn an_account_or_a_client_has_a_tenth_of_the_places_and_returns_them() {
        let places = Arc::new(ReaderPlaces::default());
        let actor = |number: u128| match number {
            0 => Actor::Client(ClientId::from_stored("consumer")),
            _ => Actor::Account(UserId::new(Uuid::from_u128(number))),
        };
        let mut held = Vec::new();
        for number in 0..10 {
            for _ in 0..100 {
                held.push(places.take(&actor(number)).ok().unwrap());
            }
            assert_eq!(places.take(&actor(number)).err(), Some(NoPlace::Actor));
        }
        assert_eq!(places.take(&actor(10)).err(), Some(NoPlace::Node));
        held.pop();
        assert!(places.take(&actor(9)).is_ok());
        drop(held);
        assert_eq!(places.lock().total, 0);
        assert!(places.lock().by_actor.is_empty());
    }
}
