//! Whether requests can be served.

use async_trait::async_trait;

use super::StoreError;

/// Tells whether the store can be used.
#[async_trait]
pub trait Health: Send + Sync {
    /// Whether the store answers and has the schema that this program expects.
    async fn check(&self) -> Result<(), StoreError>;
}
