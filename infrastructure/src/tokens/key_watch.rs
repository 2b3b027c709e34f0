//! Keeping the keys of a node as new as the store's, without a restart.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{Clock, StoreError};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::{KeyFault, KeySet};
use crate::store::SigningKeyStore;

/// How often the store is asked. A new key waits longer than a few of these before it signs.
const EVERY: Duration = Duration::from_secs(1);

/// How often at the most, however many tokens of unknown keys are presented.
const NOT_BEFORE: Duration = Duration::from_millis(50);

/// How long such a token waits for the answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a node goes by, to be read at any time.
#[derive(Clone)]
pub struct Keys {
    current: watch::Receiver<Arc<KeySet>>,
    wanted: Arc<Notify>,
}

/// Reads the keys anew for as long as the node runs.
pub struct KeyWatch<S: ?Sized> {
    store: Arc<S>,
    clock: Arc<dyn Clock>,
    current: watch::Sender<Arc<KeySet>>,
    wanted: Arc<Notify>,
}

impl Keys {
    /// Keys that stay as they are.
    pub fn fixed(keys: KeySet) -> Self {
        Self {
            current: watch::channel(Arc::new(keys)).1,
            wanted: Arc::default(),
        }
    }

    /// The keys of this moment.
    pub(super) fn now(&self) -> Arc<KeySet> {
        Arc::clone(&self.current.borrow())
    }

    /// Waits, not for long, until the keys were read anew.
    pub(super) async fn read_anew(&self) {
        let mut news = self.current.clone();
        news.mark_unchanged();
        self.wanted.notify_one();
        // Whether they were or not, the keys of the next moment are all that there is.
        let _ = timeout(PATIENCE, news.changed()).await;
    }
}

impl<S: SigningKeyStore + ?Sized> KeyWatch<S> {
    /// The keys of `store`, beginning with `first`.
    pub fn new(store: Arc<S>, clock: Arc<dyn Clock>, first: KeySet) -> (Keys, Self) {
        let (current, news) = watch::channel(Arc::new(first));
        let wanted = Arc::new(Notify::new());
        let keys = Keys {
            current: news,
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

    /// Works until it is dropped. While the store does not answer, the keys stay what they were.
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
            tokio::time::sleep_until(asked + NOT_BEFORE).await;
            let _ = timeout(EVERY, self.wanted.notified()).await;
        }
    }

    async fn read(&self) -> Result<(KeySet, Vec<KeyFault>), StoreError> {
        let now = self.clock.now();
        let stored = self.store.signing_keys(now).await?;
        if stored.is_unconfirmed {
            // A version without a ledger changed the keys. Should this fail, it is tried again at the next look.
            let after = stored.number;
            let _ = self.store.change_signing_keys(after, &[], &[], now).await;
        }
        let known = Arc::clone(&self.current.borrow());
        Ok((known.with(&stored.keys), stored.faults))
    }
}

/// Logs the faults that were not known.
fn report(faults: &[KeyFault], known: &[KeyFault]) {
    for KeyFault { kid, detail } in faults.iter().filter(|fault| !known.contains(fault)) {
        tracing::error!(
            kid,
            detail,
            "a stored signing key has a fault and is not used as stored; `authlog keys list` shows the keys"
        );
    }
}
