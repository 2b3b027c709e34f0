//! Standing for an office whose work is done elsewhere: whoever does it watches whether this node was elected.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connections::ISOLATION;
use super::hosts::Hosts;
use super::leadership::{Leadership, Office, heard};

/// How often the elected node makes sure that it still is.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long to wait after the database did not answer.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Stands for election as the node that holds an office.
pub struct Election {
    hosts: Arc<Hosts>,
    office: Office,
    leads: watch::Sender<bool>,
}

impl Election {
    pub(super) fn new(hosts: Arc<Hosts>, office: Office) -> (Self, watch::Receiver<bool>) {
        let (leads, elected) = watch::channel(false);
        let election = Self {
            hosts,
            office,
            leads,
        };
        (election, elected)
    }

    /// Stands until `stop`, again whenever the database was away.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let lost = tokio::select! {
                () = stop.cancelled() => return,
                lost = self.lead() => lost,
            };
            self.leads.send_replace(false);
            let Err(error) = lost;
            tracing::warn!(%error, office = ?self.office, "this node cannot be elected");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(AFTER_FAILURE) => {}
            }
        }
    }

    async fn lead(&self) -> Result<Infallible, sqlx::Error> {
        let mut leadership = Leadership::win(&self.hosts, &[ISOLATION], self.office).await?;
        tracing::info!(office = ?self.office, "this node was elected");
        self.leads.send_replace(true);
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            heard(self.hosts.check(leadership.connection())).await?;
        }
    }
}
