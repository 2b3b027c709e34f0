//! Exchange of counted attempts between the nodes of one database.
//!
//! Nothing is written: a notification lives in the server's memory until every node has read it, and what is missed makes
//! guessing no faster than it is on one node. It is not part of an append, which it would slow down; there are no more
//! of them than passwords that are guessed at can be hashed.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::mpsc;

use super::connections::ISOLATION;
use super::hosts::Hosts;
use crate::limits::{GcraAttemptLimiter, Update};

/// Where nodes of one database tell each other. Versions that write something else use another name.
const CHANNEL: &str = "authlog_attempts";

/// How long updates are gathered before they are sent as one notification.
const GATHERED_FOR: Duration = Duration::from_millis(20);

/// How many are sent at once: a notification takes less than 8,000 bytes, the first 16 of which name the node.
const AT_ONCE: usize = 256;
const _: () = assert!(16 + AT_ONCE * Update::LENGTH < 8000);

/// How long to wait after the database did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The node's part in it.
pub struct GuessExchange {
    pool: PgPool,
    node: u64,
}

impl GuessExchange {
    /// Of the node that calls itself `node`. It takes two connections.
    pub(super) fn new(hosts: &Hosts, node: u64) -> Self {
        let options = PgPoolOptions::new().max_connections(2).max_lifetime(None);
        let pool = hosts.pool(options, vec![ISOLATION]);
        Self { pool, node }
    }

    /// Sends what arrives on `told`, and applies to `limiter` what other nodes send, until it is dropped.
    pub async fn run(&self, limiter: &GcraAttemptLimiter, told: &mut mpsc::Receiver<Update>) {
        tokio::join!(self.tell(told), self.listen(limiter));
    }

    async fn tell(&self, told: &mut mpsc::Receiver<Update>) {
        let mut batch = Vec::with_capacity(AT_ONCE);
        while told.recv_many(&mut batch, AT_ONCE).await > 0 {
            tokio::time::sleep(GATHERED_FOR).await;
            while batch.len() < AT_ONCE
                && let Ok(update) = told.try_recv()
            {
                batch.push(update);
            }
            let text = format!("{:016x}{}", self.node, Update::write_all(&batch));
            let notified = sqlx::query("SELECT pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(text)
                .execute(&self.pool)
                .await;
            if let Err(error) = notified {
                tracing::warn!(%error, "attempts could not be reported to other nodes; limits count on each node alone meanwhile");
            }
            batch.clear();
        }
    }

    async fn listen(&self, limiter: &GcraAttemptLimiter) {
        loop {
            let Err(error) = self.hear(limiter).await;
            tracing::warn!(%error, "the attempt feed from other nodes is unavailable; will retry");
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }

    async fn hear(
        &self,
        limiter: &GcraAttemptLimiter,
    ) -> Result<std::convert::Infallible, sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(CHANNEL).await?;
        loop {
            let notification = listener.recv().await?;
            for update in self.others(notification.payload()) {
                limiter.apply(update);
            }
        }
    }

    /// The updates of another node; none if the payload is this node's own, or something else.
    fn others(&self, payload: &str) -> Vec<Update> {
        let Some((node, updates)) = payload.split_at_checked(16) else {
            return vec![];
        };
        match u64::from_str_radix(node, 16) {
            Ok(node) if node != self.node => Update::read_all(updates).unwrap_or_default(),
            _ => vec![],
        }
    }
}
