//! A connection to NATS that is used until it breaks.
//!
//! async-nats would reconnect by itself. Messages that were sent before are then never acknowledged, and messages in its queue
//! are sent after a gap, possibly hours later. So this connection is abandoned as soon as it breaks, and the next one begins
//! by asking the stream where to continue.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Event;
use async_nats::jetstream;
use authlog_application::published::HEARTBEAT_SUBJECT;
use tokio_util::sync::CancellationToken;

use super::access::NatsAccess;
use super::error::NatsError;

/// How long the server may take for any answer, including an acknowledgement, before the connection counts as broken.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A connection to NATS.
pub(super) struct NatsConnection {
    pub(super) jetstream: jetstream::Context,
    broken: CancellationToken,
    complaint: Arc<Mutex<Option<String>>>,
}

impl NatsConnection {
    /// Connects to one of the servers. Each server is tried once. Credentials never appear in an error.
    pub(super) async fn open(access: &NatsAccess) -> Result<Self, NatsError> {
        let broken = CancellationToken::new();
        let complaint = Arc::default();
        let options = access.options_for_connection().await;
        let (addresses, options) = options.map_err(NatsError::unavailable)?;
        let client = options
            .name("authlog")
            .connection_timeout(ANSWER_WITHIN)
            // The library cannot be told not to reconnect, and a smaller number would skip servers. A client that has
            // reconnected is not used any more.
            .max_reconnects(access.servers.count())
            .event_callback(record_events(broken.clone(), Arc::clone(&complaint)))
            .connect(addresses)
            .await
            .map_err(not_connected)?;
        Ok(Self {
            jetstream: access.jetstream(client, ANSWER_WITHIN),
            broken,
            complaint,
        })
    }

    /// Waits until the connection breaks.
    pub(super) async fn breaks(&self) -> NatsError {
        self.broken.cancelled().await;
        self.explain(NatsError::Unavailable("the connection was lost".to_owned()))
    }

    /// Adds the last error that the server sent on its own, for example about a missing permission.
    pub(super) fn explain(&self, trouble: NatsError) -> NatsError {
        let complaint = self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match (trouble, complaint.as_ref()) {
            (NatsError::Unavailable(words), Some(complaint)) => {
                NatsError::Unavailable(format!("{words}; the server says: {complaint}"))
            }
            (trouble, _) => trouble,
        }
    }
}

/// A server without TLS answers the handshake with a line of its protocol, which the library cannot parse.
fn not_connected(error: async_nats::ConnectError) -> NatsError {
    match NatsError::unavailable(error) {
        NatsError::Unavailable(words) if words.contains("InvalidContentType") => {
            NatsError::Unavailable(format!(
                "{words}: the server does not speak TLS, which its URL, AUTHLOG_NATS_CA_FILE or a client certificate asks for"
            ))
        }
        other => other,
    }
}

/// The callback for events of the connection.
fn record_events(
    broken: CancellationToken,
    complaint: Arc<Mutex<Option<String>>>,
) -> impl Fn(Event) -> std::future::Ready<()> + Send + Sync + 'static {
    let warned = AtomicBool::new(false);
    move |event| {
        match event {
            Event::Disconnected | Event::Closed => broken.cancel(),
            Event::ServerError(error) => {
                let words = error.to_string();
                // Nothing else fails without this permission, so it explains no other error.
                if words.contains(HEARTBEAT_SUBJECT) {
                    if !warned.swap(true, Ordering::Relaxed) {
                        tracing::warn!(
                            trouble = %words,
                            "heartbeats cannot be published: allow the service to publish on {HEARTBEAT_SUBJECT}"
                        );
                    }
                } else {
                    *complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
                }
            }
            _ => {}
        }
        std::future::ready(())
    }
}
