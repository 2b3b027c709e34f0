//! Limits for requests that read a page of a history: no account and no client may have more than a few at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use authlog_application::Actor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::NoPlace;

/// How many pages a node reads at a time: fewer than a pool has connections, so that other requests find a free
/// connection.
const PAGES: usize = 8;

/// How many of them may be for one account or client: one that is read from the store and one that is serialised.
const PAGES_OF_AN_ACTOR: usize = 2;

/// How long a request waits for a place before it is refused.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// The places, by account and by client.
pub(crate) struct PagePlaces {
    node: Arc<Semaphore>,
    actors: Mutex<HashMap<Actor, Arc<Semaphore>>>,
}

impl Default for PagePlaces {
    fn default() -> Self {
        Self {
            node: Arc::new(Semaphore::new(PAGES)),
            actors: Mutex::default(),
        }
    }
}

impl PagePlaces {
    /// Takes a place for a request. Requests are served in the order of arrival.
    ///
    /// # Errors
    /// No place became free in time.
    pub async fn take(self: &Arc<Self>, actor: Actor) -> Result<PagePlace, NoPlace> {
        let deadline = Instant::now() + MAX_WAIT;
        let turn = Turn::of(self, actor);
        let of_actor = acquired(&turn.places_of_actor, deadline).await;
        let of_actor = of_actor.ok_or(NoPlace::Actor)?;
        let of_node = acquired(&self.node, deadline).await.ok_or(NoPlace::Node)?;
        Ok(PagePlace {
            _of_node: of_node,
            _of_actor: of_actor,
            _turn: turn,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Actor, Arc<Semaphore>>> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn acquired(places: &Arc<Semaphore>, deadline: Instant) -> Option<OwnedSemaphorePermit> {
    let place = timeout_at(deadline, Arc::clone(places).acquire_owned());
    place.await.ok()?.ok()
}

/// A place, which is free again when this is dropped.
pub(crate) struct PagePlace {
    _of_node: OwnedSemaphorePermit,
    _of_actor: OwnedSemaphorePermit,
    /// Dropped last: it then checks whether another request uses the places of the actor.
    _turn: Turn,
}

/// A request that has a place of its actor or waits for one.
struct Turn {
    places: Arc<PagePlaces>,
    actor: Actor,
    places_of_actor: Arc<Semaphore>,
}

impl Turn {
    fn of(places: &Arc<PagePlaces>, actor: Actor) -> Self {
        let mut actors = places.lock();
        let of_actor = actors
            .entry(actor.clone())
            .or_insert_with(|| Arc::new(Semaphore::new(PAGES_OF_AN_ACTOR)));
        Self {
            places: Arc::clone(places),
            actor,
            places_of_actor: Arc::clone(of_actor),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut actors = self.places.lock();
        // One reference is in the map and one is here.
        if Arc::strong_count(&self.places_of_actor) <= 2 {
            actors.remove(&self.actor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use authlog_domain::UserId;
    use uuid::Uuid;

    fn account(number: u128) -> Actor {
        Actor::Account(UserId::new(Uuid::from_u128(number)))
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_reads_two_pages_at_a_time_and_a_node_eight() {
        let places = Arc::new(PagePlaces::default());
        let mut held = Vec::new();
        for number in 0..4 {
            for _ in 0..2 {
                held.push(places.take(account(number)).await.ok().unwrap());
            }
            let third = places.take(account(number)).await.err();
            assert_eq!(third, Some(NoPlace::Actor));
        }
        assert_eq!(places.take(account(4)).await.err(), Some(NoPlace::Node));
        held.pop();
        assert!(places.take(account(4)).await.is_ok());
        drop(held);
        assert_eq!(places.node.available_permits(), PAGES);
        assert!(places.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_a_place_and_leaves_nothing_when_it_is_cancelled() {
        let places = Arc::new(PagePlaces::default());
        let first = places.take(account(1)).await.ok().unwrap();
        let second = places.take(account(1)).await.ok().unwrap();
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take(account(1)).await }
        });
        tokio::time::sleep(MAX_WAIT / 2).await;
        drop(first);
        let third = waiting.await.unwrap();
        assert!(third.is_ok());
        let gone = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take(account(1)).await }
        });
        tokio::time::sleep(MAX_WAIT / 2).await;
        gone.abort();
        assert!(gone.await.is_err());
        drop((second, third));
        assert_eq!(places.node.available_permits(), PAGES);
        assert!(places.lock().is_empty());
    }
}
