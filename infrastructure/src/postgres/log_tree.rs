//! The tree over the log, and its checkpoints.

use std::ops::Range;

use async_trait::async_trait;
use authlog_application::ports::StoreError;

use super::{PostgresStore, log_end};
use crate::store::unreadable;
use crate::transparency::tree::{Hash, NodeId};
use crate::transparency::{LogEnd, LogTree, StoredCheckpoint, until_first_gap};

#[async_trait]
impl LogTree for PostgresStore {
    async fn leaves(&self, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        let rows: Vec<(Vec<u8>, i64)> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(
                    "SELECT leaf_hash, log_index FROM event_log WHERE log_index > $1 AND log_index <= $2 ORDER BY log_index",
                )
                .bind(signed(range.start))
                .bind(signed(range.end))
                .fetch_all(pool)
            })
            .await?;
        let leaves = until_first_gap(signed(range.start), rows);
        leaves.iter().map(|bytes| hash(bytes)).collect()
    }

    async fn end(&self, size: u64) -> Result<LogEnd, StoreError> {
        let size = signed(size);
        self.connections.ask(|pool| log_end::read(pool, size)).await
    }

    async fn nodes(&self, level: u8, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        let hashes: Vec<Vec<u8>> = self
            .connections
            .ask(|pool| {
                sqlx::query_scalar(
                    r"
                    SELECT hash FROM log_nodes
                     WHERE level = $1 AND node_index >= $2 AND node_index < $3 ORDER BY node_index",
                )
                .bind(i16::from(level))
                .bind(signed(range.start))
                .bind(signed(range.end))
                .fetch_all(pool)
            })
            .await?;
        hashes.iter().map(|bytes| hash(bytes)).collect()
    }

    async fn keep_nodes(&self, nodes: Vec<(NodeId, Hash)>) -> Result<(), StoreError> {
        let levels: Vec<i16> = nodes.iter().map(|(id, _)| id.level.into()).collect();
        let indexes: Vec<i64> = nodes.iter().map(|(id, _)| signed(id.index)).collect();
        let hashes: Vec<&[u8]> = nodes.iter().map(|(_, hash)| hash.0.as_slice()).collect();
        self.connections
            .ask(|pool| {
                sqlx::query(
                    r"
                    INSERT INTO log_nodes (level, node_index, hash)
                    SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])
                    ON CONFLICT (level, node_index) DO UPDATE SET hash = excluded.hash",
                )
                .bind(&levels)
                .bind(&indexes)
                .bind(&hashes)
                .execute(pool)
            })
            .await?;
        Ok(())
    }

    /// The sequencer does not wait for the disk, but this commit does, and with it everything that was written before.
    async fn keep_checkpoint(&self, checkpoint: StoredCheckpoint) -> Result<(), StoreError> {
        self.connections
            .ask(|pool| {
                sqlx::query(
                    "INSERT INTO checkpoints (tree_size, note) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                )
                .bind(signed(checkpoint.tree_size))
                .bind(&checkpoint.note)
                .execute(pool)
            })
            .await?;
        Ok(())
    }

    async fn latest_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        let row: Option<(i64, String)> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(
                    "SELECT tree_size, note FROM checkpoints ORDER BY tree_size DESC LIMIT 1",
                )
                .fetch_optional(pool)
            })
            .await?;
        Ok(row.map(checkpoint))
    }

    async fn checkpoints_after(
        &self,
        size: u64,
        limit: u32,
    ) -> Result<Vec<StoredCheckpoint>, StoreError> {
        let rows: Vec<(i64, String)> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(
                    "SELECT tree_size, note FROM checkpoints WHERE tree_size > $1 ORDER BY tree_size LIMIT $2",
                )
                .bind(signed(size))
                .bind(i64::from(limit))
                .fetch_all(pool)
            })
            .await?;
        Ok(rows.into_iter().map(checkpoint).collect())
    }
}

fn checkpoint((tree_size, note): (i64, String)) -> StoredCheckpoint {
    StoredCheckpoint {
        tree_size: tree_size.unsigned_abs(),
        note,
    }
}

pub(super) fn hash(bytes: &[u8]) -> Result<Hash, StoreError> {
    bytes.try_into().map(Hash).map_err(unreadable)
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
