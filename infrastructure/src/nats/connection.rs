//! A connection to NATS that is used until it breaks.
//!
//! async-nats would mend it behind our back: messages that were under way are then never acknowledged, and those that
//! wait in its queue are sent after a hole, hours later if need be. Here a connection that broke is given up at once, and
//! the next one begins by asking the stream where to go on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::{self, ContextBuilder};
use async_nats::{ConnectOptions, Event};
use percent_encoding::percent_decode_str;
use tokio_util::sync::CancellationToken;
use url::Url;

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
    /// Connects to `url`, once. What it says of user, password or token is sent to the server and shown to nobody.
    pub(super) async fn open(url: &Url) -> Result<Self, Trouble> {
        let broken = CancellationToken::new();
        let complaint = Arc::default();
        let (address, options) = options(url);
        let client = options
            .name("authlog")
            .connection_timeout(ANSWER_WITHIN)
            // Not at all cannot be said. A client whose connection came back is not used any more.
            .max_reconnects(1)
            .event_callback(noting(broken.clone(), Arc::clone(&complaint)))
            .connect(address.as_str())
            .await
            .map_err(Trouble::away)?;
        let jetstream = ContextBuilder::new()
            .timeout(ANSWER_WITHIN)
            .ack_timeout(ANSWER_WITHIN)
            .build(client);
        Ok(Self {
            jetstream,
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

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    #[error("the address of NATS is not a URL")]
    Address(#[from] url::ParseError),
    #[error(transparent)]
    Connecting(#[from] async_nats::ConnectError),
}

/// Connects to `url` for a few questions, mended by async-nats should it break.
pub(super) async fn connect(url: &str) -> Result<async_nats::Client, NoConnection> {
    let (address, options) = options(&Url::parse(url)?);
    let client = options.name("authlog").connect(address.as_str()).await?;
    Ok(client)
}

/// The address without credentials, and options that hold them: async-nats passes over what a URL says of users.
fn options(url: &Url) -> (Url, ConnectOptions) {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = decoded(url.username());
    let options = match url.password() {
        Some(password) => ConnectOptions::with_user_and_password(user, decoded(password)),
        None if user.is_empty() => ConnectOptions::new(),
        // As other clients of NATS read it.
        None => ConnectOptions::with_token(user),
    };
    let mut address = url.clone();
    // Only URLs that cannot have a user refuse to be told that they have none.
    let _ = address.set_username("");
    let _ = address.set_password(None);
    (address, options)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_no_credentials() {
        for given in [
            "nats://user:p%40ss@nats.example.com:4222",
            "nats://token@nats.example.com:4222",
            "nats://nats.example.com:4222",
        ] {
            let (address, _) = options(&given.parse().unwrap());
            assert_eq!(address.as_str(), "nats://nats.example.com:4222", "{given}");
        }
    }
}
