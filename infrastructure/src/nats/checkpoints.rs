//! Checkpoints on a stream of their own, so that the events' stream stays the log and nothing else.

use std::time::Duration;

use super::connection::connect;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{Context, ContextBuilder, GetStreamErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType, Stream};
use async_trait::async_trait;

use crate::transparency::StoredCheckpoint;
use crate::transparency::courier::{CheckpointSink, SinkError};

/// The stream's name.
pub const CHECKPOINT_STREAM: &str = "AUTH_CHECKPOINTS";

/// Its one subject, which is none of the events'.
const SUBJECT: &str = "auth-checkpoint.v1";

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The stream `AUTH_CHECKPOINTS`: signed notes as they are, in order of their sizes. Each is sent with the sequence that
/// must come before it, so that two nodes that both believe to lead store none twice.
pub struct NatsCheckpoints {
    url: String,
    open: Option<Open>,
}

struct Open {
    jetstream: Context,
    sequence: u64,
}

impl NatsCheckpoints {
    /// The stream on the server at `url`, which is made when it is not there.
    pub const fn new(url: String) -> Self {
        Self { url, open: None }
    }

    async fn stream(&self) -> Result<(Context, Stream), SinkError> {
        let client = connect(&self.url).await.map_err(failed)?;
        let jetstream = ContextBuilder::new()
            .timeout(PATIENCE)
            .ack_timeout(PATIENCE)
            .build(client);
        let stream = match jetstream.get_stream(CHECKPOINT_STREAM).await {
            Ok(stream) => stream,
            Err(error) if is_missing(&error.kind()) => {
                jetstream.create_stream(wanted()).await.map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
        Ok((jetstream, stream))
    }
}

fn wanted() -> Config {
    Config {
        name: CHECKPOINT_STREAM.to_owned(),
        description: Some("Signed checkpoints of Authlog's log".to_owned()),
        subjects: vec![SUBJECT.to_owned()],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: 1,
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

    async fn last(&mut self) -> Result<Option<String>, SinkError> {
        let (jetstream, stream) = self.stream().await?;
        let sequence = stream.cached_info().state.last_sequence;
        self.open = Some(Open {
            jetstream,
            sequence,
        });
        if sequence == 0 {
            return Ok(None);
        }
        let message = stream.get_raw_message(sequence).await.map_err(failed)?;
        Ok(Some(String::from_utf8_lossy(&message.payload).into_owned()))
    }

    async fn add(&mut self, checkpoint: &StoredCheckpoint) -> Result<(), SinkError> {
        let closed = || SinkError(format!("the stream {CHECKPOINT_STREAM} is not open"));
        let open = self.open.as_mut().ok_or_else(closed)?;
        let message = PublishMessage::build()
            .payload(checkpoint.note.clone().into())
            .expected_last_sequence(open.sequence);
        let sent = open.jetstream.send_publish(SUBJECT, message).await;
        let stored = sent.map_err(failed)?.await.map_err(failed)?;
        open.sequence = stored.sequence;
        Ok(())
    }
}
