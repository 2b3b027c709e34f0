//! Heartbeats from NATS, each with the moment of its arrival.

use std::sync::Arc;

use async_nats::Message;
use futures_util::{Stream, StreamExt as _};
use serde::Deserialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use crate::clock::{Clock, Reading};
use crate::event::{Heartbeat, log_index};

/// The largest heartbeat, in bytes.
const LARGEST: usize = 1024;

/// The number of heartbeats that wait until the reader takes them: half a minute of them. The oldest are dropped, because each later
/// one proves more.
const MOST_WAITING: usize = 64;

/// What a publisher says twice a second.
#[derive(Deserialize)]
struct Beat {
    logindex: String,
    publisher: String,
    elapsed_ms: u64,
}

/// A heartbeat with the moment of its arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) publisher: String,
    pub(crate) beat: Heartbeat,
    pub(crate) at: Reading,
}

/// The heartbeats of a subscription.
///
/// A task takes them from the subscription as they arrive. The reader may be busy for seconds, with its set-up or with a comparison of
/// the history. Without the task, the reader would stamp a heartbeat too late, and the news would appear younger than it is.
pub(crate) struct Heartbeats {
    arrived: broadcast::Receiver<Arrived>,
    task: JoinHandle<()>,
}

impl Drop for Heartbeats {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Heartbeats {
    /// Takes the heartbeats of this subscription, by this clock.
    pub(crate) fn of<S>(mut messages: S, clock: Arc<dyn Clock>) -> Self
    where
        S: Stream<Item = Message> + Send + Unpin + 'static,
    {
        let (sender, arrived) = broadcast::channel(MOST_WAITING);
        let task = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let at = Reading::of(&*clock);
                if let Some((publisher, beat)) = parse(&message.payload) {
                    // It fails only if the reader has ended, and this task with it.
                    let _ = sender.send(Arrived {
                        publisher,
                        beat,
                        at,
                    });
                }
            }
        });
        Self { arrived, task }
    }

    /// The next heartbeat; `None` when the subscription has ended.
    pub(crate) async fn next(&mut self) -> Option<Arrived> {
        loop {
            match self.arrived.recv().await {
                Ok(arrived) => return Some(arrived),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// The publisher and what it says; `None` if the message is no heartbeat.
fn parse(payload: &[u8]) -> Option<(String, Heartbeat)> {
    if payload.len() > LARGEST {
        return None;
    }
    let beat: Beat = serde_json::from_slice(payload).ok()?;
    let heartbeat = Heartbeat {
        log_index: log_index(&beat.logindex)?,
        elapsed_ms: beat.elapsed_ms,
    };
    Some((beat.publisher, heartbeat))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    /// Clocks that the test sets.
    #[derive(Clone, Default)]
    struct SetClock(Arc<AtomicU64>);

    impl Clock for SetClock {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH + self.monotonic()
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(SeqCst))
        }
    }

    fn message(payload: &str) -> Message {
        Message {
            subject: "auth-heartbeat.v1".into(),
            reply: None,
            payload: payload.to_owned().into(),
            headers: None,
            status: None,
            description: None,
            length: payload.len(),
        }
    }

    fn beat(log_index: u64) -> Message {
        message(&format!(
            r#"{{"elapsed_ms":7,"logindex":"{log_index}","publisher":"a"}}"#
        ))
    }

    #[tokio::test]
    async fn a_heartbeat_counts_for_when_it_arrived_and_not_for_when_it_is_read() {
        let clock = SetClock::default();
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let messages = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
        let mut heartbeats = Heartbeats::of(messages, Arc::new(clock.clone()));
        for seconds in 0..100 {
            clock.0.store(seconds, SeqCst);
            sender.send(beat(seconds)).unwrap();
            sender.send(message("{}")).unwrap();
            sender.send(message(&" ".repeat(LARGEST + 1))).unwrap();
            // Only the task that takes them runs meanwhile.
            while heartbeats.arrived.len() <= seconds as usize {
                tokio::task::yield_now().await;
            }
        }
        clock.0.store(1000, SeqCst);
        // The newest are left.
        for seconds in 100 - MOST_WAITING as u64..100 {
            let arrived = heartbeats.next().await.unwrap();
            assert_eq!(arrived.beat.log_index, seconds);
            assert_eq!(arrived.at.monotonic, Duration::from_secs(seconds));
        }
        drop(sender);
        assert_eq!(heartbeats.next().await, None);
    }

    #[test]
    fn a_message_in_another_format_is_no_heartbeat() {
        assert!(parse(br#"{"elapsed_ms":7,"logindex":"1","publisher":"a"}"#).is_some());
        for payload in [
            r#"{"elapsed_ms":-7,"logindex":"1","publisher":"a"}"#,
            r#"{"elapsed_ms":7,"logindex":1,"publisher":"a"}"#,
            r#"{"elapsed_ms":7,"logindex":"18446744073709551615","publisher":"a"}"#,
            r#"{"elapsed_ms":7,"logindex":"1"}"#,
            "",
        ] {
            assert_eq!(parse(payload.as_bytes()), None, "{payload}");
        }
    }
}
