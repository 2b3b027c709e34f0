//! Whether the client of a request still waits for the answer.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// Whether a client still waits. A request that continues after its client has gone checks this before expensive steps.
/// The default is a client that always waits.
#[derive(Clone, Default)]
pub struct ClientPresence(Option<Arc<Semaphore>>);

/// A guard: the client counts as waiting until it is dropped.
///
/// There is one for each request, so it must be cheap: a semaphore without permits has a tenth of the size of a channel.
pub struct ClientWaits(Arc<Semaphore>);

impl ClientPresence {
    /// The presence of a client that waits until the guard is dropped.
    pub fn new() -> (ClientWaits, Self) {
        let waits = Arc::new(Semaphore::new(0));
        (ClientWaits(Arc::clone(&waits)), Self(Some(waits)))
    }

    /// Whether the client has gone.
    pub(crate) fn is_gone(&self) -> bool {
        let waits = self.0.as_ref();
        waits.is_some_and(|waits| waits.is_closed())
    }

    /// Returns once the client has gone.
    pub async fn gone(&self) {
        match &self.0 {
            // The semaphore has no permits: this returns when it is closed.
            Some(waits) => drop(waits.acquire().await),
            None => pending().await,
        }
    }
}

impl Drop for ClientWaits {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_client_has_gone_once_its_guard_is_dropped_and_not_before() {
        let (waits, presence) = ClientPresence::new();
        assert!(presence.gone().now_or_never().is_none());
        assert!(!presence.is_gone());
        assert!(ClientPresence::default().gone().now_or_never().is_none());
        assert!(!ClientPresence::default().is_gone());
        drop(waits);
        presence.gone().await;
        assert!(presence.is_gone());
    }
}
