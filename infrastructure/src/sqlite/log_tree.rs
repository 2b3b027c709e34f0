//! The tree over the log, and its checkpoints.

use std::ops::Range;

use async_trait::async_trait;
use authlog_application::ports::StoreError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::errors::{malformed, store_error};
use super::{SqliteStore, log_end};
use crate::transparency::tree::{Hash, NodeId};
use crate::transparency::{LogEnd, LogTree, StoredCheckpoint, until_first_gap};

#[async_trait]
impl LogTree for SqliteStore {
    async fn leaves(&self, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        const SELECT: &str = "
            SELECT leaf_hash, log_index FROM event_log WHERE log_index > ? AND log_index <= ? ORDER BY log_index";
        let (from, to) = (signed(range.start), signed(range.end));
        self.readers
            .read(move |connection| {
                let mut select = connection.prepare_cached(SELECT)?;
                let places =
                    select.query_map([from, to], |row| Ok((hash(row, 0)?, row.get(1)?)))?;
                let places: Vec<(Hash, i64)> = places.collect::<rusqlite::Result<_>>()?;
                Ok(until_first_gap(from, places))
            })
            .await
    }

    async fn end(&self, size: u64) -> Result<LogEnd, StoreError> {
        let size = signed(size);
        self.readers
            .read(move |connection| log_end::read(connection, size))
            .await
    }

    async fn nodes(&self, level: u8, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        const SELECT: &str = "
            SELECT hash FROM log_nodes WHERE level = ? AND node_index >= ? AND node_index < ? ORDER BY node_index";
        let (from, to) = (signed(range.start), signed(range.end));
        self.readers
            .read(move |connection| {
                let mut select = connection.prepare_cached(SELECT)?;
                let hashes = select.query_map(params![level, from, to], |row| hash(row, 0))?;
                hashes.collect()
            })
            .await
    }

    async fn keep_nodes(&self, nodes: Vec<(NodeId, Hash)>) -> Result<(), StoreError> {
        self.writer
            .write(move |connection| write_nodes(connection, &nodes).map_err(store_error))
            .await
    }

    async fn keep_checkpoint(&self, checkpoint: StoredCheckpoint) -> Result<(), StoreError> {
        const INSERT: &str =
            "INSERT INTO checkpoints (tree_size, note) VALUES (?, ?) ON CONFLICT DO NOTHING";
        self.writer
            .write(move |connection| {
                let row = params![signed(checkpoint.tree_size), checkpoint.note];
                let insert = connection.prepare_cached(INSERT);
                insert
                    .and_then(|mut insert| insert.execute(row))
                    .map(drop)
                    .map_err(store_error)
            })
            .await
    }

    async fn latest_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        const SELECT: &str =
            "SELECT tree_size, note FROM checkpoints ORDER BY tree_size DESC LIMIT 1";
        self.readers
            .read(|connection| {
                let mut select = connection.prepare_cached(SELECT)?;
                select.query_row([], checkpoint).optional()
            })
            .await
    }

    async fn checkpoints_after(
        &self,
        size: u64,
        limit: u32,
    ) -> Result<Vec<StoredCheckpoint>, StoreError> {
        const SELECT: &str = "SELECT tree_size, note FROM checkpoints WHERE tree_size > ? ORDER BY tree_size LIMIT ?";
        self.readers
            .read(move |connection| {
                let mut select = connection.prepare_cached(SELECT)?;
                let found = select.query_map(params![signed(size), limit], checkpoint)?;
                found.collect()
            })
            .await
    }
}

fn write_nodes(connection: &Connection, nodes: &[(NodeId, Hash)]) -> rusqlite::Result<()> {
    const UPSERT: &str = "
        INSERT INTO log_nodes (level, node_index, hash) VALUES (?, ?, ?)
        ON CONFLICT (level, node_index) DO UPDATE SET hash = excluded.hash";
    let mut upsert = connection.prepare_cached(UPSERT)?;
    for (id, hash) in nodes {
        upsert.execute(params![id.level, signed(id.index), hash.0])?;
    }
    Ok(())
}

fn checkpoint(row: &Row<'_>) -> rusqlite::Result<StoredCheckpoint> {
    let size: i64 = row.get(0)?;
    Ok(StoredCheckpoint {
        tree_size: size.unsigned_abs(),
        note: row.get(1)?,
    })
}

pub(super) fn hash(row: &Row<'_>, index: usize) -> rusqlite::Result<Hash> {
    let bytes = row.get_ref(index)?.as_blob()?;
    let hash = bytes.try_into().map_err(|error| malformed(index, error))?;
    Ok(Hash(hash))
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
