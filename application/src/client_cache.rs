//! The client cache: introspection and tokens of a client cost no query.
//!
//! A cached client is used for at most [`MAX_AGE`], so a lock, a removal and a retired secret have an effect on every node within
//! that time. On the node that made the change they have it at once.

use std::sync::Arc;
use std::time::Duration;

use authlog_domain::ClientId;
use authlog_domain::client::RegisteredClient;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::ports::StoreError;

/// The largest number of clients in the cache. A client has about a kilobyte. One with as many URIs and keys as it can have has
/// 40 KiB, so that the cache holds at most 40 MiB.
const MAX_CLIENTS: usize = 1024;

/// How long a client is used without a query.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The cached clients of a node.
pub(crate) struct ClientCache {
    clients: Cache<ClientId, Known>,
}

/// What was found, and when its lookup started. An id without a client is cached as well.
#[derive(Clone)]
struct Known {
    client: Option<Arc<RegisteredClient>>,
    since: Instant,
}

impl Default for ClientCache {
    fn default() -> Self {
        Self {
            clients: Cache::new(MAX_CLIENTS),
        }
    }
}

impl ClientCache {
    /// The cached client if it is fresh, otherwise the result of `look_up`. Concurrent callers share one lookup.
    ///
    /// # Errors
    /// The lookup failed.
    pub(crate) async fn get<F>(
        &self,
        id: &ClientId,
        look_up: impl Fn() -> F,
    ) -> Result<Option<Arc<RegisteredClient>>, StoreError>
    where
        F: Future<Output = Result<Option<RegisteredClient>, StoreError>>,
    {
        loop {
            match self.clients.get_value_or_guard_async(id).await {
                Ok(known) if known.since.elapsed() < MAX_AGE => return Ok(known.client),
                Ok(known) => {
                    self.clients.remove_if(id, |it| it.since == known.since);
                }
                Err(place) => {
                    let since = Instant::now();
                    let client = look_up().await?.map(Arc::new);
                    // If the client was changed on this node meanwhile, this insertion has no effect.
                    let _no_place = place.insert(Known {
                        client: client.clone(),
                        since,
                    });
                    return Ok(client);
                }
            }
        }
    }

    /// Removes a changed client.
    pub(crate) fn forget(&self, id: &ClientId) {
        self.clients.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_is_looked_up_once_a_second_and_after_a_change() {
        let (cache, lookups) = (ClientCache::default(), AtomicU32::new(0));
        let id = ClientId::parse("shop").unwrap();
        let look_up = || {
            lookups.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Ok(None))
        };
        for _ in 0..3 {
            assert!(cache.get(&id, look_up).await.unwrap().is_none());
        }
        assert_eq!(lookups.load(Ordering::Relaxed), 1);
        tokio::time::advance(MAX_AGE).await;
        cache.get(&id, look_up).await.unwrap();
        assert_eq!(lookups.load(Ordering::Relaxed), 2);
        cache.forget(&id);
        cache.get(&id, look_up).await.unwrap();
        assert_eq!(lookups.load(Ordering::Relaxed), 3);
    }
}
