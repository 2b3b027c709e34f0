//! Whether the client of a request still waits for the answer.

use std::future::pending;

use tokio::sync::watch;

/// Tells whether a client still waits. A request that is finished although its client has gone asks it before it begins what is
/// dear. The default is a client that never goes.
#[derive(Clone, Default)]
pub struct ClientPresence(Option<watch::Receiver<()>>);

/// The client waits for as long as this exists.
pub struct ClientWaits(
    #[expect(dead_code, reason = "dropping it is all it is for")] watch::Sender<()>,
);

impl ClientPresence {
    /// The presence of a client that waits until the guard is dropped.
    pub fn new() -> (ClientWaits, Self) {
        let (sender, receiver) = watch::channel(());
        (ClientWaits(sender), Self(Some(receiver)))
    }

    /// Whether the client has gone.
    pub(crate) fn is_gone(&self) -> bool {
        let waits = self.0.as_ref();
        waits.is_some_and(|waits| waits.has_changed().is_err())
    }

    /// Returns once the client has gone.
    pub async fn gone(&self) {
        match self.0.clone() {
            // Nothing is ever sent: the channel closes.
            Some(mut waits) => while waits.changed().await.is_ok() {},
            None => pending().await,
        }
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
