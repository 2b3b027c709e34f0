//! JetStream filled from memory by a publisher without other work, fenced and pipelined like the service's.

use std::collections::VecDeque;
use std::future::IntoFuture as _;
use std::time::Instant;

use anyhow::Context as _;
use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Config;

use crate::load::Sample;
use crate::stream::STREAM;

/// Messages in flight, as many as the service has.
const IN_FLIGHT: usize = 1000;

/// The most messages that are published again.
const MOST: u64 = 100_000;

/// Publishes what the service's stream holds to another one.
pub(crate) async fn measure(jetstream: &Context, name: &str) -> anyhow::Result<Sample> {
    let config = Config {
        name: name.to_owned(),
        subjects: vec![format!("{name}.>")],
        ..Config::default()
    };
    let messages = first_messages(jetstream, name).await?;
    jetstream.create_stream(config).await?;
    let count = messages.len() as u64;
    let began = Instant::now();
    let mut under_way = VecDeque::new();
    for (sequence, (subject, headers, data)) in (0..).zip(messages) {
        let message = PublishMessage::build()
            .headers(headers)
            .payload(data.into())
            .expected_stream(name)
            .expected_last_sequence(sequence);
        under_way.push_back(jetstream.send_publish(subject, message).await?);
        if under_way.len() >= IN_FLIGHT
            && let Some(oldest) = under_way.pop_front()
        {
            oldest.into_future().await?;
        }
    }
    for sent in under_way {
        sent.await?;
    }
    let sample = Sample::counted(count, began.elapsed());
    jetstream.delete_stream(name).await?;
    Ok(sample)
}

async fn first_messages(
    jetstream: &Context,
    name: &str,
) -> anyhow::Result<Vec<(String, HeaderMap, Vec<u8>)>> {
    use futures_util::StreamExt as _;
    let stream = jetstream.get_stream(STREAM).await?;
    let count = stream.cached_info().state.messages.min(MOST);
    let consumer = stream.create_consumer(OrderedConfig::default()).await?;
    let mut messages = consumer.messages().await?;
    let mut found = Vec::new();
    while (found.len() as u64) < count {
        let message = messages.next().await.context("another message")??;
        let subject = format!("{name}.{}", message.subject);
        let headers = message.headers.clone().unwrap_or_default();
        // Each message has its own expected sequence.
        let mut kept = HeaderMap::new();
        for (header, values) in headers.iter() {
            if !header.to_string().starts_with("Nats-Expected") {
                for value in values {
                    kept.append(header.clone(), value.clone());
                }
            }
        }
        found.push((subject, kept, message.payload.to_vec()));
    }
    Ok(found)
}
