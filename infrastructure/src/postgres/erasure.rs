//! The look-ups before an erasure. The statements that delete are a function of the schema, `erase_account`.

use authlog_application::ports::StoreError;
use authlog_domain::{ResetId, UserId};
use uuid::Uuid;

use super::PostgresStore;

impl PostgresStore {
    /// The requests for a reset that were made under an identifier of the account.
    pub(super) async fn resets_about(&self, user: UserId) -> Result<Vec<ResetId>, StoreError> {
        let claims: Vec<Vec<u8>> = self
            .connections
            .ask(|pool| {
                sqlx::query_scalar("SELECT digest FROM identifier_claims WHERE owner = $1")
                    .bind(user.as_uuid())
                    .fetch_all(pool)
            })
            .await?;
        let requests: Vec<(Uuid, Vec<u8>)> = self
            .connections
            .ask(|pool| {
                sqlx::query_as("SELECT reset_id, identifier FROM reset_requests").fetch_all(pool)
            })
            .await?;
        let requests = requests.into_iter().map(|(reset, typed)| {
            let typed = String::from_utf8_lossy(&typed).into_owned();
            (ResetId::new(reset), typed)
        });
        Ok(self.vault.pepper.concerned(&claims, requests))
    }
}
