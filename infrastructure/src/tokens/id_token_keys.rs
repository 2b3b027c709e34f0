//! The worker that makes the first key of ID tokens.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::Clock;

use super::{KeyPurpose, Keys, ensure_signing_key};
use crate::store::Store;

/// The interval at which the keys in memory are examined. Only if a key is missing, the store is asked whether it has clients.
const EVERY: Duration = Duration::from_secs(1);

/// Makes a key of ID tokens if there is none and a client is registered: after the first registration, and if the only key was
/// removed or cannot be opened. A service without clients has no such key.
///
/// An RSA key takes up to two seconds of processor time. So it is made while the node serves already, by a thread of its own.
/// If several nodes make one at the same time, the first that is stored is used by all.
pub struct IdTokenKeys {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    keys: Keys,
}

impl IdTokenKeys {
    /// Watches `keys`, which are read from `store`.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, keys: Keys) -> Self {
        Self { store, clock, keys }
    }

    /// Runs until it is dropped.
    pub async fn run(&self) {
        let mut failed = false;
        loop {
            if self.is_missing() {
                match self.make_if_needed().await {
                    Ok(()) => failed = false,
                    Err(error) if !failed => {
                        tracing::warn!(%error, "there is no key to sign ID tokens with, and none can be stored; this is tried again every second");
                        failed = true;
                    }
                    Err(_) => {}
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    fn is_missing(&self) -> bool {
        let keys = self.keys.now();
        keys.signing_id_tokens(self.clock.now()).is_none()
    }

    async fn make_if_needed(&self) -> Result<(), super::KeyChangeError> {
        if !self.store.has_clients().await? {
            return Ok(());
        }
        let now = self.clock.now();
        ensure_signing_key(&*self.store, KeyPurpose::IdToken, None, now).await?;
        self.keys.read_again().await;
        Ok(())
    }
}
