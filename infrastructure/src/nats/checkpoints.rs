//! Checkpoints on a stream of their own, so that the events' stream stays the log and nothing else.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{Context, ContextBuilder, GetStreamErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{
    Config, RawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use time::OffsetDateTime;

use super::connection::connect;
use super::servers::NatsServers;
use super::stream::GONE_FOR;
use crate::transparency::StoredCheckpoint;
use crate::transparency::courier::{CheckpointSink, Notes, SinkError};

/// The stream's name.
pub const CHECKPOINT_STREAM: &str = "AUTH_CHECKPOINTS";

/// Its one subject, which is none of the events'.
const SUBJECT: &str = "auth-checkpoint.v1";

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Notes that are read at a time.
const PAGE: u64 = 1000;

/// Notes that are asked for side by side.
const SIDE_BY_SIDE: usize = 50;

/// The stream `AUTH_CHECKPOINTS`: signed notes as they are, in order of their sizes. Each is sent with the sequence that
/// must come before it, so that two nodes that both believe to lead store none twice.
pub struct NatsCheckpoints {
    servers: NatsServers,
    replicas: usize,
    jetstream: Option<Context>,
    /// The last sequence that was read or added.
    read_to: u64,
    /// When the stream that was read was made.
    made_at: Option<OffsetDateTime>,
    /// Whether a stream was deleted, in whose place none was made yet.
    is_gone: bool,
}

impl NatsCheckpoints {
    /// The stream on `servers`. If it is not there, it is made with that many replicas when there is something to add.
    pub const fn new(servers: NatsServers, replicas: usize) -> Self {
        Self {
            servers,
            replicas,
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
        let client = connect(&self.servers).await.map_err(failed)?;
        let jetstream = ContextBuilder::new()
            .timeout(PATIENCE)
            .ack_timeout(PATIENCE)
            .build(client);
        self.jetstream = Some(jetstream.clone());
        Ok(jetstream)
    }

    async fn next_notes(&mut self) -> Result<Notes, SinkError> {
        let jetstream = self.jetstream().await?;
        let stream = match jetstream.get_stream(CHECKPOINT_STREAM).await {
            Ok(stream) => stream,
            Err(error) if is_missing(&error.kind()) => {
                self.read_to = 0;
                let replaced = self.made_at.take().is_some();
                self.is_gone |= replaced;
                return Ok(Notes {
                    replaced,
                    notes: vec![],
                });
            }
            Err(error) => return Err(failed(error)),
        };
        let info = stream.cached_info();
        let replaced = self.made_at.is_some_and(|before| before != info.created);
        if replaced || info.state.last_sequence < self.read_to {
            self.read_to = 0;
        }
        self.made_at = Some(info.created);
        let mut notes = vec![];
        // A stretch of which every message was lost is not the end.
        while notes.is_empty() && self.read_to < info.state.last_sequence {
            let first = info.state.first_sequence.max(self.read_to + 1);
            let last = info.state.last_sequence.min(first + PAGE - 1);
            notes = stream::iter(first..=last)
                .map(|sequence| note_at(&stream, sequence))
                .buffered(SIDE_BY_SIDE)
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
            let made = jetstream.create_stream(wanted(self.replicas)).await;
            self.made_at = Some(made.map_err(failed)?.cached_info().created);
        }
        let message = PublishMessage::build()
            .payload(note.to_owned().into())
            .expected_last_sequence(self.read_to);
        let sent = jetstream.send_publish(SUBJECT, message).await;
        let stored = sent.map_err(failed)?.await.map_err(failed)?;
        self.read_to = stored.sequence;
        Ok(())
    }
}

/// The note at this sequence; `None` if the stream has lost it.
async fn note_at(stream: &Stream, sequence: u64) -> Result<Option<String>, SinkError> {
    match stream.get_raw_message(sequence).await {
        Ok(message) => Ok(Some(String::from_utf8_lossy(&message.payload).into_owned())),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn wanted(replicas: usize) -> Config {
    Config {
        name: CHECKPOINT_STREAM.to_owned(),
        description: Some("Signed checkpoints of Authlog's log".to_owned()),
        subjects: vec![SUBJECT.to_owned()],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: replicas,
        deny_delete: true,
        deny_purge: true,
        allow_direct: true,
        ..Config::default()
    }
}

fn is_missing(kind: &GetStreamErrorKind) -> bool {
    matches!(
        kind,
        GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND
    )
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
            // The next time over another connection, perhaps to another server.
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
