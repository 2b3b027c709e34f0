//! Exchange of counted attempts between the nodes of one database.
//!
//! Nothing is written: a notification lives in the server's memory until every node has read it, and what is missed makes
//! guessing no faster than it is on one node. It is not part of an append, which it would slow down; there are no more
//! of them than passwords that are guessed at can be hashed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{Executor as _, PgConnection};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::hosts::Hosts;
use super::leadership::{KEEPALIVE, heard};
use crate::limits::{GcraAttemptLimiter, HEAD_LENGTH, Update};

/// Where nodes of one database tell each other. Versions that write something else use another name.
const CHANNEL: &str = "authlog_attempt_reports";

/// How long updates are gathered before they are sent as one notification.
const GATHERED_FOR: Duration = Duration::from_millis(20);

/// How many are sent at once: a notification takes less than 8,000 bytes.
const AT_ONCE: usize = 200;
const _: () = assert!(HEAD_LENGTH + AT_ONCE * Update::LENGTH < 8000);

/// How long no notification may come before the server is asked whether the connection is still there: one that died
/// without a sign brings nothing, as one does over which nothing is sent.
const QUIET: Duration = Duration::from_secs(5);

/// How long to wait after the database did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The node's part in it.
pub struct GuessExchange {
    hosts: Arc<Hosts>,
}

impl GuessExchange {
    /// It takes two connections.
    pub(super) const fn new(hosts: Arc<Hosts>) -> Self {
        Self { hosts }
    }

    /// Sends what arrives on `told`, and applies to `limiter` what other nodes send, until it is dropped.
    pub async fn run(&self, limiter: &GcraAttemptLimiter, told: &mut mpsc::Receiver<Update>) {
        tokio::join!(self.tell(limiter, told), self.listen(limiter));
    }

    async fn tell(&self, limiter: &GcraAttemptLimiter, told: &mut mpsc::Receiver<Update>) {
        let mut batch = Vec::with_capacity(AT_ONCE);
        let mut connection = None;
        while told.recv_many(&mut batch, AT_ONCE).await > 0 {
            tokio::time::sleep(GATHERED_FOR).await;
            while batch.len() < AT_ONCE
                && let Ok(update) = told.try_recv()
            {
                batch.push(update);
            }
            let Some(report) = limiter.report(&batch) else {
                return;
            };
            match self.notify(&report, connection.take()).await {
                Ok(good) => connection = Some(good),
                Err(error) => {
                    tracing::warn!(%error, "attempts could not be reported to other nodes; until they can, each node applies limits by itself");
                }
            }
            batch.clear();
        }
    }

    /// Sends a notification over this connection or, if it is broken, over a new one. Which one it was is returned.
    async fn notify(
        &self,
        text: &str,
        connection: Option<PgConnection>,
    ) -> Result<PgConnection, sqlx::Error> {
        if let Some(mut connection) = connection
            && send(text, &mut connection).await.is_ok()
        {
            return Ok(connection);
        }
        let mut connection = heard(self.hosts.connect(&KEEPALIVE)).await?;
        send(text, &mut connection).await?;
        Ok(connection)
    }

    async fn listen(&self, limiter: &GcraAttemptLimiter) {
        loop {
            let Err(error) = self.hear(limiter).await;
            tracing::warn!(%error, "the attempt feed from other nodes is unavailable; will retry");
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }

    async fn hear(&self, limiter: &GcraAttemptLimiter) -> Result<Infallible, sqlx::Error> {
        // A pool that knows one connection: a broken one would keep its place in a pool that lasts.
        let pool = self.hosts.pool_of_one(KEEPALIVE.to_vec());
        let mut listener = PgListener::connect_with(&pool).await?;
        heard(listener.listen(CHANNEL)).await?;
        // When a listener connects again by itself, what was sent meanwhile is missed without a sign.
        listener.eager_reconnect(false);
        loop {
            let Ok(received) = timeout(QUIET, listener.try_recv()).await else {
                heard(listener.execute("SELECT 1")).await?;
                continue;
            };
            let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into());
            let notification = received?.ok_or_else(lost)?;
            limiter.hear(notification.payload());
        }
    }
}

async fn send(text: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let notify = sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(text)
        .execute(connection);
    heard(notify).await.map(drop)
}
