//! Telling other nodes of guesses at passwords, and hearing of theirs.
//!
//! Nothing is written: a notification lives in the server's memory until everybody has heard it, and what is missed makes
//! guessing no faster than it is on one node. It is not part of an append, which it would slow down; there are no more
//! of them than wrong passwords can be hashed.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::mpsc;

use crate::limits::{Failure, GcraAttemptLimiter};

/// Where nodes of one database tell each other.
const CHANNEL: &str = "authlog_guesses";

/// How long guesses are gathered before they are told: by then nobody has guessed again.
const GATHERED_FOR: Duration = Duration::from_millis(20);

/// How many are told at once: a notification takes 8,000 bytes.
const AT_ONCE: usize = 128;

/// How long to wait after the database did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The node's part in it.
pub struct GuessExchange {
    pool: PgPool,
    node: u64,
}

impl GuessExchange {
    /// Of the node that calls itself `node`. It takes two connections.
    pub(super) fn new(options: PgConnectOptions, node: u64) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .max_lifetime(None)
            .connect_lazy_with(options);
        Self { pool, node }
    }

    /// Tells what is `told`, and has `limiter` heed the others, until it is dropped.
    pub async fn run(self, limiter: Arc<GcraAttemptLimiter>, mut told: mpsc::Receiver<Failure>) {
        tokio::join!(self.tell(&mut told), self.listen(&limiter));
    }

    async fn tell(&self, told: &mut mpsc::Receiver<Failure>) {
        let mut batch = Vec::with_capacity(AT_ONCE);
        while told.recv_many(&mut batch, AT_ONCE).await > 0 {
            tokio::time::sleep(GATHERED_FOR).await;
            while batch.len() < AT_ONCE
                && let Ok(failure) = told.try_recv()
            {
                batch.push(failure);
            }
            let text = format!("{:016x}{}", self.node, Failure::write_all(&batch));
            let notified = sqlx::query("SELECT pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(text)
                .execute(&self.pool)
                .await;
            if let Err(error) = notified {
                tracing::warn!(%error, "other nodes were not told of wrong passwords");
            }
            batch.clear();
        }
    }

    async fn listen(&self, limiter: &GcraAttemptLimiter) {
        loop {
            let Err(error) = self.hear(limiter).await;
            tracing::warn!(%error, "wrong passwords on other nodes are not heard of");
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
            for failure in self.others(notification.payload()) {
                limiter.heed(failure);
            }
        }
    }

    /// What another node told; nothing where it was this one, or something else.
    fn others(&self, payload: &str) -> Vec<Failure> {
        let Some((node, failures)) = payload.split_at_checked(16) else {
            return vec![];
        };
        match u64::from_str_radix(node, 16) {
            Ok(node) if node != self.node => Failure::read_all(failures).unwrap_or_default(),
            _ => vec![],
        }
    }
}
