//! The worker that seals the data of the previous version, and then requires seals.
//!
//! Rows are not sealed as they are: they are rebuilt from their events, so that a row that was changed in the database
//! gets no MAC. Every step can be repeated. A worker that was interrupted starts again.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{Clock, StoreError, StreamId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Store;
use crate::upgrade::{has_window_passed, next_step};

/// Passwords or tokens in one step: few enough that a step holds no lock for long.
const STEP: u32 = 500;

/// Events whose rows are written again in one step.
const EVENTS: u32 = 2000;

/// Seals the data of the previous version, once no node of that version can run any more.
pub struct SealUpgrader {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    leads: watch::Receiver<bool>,
    window: Duration,
}

impl SealUpgrader {
    /// A worker that seals data while it `leads`, when `window` has passed since the upgrade of the schema. If only one
    /// program serves the store at a time, it does not wait.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        leads: watch::Receiver<bool>,
        window: Duration,
    ) -> Self {
        Self {
            store,
            clock,
            leads,
            window,
        }
    }

    /// Works until everything is sealed.
    pub async fn run(&mut self) {
        let started = Instant::now();
        let mut is_announced = false;
        loop {
            match self.step(started).await {
                Ok(true) => return,
                Ok(false) if is_announced => {}
                Ok(false) => {
                    is_announced = true;
                    tracing::warn!(
                        window = ?self.window,
                        "seals are not required yet: rows written by the previous version grant access until the upgrade is finished"
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, "rows that grant access could not be sealed; will retry");
                }
            }
            next_step(&mut self.leads).await;
        }
    }

    /// Does the work that is due, and returns whether the upgrade is finished.
    async fn step(&mut self, started: Instant) -> Result<bool, StoreError> {
        if !self.store.seals_are_required().await? {
            let leads = *self.leads.borrow_and_update();
            if !leads || !self.window_has_passed(started).await? {
                return Ok(false);
            }
            tracing::info!("sealing rows that grant access, while the service runs");
            self.seal().await?;
            if !self.store.require_seals().await? {
                return Ok(false);
            }
            tracing::info!(
                "all rows that grant access are sealed; rows without a seal no longer grant access"
            );
        }
        // What an interrupted run left is removed by the next.
        while self.store.remove_plain_hashes(STEP).await? > 0 {}
        Ok(true)
    }

    async fn window_has_passed(&self, started: Instant) -> Result<bool, StoreError> {
        let since = self.store.since_schema_upgrade().await?;
        Ok(has_window_passed(self.window, since, started))
    }

    async fn seal(&self) -> Result<(), StoreError> {
        let mut reached = None;
        while let Some(last) = self.store.seal_credentials_after(reached, STEP).await? {
            reached = Some(last);
        }
        let mut reached = None;
        while let Some(last) = self.store.seal_opaque_tokens_after(reached, STEP).await? {
            reached = Some(last);
        }
        // One step after the other, so that requests do not have to wait for it.
        let mut reached: Option<StreamId> = None;
        while let Some(stretch) = self.store.range_after(reached.as_ref(), EVENTS).await? {
            self.store.rebuild(&stretch, self.clock.now()).await?;
            reached = Some(stretch.end());
        }
        Ok(())
    }
}
