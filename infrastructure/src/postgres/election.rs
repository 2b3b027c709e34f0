//! Leader election for work that runs elsewhere. The worker watches whether this node was elected.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::hosts::Hosts;
use super::leadership::{LeaderRole, Leadership, with_timeout};

/// How often the elected node checks that it still leads.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long to wait after the database did not answer.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// How long a node that has resigned takes no part in the election. The others try to be elected each second.
const AFTER_RESIGNING: Duration = Duration::from_secs(3);

/// Takes part in the election of the leader for one role.
pub struct Election {
    hosts: Arc<Hosts>,
    role: LeaderRole,
    leads: watch::Sender<bool>,
    unable: Option<watch::Receiver<bool>>,
}

impl Election {
    pub(super) fn new(hosts: Arc<Hosts>, role: LeaderRole) -> (Self, watch::Receiver<bool>) {
        let (leads, elected) = watch::channel(false);
        let election = Self {
            hosts,
            role,
            leads,
            unable: None,
        };
        (election, elected)
    }

    /// Resigns while `unable` says that this node cannot do the work.
    pub fn gives_up_while(&mut self, unable: watch::Receiver<bool>) {
        self.unable = Some(unable);
    }

    /// Takes part in the election until `stop`, and again after each failure of the database.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let lost = tokio::select! {
                () = stop.cancelled() => return,
                lost = self.lead() => lost,
            };
            self.leads.send_replace(false);
            let pause = match lost {
                Ok(()) => {
                    tracing::warn!(role = ?self.role, "this node resigned as leader: it cannot do the work");
                    AFTER_RESIGNING
                }
                Err(error) => {
                    tracing::warn!(%error, role = ?self.role, "this node cannot become or stay leader; will retry");
                    AFTER_FAILURE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Leads until the leadership is lost, which is an error, or until this node resigns.
    async fn lead(&self) -> Result<(), sqlx::Error> {
        let mut leadership = Leadership::win(&self.hosts, &[], self.role).await?;
        tracing::info!(role = ?self.role, "this node was elected leader");
        self.leads.send_replace(true);
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            if self.unable.as_ref().is_some_and(|unable| *unable.borrow()) {
                return Ok(());
            }
            with_timeout(self.hosts.check(leadership.connection())).await?;
        }
    }
}
