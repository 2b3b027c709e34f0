//! The worker that claims addresses by their mailbox in a store of a version that knew their spelling alone
//! (`docs/adr/0016`).
//!
//! Nodes of the previous version may run for a while and register accounts without such claims. So the worker walks
//! through the accounts when it starts, and once more when no such node can run any more. Both walks can be interrupted
//! and repeated.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::StoreError;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Store;
use crate::upgrade::{has_window_passed, next_step};

/// Accounts in one step: few enough that a step takes milliseconds.
const STEP: u32 = 500;

/// Claims mailboxes until every account has claimed its own.
pub struct ClaimUpgrader {
    store: Arc<dyn Store>,
    leads: watch::Receiver<bool>,
    window: Duration,
    has_walked: bool,
}

impl ClaimUpgrader {
    /// A worker that claims mailboxes while it `leads`. It finishes when `window` has passed since the upgrade of the
    /// schema, or at once if only one program serves the store at a time.
    pub fn new(store: Arc<dyn Store>, leads: watch::Receiver<bool>, window: Duration) -> Self {
        Self {
            store,
            leads,
            window,
            has_walked: false,
        }
    }

    /// Works until every mailbox is claimed.
    pub async fn run(&mut self) {
        let started = Instant::now();
        loop {
            match self.step(started).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "e-mail addresses could not all be claimed by mailbox; will retry");
                }
            }
            next_step(&mut self.leads).await;
        }
    }

    /// Does the work that is due, and returns whether the upgrade is finished.
    async fn step(&mut self, started: Instant) -> Result<bool, StoreError> {
        if self.store.mailboxes_are_claimed().await? {
            return Ok(true);
        }
        if !*self.leads.borrow_and_update() {
            return Ok(false);
        }
        let since = self.store.since_mailbox_claims().await?;
        let is_last = has_window_passed(self.window, since, started);
        if is_last || !self.has_walked {
            self.walk().await?;
            self.has_walked = true;
        }
        if is_last {
            self.store.finish_mailbox_claims().await?;
        }
        Ok(is_last)
    }

    async fn walk(&self) -> Result<(), StoreError> {
        let (mut reached, mut claimed) = (None, 0);
        while let Some(step) = self.store.claim_mailboxes_after(reached, STEP).await? {
            reached = Some(step.last);
            claimed += step.claimed;
        }
        if claimed > 0 {
            tracing::info!(claimed, "e-mail addresses were claimed by mailbox");
        }
        Ok(())
    }
}
