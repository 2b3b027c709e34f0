//! The stream of checkpoints. It is separate, so that the stream of events contains only the log.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use time::OffsetDateTime;

use super::access::NatsAccess;
use super::config::{self, CHECKPOINT_STREAM, CHECKPOINT_SUBJECT, StreamOptions};
use super::message::described;
use super::stream::{FoundStream, GONE_FOR};
use crate::transparency::StoredCheckpoint;
use crate::transparency::checkpoint::Checkpoint;
use crate::transparency::exporter::{CheckpointSink, Notes, SinkError};

/// How long the server may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Notes in one read.
const PAGE: u64 = 1000;

/// Concurrent requests for notes.
const CONCURRENT_REQUESTS: usize = 50;

/// The stream `AUTH_CHECKPOINTS`: signed notes in order of their sizes. Each note is sent with the sequence that has to
/// precede it, so two nodes that both believe to lead store no note twice.
pub struct NatsCheckpoints {
    access: NatsAccess,
    options: StreamOptions,
    jetstream: Option<Context>,
    /// The last sequence that was read or added.
    read_to: u64,
    /// The creation time of the stream that was read last.
    made_at: Option<OffsetDateTime>,
    /// Whether the stream was deleted and not created again yet.
    is_gone: bool,
}

impl NatsCheckpoints {
    /// The stream on these servers. If it does not exist, it is created with these options with the first checkpoint.
    pub const fn new(access: NatsAccess, options: StreamOptions) -> Self {
        Self {
            access,
            options,
            jetstream: None,
            read_to: 0,
            made_at: None,
            is_gone: false,
        }
    }

    async fn jetstream(&mut self) -> Result<Context, SinkError> {
        if let Some(jetstream) = &self.jetstream {
            return Ok(jetstream.clone());
        }
        let client = self.access.connect().await.map_err(failed)?;
        let jetstream = self.access.jetstream(client, ANSWER_WITHIN);
        self.jetstream = Some(jetstream.clone());
        Ok(jetstream)
    }

    async fn next_notes(&mut self) -> Result<Notes, SinkError> {
        let jetstream = self.jetstream().await?;
        let found = FoundStream::named(&jetstream, CHECKPOINT_STREAM).await;
        let Some(found) = found.map_err(failed)? else {
            self.read_to = 0;
            let replaced = self.made_at.take().is_some();
            self.is_gone |= replaced;
            return Ok(Notes {
                replaced,
                notes: vec![],
            });
        };
        let info = &found.info;
        let replaced = self.made_at.is_some_and(|before| before != info.created);
        if replaced || info.state.last_sequence < self.read_to {
            self.read_to = 0;
        }
        if self.made_at != Some(info.created) {
            note_configuration(&found);
        }
        self.made_at = Some(info.created);
        let mut notes = vec![];
        // A range whose messages are all lost is not the end of the stream.
        while notes.is_empty() && self.read_to < info.state.last_sequence {
            let first = info.state.first_sequence.max(self.read_to + 1);
            let last = info.state.last_sequence.min(first + PAGE - 1);
            notes = stream::iter(first..=last)
                .map(|sequence| note_at(&found, sequence))
                .buffered(CONCURRENT_REQUESTS)
                .try_filter_map(|note| std::future::ready(Ok(note)))
                .try_collect::<Vec<String>>()
                .await?;
            self.read_to = last;
        }
        Ok(Notes { replaced, notes })
    }

    async fn append(&mut self, note: &str) -> Result<(), SinkError> {
        let jetstream = self.jetstream().await?;
        if self.made_at.is_none() {
            if std::mem::take(&mut self.is_gone) {
                tokio::time::sleep(GONE_FOR).await;
            }
            let made = jetstream
                .create_stream(config::checkpoints(self.options))
                .await;
            self.made_at = Some(made.map_err(failed)?.cached_info().created);
        }
        let message = PublishMessage::build()
            .payload(note.to_owned().into())
            .expected_stream(CHECKPOINT_STREAM)
            .expected_last_sequence(self.read_to);
        let sent = jetstream.send_publish(CHECKPOINT_SUBJECT, message).await;
        let stored = sent.map_err(failed)?.await.map_err(|error| match error.kind() {
            PublishErrorKind::WrongLastSequence => SinkError(format!(
                "the stream {CHECKPOINT_STREAM} has got a message meanwhile, of another node or another client, which is read first"
            )),
            _ => failed(error),
        })?;
        self.read_to = stored.sequence;
        Ok(())
    }
}

/// The note with this sequence. `None` if the stream has lost it, or if it is not a checkpoint, because another client has
/// published it.
async fn note_at(found: &FoundStream, sequence: u64) -> Result<Option<String>, SinkError> {
    let Some(message) = found.message(sequence).await.map_err(failed)? else {
        return Ok(None);
    };
    let note = String::from_utf8_lossy(&message.payload).into_owned();
    if Checkpoint::unverified(&note).is_some() {
        return Ok(Some(note));
    }
    let found = described(&message);
    tracing::warn!(
        sequence,
        found,
        "a message of the stream {CHECKPOINT_STREAM} is not a checkpoint and was skipped: another client published it. Allow no other client to publish on {CHECKPOINT_SUBJECT}"
    );
    Ok(None)
}

/// Logs a warning if the configuration of the stream puts checkpoints at risk.
fn note_configuration(found: &FoundStream) {
    let config = &found.info.config;
    let differences = config::differences(config, &found.config, CHECKPOINT_SUBJECT);
    let risks = config::risks(config, &found.config);
    let risks = risks.into_iter().map(str::to_owned);
    for risk in differences.into_iter().chain(risks) {
        tracing::warn!(
            risk,
            "the stream {CHECKPOINT_STREAM} was not created by Authlog, and its checkpoints are at risk"
        );
    }
}

fn failed(error: impl std::error::Error) -> SinkError {
    SinkError(format!("the stream {CHECKPOINT_STREAM}: {error}"))
}

#[async_trait]
impl CheckpointSink for NatsCheckpoints {
    fn name(&self) -> String {
        format!("the stream {CHECKPOINT_STREAM}")
    }

    async fn read(&mut self) -> Result<Notes, SinkError> {
        let read = self.next_notes().await;
        if read.is_err() {
            // The next read uses a new connection, possibly to another server.
            self.jetstream = None;
        }
        read
    }

    fn rewind(&mut self) {
        self.read_to = 0;
    }

    async fn add(&mut self, checkpoint: &StoredCheckpoint) -> Result<(), SinkError> {
        let added = self.append(&checkpoint.note).await;
        if added.is_err() {
            self.jetstream = None;
        }
        added
    }
}
