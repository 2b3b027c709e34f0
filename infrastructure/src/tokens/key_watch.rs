//! The worker that keeps the signing keys of a node up to date with the store.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{Clock, StoreError};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::{KeyFault, KeyPurpose, KeySet, SigningKeys};
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
        let mut sets = KeyPurpose::ALL.map(WatchedSet::new);
        loop {
            let asked = Instant::now();
            let mut keys = Arc::clone(&self.current.borrow());
            for set in &mut sets {
                if let Some(stored) = set.note(self.read(set.purpose).await) {
                    keys = Arc::new(keys.with(set.purpose, &stored.keys));
                }
            }
            self.current.send_replace(keys);
            tokio::time::sleep_until(asked + MIN_INTERVAL).await;
            let _ = timeout(EVERY, self.wanted.notified()).await;
        }
    }

    async fn read(&self, purpose: KeyPurpose) -> Result<SigningKeys, StoreError> {
        let now = self.clock.now();
        let stored = self.store.signing_keys(purpose, now).await?;
        if stored.is_unconfirmed {
            // A version without a ledger has changed the keys. If this write fails, the next read repeats it.
            let after = stored.number;
            let _ = self
                .store
                .change_signing_keys(purpose, after, &[], &[], now)
                .await;
        }
        Ok(stored)
    }
}

/// What is known of one set of keys. Each set is reported by itself: one that cannot be read does not affect the other.
struct WatchedSet {
    purpose: KeyPurpose,
    cannot_be_read: bool,
    faults: Vec<KeyFault>,
}

impl WatchedSet {
    const fn new(purpose: KeyPurpose) -> Self {
        Self {
            purpose,
            cannot_be_read: false,
            faults: vec![],
        }
    }

    /// Logs new faults, or that the set cannot be read. Returns the set if it was read.
    fn note(&mut self, read: Result<SigningKeys, StoreError>) -> Option<SigningKeys> {
        match read {
            Ok(stored) => {
                report(&stored.faults, &self.faults);
                self.faults.clone_from(&stored.faults);
                self.cannot_be_read = false;
                Some(stored)
            }
            Err(error) => {
                if !self.cannot_be_read {
                    tracing::warn!(purpose = %self.purpose, %error, "signing keys cannot be read; the known ones stay in use until they can");
                }
                self.cannot_be_read = true;
                None
            }
        }
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
