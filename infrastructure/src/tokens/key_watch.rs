//! The worker that keeps the signing keys of a node up to date with the store.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{Clock, StoreError};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::{KeyFault, KeySet};
use crate::store::SigningKeyStore;

/// The interval at which the keys are read. A new key waits for several intervals before it signs.
const EVERY: Duration = Duration::from_secs(1);

/// The minimum interval, however many tokens with unknown keys are presented.
const MIN_INTERVAL: Duration = Duration::from_millis(50);

/// How long a token with an unknown key waits for the next read.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// The current keys of a node.
#[derive(Clone)]
pub struct Keys {
    current: watch::Receiver<Arc<KeySet>>,
    wanted: Arc<Notify>,
}

/// Reads the keys from the store while the node runs.
pub struct KeyWatch<S: ?Sized> {
    store: Arc<S>,
    clock: Arc<dyn Clock>,
    current: watch::Sender<Arc<KeySet>>,
    wanted: Arc<Notify>,
}

impl Keys {
    /// Keys that never change.
    pub fn fixed(keys: KeySet) -> Self {
        Self {
            current: watch::channel(Arc::new(keys)).1,
            wanted: Arc::default(),
        }
    }

    /// The current keys.
    pub(super) fn now(&self) -> Arc<KeySet> {
        Arc::clone(&self.current.borrow())
    }

    /// Waits until the keys were read again, for a limited time.
    pub(super) async fn read_again(&self) {
        let mut changes = self.current.clone();
        changes.mark_unchanged();
        self.wanted.notify_one();
        // The caller continues with the current keys in both cases.
        let _ = timeout(MAX_WAIT, changes.changed()).await;
    }
}

impl<S: SigningKeyStore + ?Sized> KeyWatch<S> {
    /// A watch on the keys of `store`, which starts with `first`.
    pub fn new(store: Arc<S>, clock: Arc<dyn Clock>, first: KeySet) -> (Keys, Self) {
        let (current, changes) = watch::channel(Arc::new(first));
        let wanted = Arc::new(Notify::new());
        let keys = Keys {
            current: changes,
            wanted: Arc::clone(&wanted),
        };
        let watch = Self {
            store,
            clock,
            current,
            wanted,
        };
        (keys, watch)
    }

    /// Runs until it is dropped. While the store does not answer, the keys stay as they are.
    pub async fn run(&self) {
        let (mut silent, mut known_faults) = (false, vec![]);
        loop {
            let asked = Instant::now();
            match self.read().await {
                Ok((keys, faults)) => {
                    report(&faults, &known_faults);
                    known_faults = faults;
                    self.current.send_replace(Arc::new(keys));
                    silent = false;
                }
                Err(error) => {
                    if !silent {
                        tracing::warn!(%error, "signing keys cannot be read; the known ones stay in use until they can");
                    }
                    silent = true;
                }
            }
            tokio::time::sleep_until(asked + MIN_INTERVAL).await;
            let _ = timeout(EVERY, self.wanted.notified()).await;
        }
    }

    async fn read(&self) -> Result<(KeySet, Vec<KeyFault>), StoreError> {
        let now = self.clock.now();
        let stored = self.store.signing_keys(now).await?;
        if stored.is_unconfirmed {
            // A version without a ledger has changed the keys. If this write fails, the next read repeats it.
            let after = stored.number;
            let _ = self.store.change_signing_keys(after, &[], &[], now).await;
        }
        let known = Arc::clone(&self.current.borrow());
        Ok((known.with(&stored.keys), stored.faults))
    }
}

/// Logs new faults.
fn report(faults: &[KeyFault], known: &[KeyFault]) {
    for KeyFault { kid, detail } in faults.iter().filter(|fault| !known.contains(fault)) {
        tracing::error!(
            kid,
            detail,
            "a stored signing key has a fault and is not used as stored; `authlog keys list` shows the keys"
        );
    }
}
