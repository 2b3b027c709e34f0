//! Comparing the store's schema objects with those of this program while it runs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::StoreError;

use super::witness::Witness;

/// How often: the comparison is one statement on the catalogue.
const EVERY: Duration = Duration::from_secs(60);

/// A store that can tell whether its schema is what this program made.
#[async_trait]
pub trait SchemaCheck: Send + Sync {
    /// What is missing, changed, or not of this program, in words for an operator. With `whole`, the structure of a file is
    /// examined too, which takes as long as reading it. A schema that is newer than this program is not compared.
    async fn schema_faults(&self, whole: bool) -> Result<Vec<String>, StoreError>;
}

/// Compares the schema again and again.
pub struct SchemaWatch<S: ?Sized> {
    store: Arc<S>,
    witness: Arc<Witness>,
}

impl<S: SchemaCheck + ?Sized> SchemaWatch<S> {
    /// A watch on `store` that tells `witness` what it finds.
    pub const fn new(store: Arc<S>, witness: Arc<Witness>) -> Self {
        Self { store, witness }
    }

    /// Works until it is dropped. What is known stays while the store does not answer.
    pub async fn run(&self) {
        let mut known = vec![];
        loop {
            if let Ok(faults) = self.store.schema_faults(false).await {
                for fault in faults.iter().filter(|fault| !known.contains(*fault)) {
                    tracing::error!(%fault, "THE STORE'S SCHEMA WAS TAMPERED WITH. Run `authlog doctor`");
                }
                self.witness.schema_is(&faults);
                known = faults;
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}
