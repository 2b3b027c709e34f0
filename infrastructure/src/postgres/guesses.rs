//! Exchange of counted attempts between the nodes of one database.
//!
//! Nothing is stored: a notification stays in the server's memory until every node has read it. If one is missed,
//! guessing is no faster than on a single node. Notifications are not part of appends, which they would slow down, and
//! the hashing of passwords limits their number.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{Executor as _, PgConnection};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::hosts::Hosts;
use super::leadership::{KEEPALIVE, with_timeout};
use crate::limits::{GcraAttemptLimiter, HEAD_LENGTH, Update};

/// The channel between the nodes of one database. Versions with another format use another name.
const CHANNEL: &str = "authlog_attempt_reports";

/// How long updates are gathered before they are sent as one notification.
const GATHERED_FOR: Duration = Duration::from_millis(20);

/// The maximum number of updates in one notification, which has to be shorter than 8,000 bytes.
const AT_ONCE: usize = 200;
const _: () = assert!(HEAD_LENGTH + AT_ONCE * Update::LENGTH < 8000);

/// How long the channel may be silent before the connection is checked: a dead connection cannot be told from an idle
/// one.
const QUIET: Duration = Duration::from_secs(5);

/// How long to wait after the database did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Sends the counted attempts of this node, and receives those of the others.
pub struct GuessExchange {
    hosts: Arc<Hosts>,
}

impl GuessExchange {
    /// It takes two connections.
    pub(super) const fn new(hosts: Arc<Hosts>) -> Self {
        Self { hosts }
    }

    /// Sends the updates of `limiter`, which arrive on `updates`, and applies those of other nodes to it, until the
    /// future is dropped.
    pub async fn run(&self, limiter: &GcraAttemptLimiter, updates: &mut mpsc::Receiver<Update>) {
        tokio::join!(self.send_updates(limiter, updates), self.listen(limiter));
    }

    async fn send_updates(
        &self,
        limiter: &GcraAttemptLimiter,
        updates: &mut mpsc::Receiver<Update>,
    ) {
        let mut batch = Vec::with_capacity(AT_ONCE);
        let mut connection = None;
        while updates.recv_many(&mut batch, AT_ONCE).await > 0 {
            tokio::time::sleep(GATHERED_FOR).await;
            while batch.len() < AT_ONCE
                && let Ok(update) = updates.try_recv()
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

    /// Sends a notification over this connection or, if it is broken, over a new one. Returns the connection that was
    /// used.
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
        let mut connection = with_timeout(self.hosts.connect(&KEEPALIVE)).await?;
        send(text, &mut connection).await?;
        Ok(connection)
    }

    async fn listen(&self, limiter: &GcraAttemptLimiter) {
        loop {
            let Err(error) = self.receive_reports(limiter).await;
            tracing::warn!(%error, "the attempt feed from other nodes is unavailable; will retry");
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }

    async fn receive_reports(
        &self,
        limiter: &GcraAttemptLimiter,
    ) -> Result<Infallible, sqlx::Error> {
        // A pool for this one connection: in a permanent pool, a broken connection would keep its slot.
        let pool = self.hosts.pool_of_one(KEEPALIVE.to_vec());
        let mut listener = PgListener::connect_with(&pool).await?;
        with_timeout(listener.listen(CHANNEL)).await?;
        // A listener that reconnects by itself misses notifications without an error.
        listener.eager_reconnect(false);
        loop {
            let Ok(received) = timeout(QUIET, listener.try_recv()).await else {
                with_timeout(listener.execute("SELECT 1")).await?;
                continue;
            };
            let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into());
            let notification = received?.ok_or_else(lost)?;
            limiter.apply_report(notification.payload());
        }
    }
}

async fn send(text: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let notify = sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(text)
        .execute(connection);
    with_timeout(notify).await.map(drop)
}
