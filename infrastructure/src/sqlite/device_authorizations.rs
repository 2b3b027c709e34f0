//! The requests of devices that wait for a person, as a table.

use async_trait::async_trait;
use authlog_application::ports::{
    DeviceAuthorizations, StoreError, StoredDeviceAuthorization, UserCodeDigest,
};
use authlog_domain::Timestamp;
use rusqlite::{OptionalExtension as _, Params};

use super::SqliteStore;
use super::errors::store_error;

const ADD: &str = "
    INSERT INTO device_authorizations (user_code, request, expires_at) VALUES (?, ?, ?)
    ON CONFLICT DO NOTHING";

const FIND: &str = "SELECT request, decision FROM device_authorizations WHERE user_code = ?";

const DECIDE: &str = "
    UPDATE device_authorizations SET decision = ?2
     WHERE user_code = ?1 AND (decision IS NULL OR decision = ?2)";

#[async_trait]
impl DeviceAuthorizations for SqliteStore {
    async fn add_device_authorization(
        &self,
        UserCodeDigest(code): UserCodeDigest,
        request: &str,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let row = (code, request.to_owned(), expires_at.unix_millis());
        self.changes_a_row(ADD, row).await
    }

    async fn device_authorization(
        &self,
        UserCodeDigest(code): UserCodeDigest,
    ) -> Result<Option<StoredDeviceAuthorization>, StoreError> {
        self.readers
            .read(move |connection| {
                connection
                    .prepare_cached(FIND)?
                    .query_row([code], |row| {
                        Ok(StoredDeviceAuthorization {
                            request: row.get(0)?,
                            decision: row.get(1)?,
                        })
                    })
                    .optional()
            })
            .await
    }

    async fn decide_device_authorization(
        &self,
        UserCodeDigest(code): UserCodeDigest,
        decision: &str,
    ) -> Result<bool, StoreError> {
        self.changes_a_row(DECIDE, (code, decision.to_owned()))
            .await
    }
}

impl SqliteStore {
    /// Runs a statement as a command of the writer. Returns whether it changed a row.
    async fn changes_a_row(
        &self,
        sql: &'static str,
        params: impl Params + Send + 'static,
    ) -> Result<bool, StoreError> {
        self.writer
            .write(move |connection| {
                connection
                    .prepare_cached(sql)
                    .and_then(|mut statement| statement.execute(params))
                    .map(|changed| changed > 0)
                    .map_err(store_error)
            })
            .await
    }
}
