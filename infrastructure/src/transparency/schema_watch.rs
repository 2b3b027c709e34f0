//! The worker that compares the schema of the store with the migrations of this program (`docs/adr/0020`).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::StoreError;

use super::witness::Witness;

/// The interval between two comparisons. One comparison is one statement on the catalogue.
const EVERY: Duration = Duration::from_secs(60);

/// A store that can compare its schema with the one that this program creates.
#[async_trait]
pub trait SchemaCheck: Send + Sync {
    /// The schema objects that are missing, changed or foreign, in words for an operator. With `whole`, the structure of an
    /// SQLite file is checked as well, which takes as long as reading the file. A schema that is newer than this program is
    /// not compared.
    async fn schema_faults(&self, whole: bool) -> Result<Vec<String>, StoreError>;
}

/// Compares the schema at a fixed interval.
pub struct SchemaWatch<S: ?Sized> {
    store: Arc<S>,
    witness: Arc<Witness>,
}

impl<S: SchemaCheck + ?Sized> SchemaWatch<S> {
    /// A watch on `store` that reports to `witness`.
    pub const fn new(store: Arc<S>, witness: Arc<Witness>) -> Self {
        Self { store, witness }
    }

    /// Runs until it is dropped. While the store does not answer, the last result stays.
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
