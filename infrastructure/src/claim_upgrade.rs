//! The worker that claims addresses by their mailbox in a store of a version that knew their spelling alone
//! (`docs/adr/0016`).
//!
//! Nodes of the version before may run for a while and register accounts in their way. So it walks through the accounts
//! when it starts, and once more when no such node can run any more. Both can be interrupted and repeated.

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
    /// A worker that does so if it `leads`, and is done when `window` has passed since the schema was brought up to this
    /// version. Where only one program serves a store at a time it does not wait.
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

    /// Does what is to be done now; whether nothing is left.
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
