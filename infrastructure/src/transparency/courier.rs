//! The worker that carries checkpoints to where whoever holds the database cannot change them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::checkpoint::Checkpoint;
use super::note::VerifierKey;
use super::signer::Alarm;
use super::store::{LogTree, StoredCheckpoint};

/// Checkpoints that are carried in one go.
const BATCH: u32 = 500;

/// How often there is a look at whether there are new ones.
const EVERY: Duration = Duration::from_millis(100);

/// How long to wait after something did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// Where checkpoints are carried to, in order.
#[async_trait]
pub trait CheckpointSink: Send + Sync {
    /// What it is, in words for an operator.
    fn name(&self) -> String;

    /// The last note that it holds.
    async fn last(&mut self) -> Result<Option<String>, SinkError>;

    /// Adds a checkpoint.
    async fn add(&mut self, checkpoint: &StoredCheckpoint) -> Result<(), SinkError>;
}

/// Why a checkpoint was not carried. It will be tried again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);

/// What is wrong.
enum Trouble {
    Away(String),
    Contradiction(String),
}

impl<E: std::error::Error> From<E> for Trouble {
    fn from(error: E) -> Self {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            words = format!("{words}: {cause}");
            source = cause.source();
        }
        Self::Away(words)
    }
}

/// Carries checkpoints while this node leads.
pub struct Courier<S> {
    sink: S,
    store: Arc<dyn LogTree>,
    key: VerifierKey,
    leads: watch::Receiver<bool>,
    alarm: Alarm,
}

impl<S: CheckpointSink> Courier<S> {
    /// A courier from `store` to `sink`, which works while `leads` says so. If the sink holds a checkpoint that the log
    /// contradicts, it raises `alarm`.
    pub fn new(
        sink: S,
        store: Arc<dyn LogTree>,
        key: VerifierKey,
        leads: watch::Receiver<bool>,
        alarm: Alarm,
    ) -> Self {
        Self {
            sink,
            store,
            key,
            leads,
            alarm,
        }
    }

    /// Carries until `stop`.
    pub async fn run(&mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if !*self.leads.borrow_and_update() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    changed = self.leads.changed() => if changed.is_err() { return },
                }
                continue;
            }
            let trouble = tokio::select! {
                () = stop.cancelled() => return,
                trouble = self.carry_while_leading() => trouble,
            };
            match trouble {
                Ok(()) => continue,
                Err(Trouble::Away(reason)) => {
                    let to = self.sink.name();
                    tracing::warn!(%reason, %to, "checkpoints wait until they can be carried there");
                }
                Err(Trouble::Contradiction(words)) => {
                    // The signer says so, and goes on saying so.
                    self.alarm.send_replace(Some(words));
                    return;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(AFTER_FAILURE) => {}
            }
        }
    }

    async fn carry_while_leading(&mut self) -> Result<(), Trouble> {
        let mut reached = match self.sink.last().await? {
            Some(note) => self.known(&note).await?,
            None => 0,
        };
        while *self.leads.borrow() {
            let news = self.store.checkpoints_after(reached, BATCH).await?;
            for checkpoint in &news {
                self.sink.add(checkpoint).await?;
                reached = checkpoint.tree_size;
            }
            if news.is_empty() {
                tokio::time::sleep(EVERY).await;
            }
        }
        Ok(())
    }

    /// The size of a checkpoint that was carried away before, which the store has to have as well.
    async fn known(&self, note: &str) -> Result<u64, Trouble> {
        let to = self.sink.name();
        let carried = Checkpoint::open(note, &self.key).map_err(|error| {
            Trouble::Contradiction(format!(
                "the last checkpoint in {to} is not this log's: {error}"
            ))
        })?;
        let size = carried.tree_size;
        let ours = self.store.checkpoints_after(size - 1, 1).await?;
        let ours = ours
            .first()
            .and_then(|ours| Checkpoint::open(&ours.note, &self.key).ok());
        match ours {
            Some(ours) if ours == carried => Ok(size),
            Some(ours) if ours.tree_size == size => Err(Trouble::Contradiction(format!(
                "{to} has a checkpoint of size {size} with the root {}, and here the root is {}: the log was rewritten",
                carried.root, ours.root
            ))),
            _ => Err(Trouble::Contradiction(format!(
                "{to} has a checkpoint of size {size}, and here there is none: the log was rolled back, as by restoring a backup"
            ))),
        }
    }
}
