//! Watches of accounts and clients: whether one has changed, without a query.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::access::Actor;

/// Whether an account or a client has changed since it was last looked up.
pub(crate) struct ActorWatch {
    changed: Arc<AtomicBool>,
}

impl ActorWatch {
    /// Whether the actor has changed since the last [`Self::forget`].
    pub(crate) fn has_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }

    /// Call this before looking the actor up: later changes are reported again.
    pub(crate) fn forget(&self) {
        self.changed.store(false, Ordering::Release);
    }
}

/// The watches of a node. One that was dropped is removed when the next one begins.
#[derive(Default)]
pub(super) struct ActorWatches(Mutex<Vec<(Actor, Weak<AtomicBool>)>>);

impl ActorWatches {
    /// Watches an actor from now on.
    pub(super) fn watch(&self, actor: Actor) -> ActorWatch {
        let changed = Arc::new(AtomicBool::new(false));
        let mut watches = self.lock();
        watches.retain(|(_, watch)| watch.strong_count() > 0);
        watches.push((actor, Arc::downgrade(&changed)));
        ActorWatch { changed }
    }

    /// Reports that these actors have changed.
    pub(super) fn notify(&self, changed: &HashSet<Actor>) {
        self.report(|actor| changed.contains(actor));
    }

    /// Reports that every actor may have changed.
    pub(super) fn notify_all(&self) {
        self.report(|_| true);
    }

    fn report(&self, has_changed: impl Fn(&Actor) -> bool) {
        for (actor, watch) in self.lock().iter() {
            if let Some(watch) = watch.upgrade().filter(|_| has_changed(actor)) {
                watch.store(true, Ordering::Release);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Actor, Weak<AtomicBool>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use authlog_domain::{ClientId, UserId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_change_is_reported_to_the_watches_of_the_actor_alone() {
        let account = Actor::Account(UserId::new(Uuid::from_u128(1)));
        let client = Actor::Client(ClientId::from_stored("consumer"));
        let watches = ActorWatches::default();
        let of_account = watches.watch(account.clone());
        let of_client = [watches.watch(client.clone()), watches.watch(client.clone())];
        watches.notify(&HashSet::from([client]));
        assert!(of_client.iter().all(ActorWatch::has_changed));
        assert!(!of_account.has_changed());
        of_client[0].forget();
        watches.notify(&HashSet::from([account]));
        assert!(of_account.has_changed() && !of_client[0].has_changed());
        watches.notify_all();
        assert!(of_client[0].has_changed());
        // Watches that were dropped are forgotten.
        drop((of_account, of_client));
        let client = Actor::Client(ClientId::from_stored("other"));
        let _watch = watches.watch(client);
        assert_eq!(watches.lock().len(), 1);
    }
}
