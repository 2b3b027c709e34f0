//! The requests of devices that wait for a person, as a table.

use async_trait::async_trait;
use authlog_application::ports::{
    DeviceAuthorizations, StoreError, StoredDeviceAuthorization, UserCodeDigest,
};
use authlog_domain::Timestamp;

use super::PostgresStore;

const ADD: &str = r"
    INSERT INTO device_authorizations (user_code, request, expires_at) VALUES ($1, $2, $3)
    ON CONFLICT (user_code) DO NOTHING";

const FIND: &str = "SELECT request, decision FROM device_authorizations WHERE user_code = $1";

/// No two decisions have the same sealed text. So the statement can be repeated after a connection broke.
const DECIDE: &str = r"
    UPDATE device_authorizations SET decision = $2
     WHERE user_code = $1 AND (decision IS NULL OR decision = $2)";

#[async_trait]
impl DeviceAuthorizations for PostgresStore {
    async fn add_device_authorization(
        &self,
        UserCodeDigest(code): UserCodeDigest,
        request: &str,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let added = self.connections.ask(|pool| {
            sqlx::query(ADD)
                .bind(&code[..])
                .bind(request)
                .bind(expires_at.date_time())
                .execute(pool)
        });
        Ok(self.monitor_write(added).await?.rows_affected() > 0)
    }

    async fn device_authorization(
        &self,
        UserCodeDigest(code): UserCodeDigest,
    ) -> Result<Option<StoredDeviceAuthorization>, StoreError> {
        let row: Option<(String, Option<String>)> = self
            .connections
            .ask(|pool| sqlx::query_as(FIND).bind(&code[..]).fetch_optional(pool))
            .await?;
        Ok(row.map(|(request, decision)| StoredDeviceAuthorization { request, decision }))
    }

    async fn decide_device_authorization(
        &self,
        UserCodeDigest(code): UserCodeDigest,
        decision: &str,
    ) -> Result<bool, StoreError> {
        let decided = self.connections.ask(|pool| {
            sqlx::query(DECIDE)
                .bind(&code[..])
                .bind(decision)
                .execute(pool)
        });
        Ok(self.monitor_write(decided).await?.rows_affected() > 0)
    }
}
