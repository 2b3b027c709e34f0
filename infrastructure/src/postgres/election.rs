//! Leader election for work that runs elsewhere. The worker watches whether this node was elected.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::hosts::Hosts;
use super::leadership::{Leadership, Office, heard};

/// How often the elected node makes sure that it still is.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long to wait after the database did not answer.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// How long a node that gave up its office leaves it to the others, which try to be elected each second.
const AFTER_GIVING_UP: Duration = Duration::from_secs(3);

/// Stands for election as the node that holds an office.
pub struct Election {
    hosts: Arc<Hosts>,
    office: Office,
    leads: watch::Sender<bool>,
    unable: Option<watch::Receiver<bool>>,
}

impl Election {
    pub(super) fn new(hosts: Arc<Hosts>, office: Office) -> (Self, watch::Receiver<bool>) {
        let (leads, elected) = watch::channel(false);
        let election = Self {
            hosts,
            office,
            leads,
            unable: None,
        };
        (election, elected)
    }

    /// Gives the office up while `unable` says that this node cannot do the work.
    pub fn gives_up_while(&mut self, unable: watch::Receiver<bool>) {
        self.unable = Some(unable);
    }

    /// Stands until `stop`, again whenever the database was away.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let lost = tokio::select! {
                () = stop.cancelled() => return,
                lost = self.lead() => lost,
            };
            self.leads.send_replace(false);
            let pause = match lost {
                Ok(()) => {
                    tracing::warn!(office = ?self.office, "this node resigned as leader: it cannot do the work");
                    AFTER_GIVING_UP
                }
                Err(error) => {
                    tracing::warn!(%error, office = ?self.office, "this node cannot become or stay leader; will retry");
                    AFTER_FAILURE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Leads until the office is lost, or given up.
    async fn lead(&self) -> Result<(), sqlx::Error> {
        let mut leadership = Leadership::win(&self.hosts, &[], self.office).await?;
        tracing::info!(office = ?self.office, "this node was elected leader");
        self.leads.send_replace(true);
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            if self.unable.as_ref().is_some_and(|unable| *unable.borrow()) {
                return Ok(());
            }
            heard(self.hosts.check(leadership.connection())).await?;
        }
    }
}
