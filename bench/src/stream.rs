//! Publishing to JetStream: the rate for a backlog, and the delay of a single change.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::{self, Context};
use futures_util::StreamExt as _;
use hyper::Method;

use crate::http::{Carried, Connection};
use crate::load::{Sample, Visitor as _};
use crate::operations::Refresh;
use crate::service::Service;

/// The stream to which the service publishes.
pub(crate) const STREAM: &str = "AUTH_EVENTS";

/// The stream of checkpoints.
const CHECKPOINTS: &str = "AUTH_CHECKPOINTS";

/// The number of changes whose delay is measured.
const TIMED: u64 = 200;

/// A client of the server at `url`.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Context> {
    let client = async_nats::connect(url).await?;
    Ok(jetstream::new(client))
}

/// The length of the log, once all events have a log index.
pub(crate) async fn logged(service: &Service) -> anyhow::Result<u64> {
    let mut connection = Connection::open(&service.address).await?;
    loop {
        let ready = connection
            .succeed(Method::GET, "/readyz", Carried::default())
            .await?;
        if ready["lag"]["sequencer"]["events"] == 0 {
            return ready["lag"]["log_index"].as_u64().context("a log index");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Deletes the streams of an earlier measurement, which had another store.
pub(crate) async fn delete_streams(jetstream: &Context) {
    for stream in [STREAM, CHECKPOINTS] {
        // The stream may not exist.
        let _ = jetstream.delete_stream(stream).await;
    }
    // A server may still be removing files of a deleted stream, and would remove those of its successor, too.
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// Measures how the stream fills up to `expected` messages, from its creation on.
pub(crate) async fn watch_backlog(jetstream: Context, expected: u64) -> anyhow::Result<Sample> {
    let mut first: Option<(Instant, u64)> = None;
    loop {
        if let Ok(stream) = jetstream.get_stream(STREAM).await {
            let stored = stream.cached_info().state.messages;
            let (since, at_first) = *first.get_or_insert((Instant::now(), stored));
            if stored >= expected {
                return Ok(Sample::counted(stored - at_first, since.elapsed()));
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Makes one change after the other with pauses, and measures the time of each from its answer to its arrival at a
/// consumer.
pub(crate) async fn time_changes(
    jetstream: &Context,
    client: &mut Refresh,
) -> anyhow::Result<Sample> {
    let stream = jetstream.get_stream(STREAM).await?;
    let config = OrderedConfig {
        deliver_policy: DeliverPolicy::New,
        ..OrderedConfig::default()
    };
    let mut messages = stream.create_consumer(config).await?.messages().await?;
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            if message.subject.ends_with(".token-refreshed") {
                let _ = arrived.send(Instant::now());
            }
        }
    });
    // Wait until the consumer exists.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    let mut micros = Vec::new();
    for number in 0..TIMED {
        // Coprime to the program's polling interval, so that all phases occur.
        tokio::time::sleep(Duration::from_millis(31 + number % 17)).await;
        client.visit().await?;
        let answered = Instant::now();
        let arrived = arrivals.recv().await.context("the consumer has ended")?;
        let took = arrived.saturating_duration_since(answered).as_micros();
        micros.push(u32::try_from(took).unwrap_or(u32::MAX));
    }
    micros.sort_unstable();
    Ok(Sample {
        count: TIMED,
        seconds: began.elapsed().as_secs_f64(),
        micros,
        ..Sample::default()
    })
}
