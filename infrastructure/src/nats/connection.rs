//! A connection to NATS that is used until it breaks.
//!
//! async-nats would mend it behind our back: messages that were under way are then never acknowledged, and those that
//! wait in its queue are sent after a hole, hours later if need be. Here a connection that broke is given up at once, and
//! the next one begins by asking the stream where to go on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Event;
use async_nats::jetstream;
use tokio_util::sync::CancellationToken;

use super::access::NatsAccess;
use super::trouble::Trouble;

/// How long the server may take for any answer, an acknowledgement among them, before the connection counts as broken.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A connection to NATS.
pub(super) struct Connection {
    pub(super) jetstream: jetstream::Context,
    broken: CancellationToken,
    complaint: Arc<Mutex<Option<String>>>,
}

impl Connection {
    /// Connects to one of the servers, each of which is tried once. Credentials are sent to the server and are never
    /// shown.
    pub(super) async fn open(access: &NatsAccess) -> Result<Self, Trouble> {
        let broken = CancellationToken::new();
        let complaint = Arc::default();
        let options = access.options_for_connection().await;
        let (addresses, options) = options.map_err(Trouble::away)?;
        let client = options
            .name("authlog")
            .connection_timeout(ANSWER_WITHIN)
            // None cannot be said, and less would leave servers out. A client whose connection came back is not used any
            // more.
            .max_reconnects(access.servers.count())
            .event_callback(noting(broken.clone(), Arc::clone(&complaint)))
            .connect(addresses)
            .await
            .map_err(not_connected)?;
        Ok(Self {
            jetstream: access.jetstream(client, ANSWER_WITHIN),
            broken,
            complaint,
        })
    }

    /// Waits until it breaks.
    pub(super) async fn breaks(&self) -> Trouble {
        self.broken.cancelled().await;
        self.explain(Trouble::Away("the connection was lost".to_owned()))
    }

    /// Adds what the server complained about: it does so beside its answers, for example when a permission is missing.
    pub(super) fn explain(&self, trouble: Trouble) -> Trouble {
        let complaint = self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match (trouble, complaint.as_ref()) {
            (Trouble::Away(words), Some(complaint)) => {
                Trouble::Away(format!("{words}; the server says: {complaint}"))
            }
            (trouble, _) => trouble,
        }
    }
}

/// A server that does not speak TLS answers the handshake with a line of its protocol, which the library cannot read.
fn not_connected(error: async_nats::ConnectError) -> Trouble {
    match Trouble::away(error) {
        Trouble::Away(words) if words.contains("InvalidContentType") => Trouble::Away(format!(
            "{words}: the server does not speak TLS, which its URL, AUTHLOG_NATS_CA_FILE or a client certificate asks for"
        )),
        other => other,
    }
}

/// Notes what happens to a connection.
fn noting(
    broken: CancellationToken,
    complaint: Arc<Mutex<Option<String>>>,
) -> impl Fn(Event) -> std::future::Ready<()> + Send + Sync + 'static {
    move |event| {
        match event {
            Event::Disconnected | Event::Closed => broken.cancel(),
            Event::ServerError(error) => {
                *complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
            _ => {}
        }
        std::future::ready(())
    }
}
