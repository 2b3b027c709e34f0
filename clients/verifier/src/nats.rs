//! Reads the news from the JetStream stream of Authlog.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind as RawMessageErrorKind, Stream};
use async_nats::{Client, HeaderMap};
use futures_util::StreamExt as _;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior};

use crate::backoff::Backoff;
use crate::event::{Attributes, Event, Mark, Unreadable, log_index};
use crate::heartbeats::{Arrived, Heartbeats};
use crate::shared::{NewsWriter, count};
use crate::trouble::Trouble;

/// The stream of all events.
const STREAM: &str = "AUTH_EVENTS";

/// The subject of heartbeats, which is not part of the stream.
const HEARTBEATS: &str = "auth-heartbeat.v1";

/// The largest number of messages that are applied at once.
const BATCH: usize = 256;

/// How long a gap may stay open. An event whose place was taken by another message comes late.
const LONGEST_GAP: Duration = Duration::from_secs(5);

/// How long the stream may deliver no event although heartbeats name later ones than were applied. Authlog publishes a heartbeat
/// after the events are stored, so they are there within milliseconds.
const LONGEST_DELIVERY: Duration = Duration::from_secs(5);

/// How long there may be no heartbeat. There are two in a second, unless the publisher cannot know what it would say.
const LONGEST_SILENCE: Duration = Duration::from_secs(3);

/// The number of messages at the end of the stream among which there is an event, also if others were published there.
const END: u64 = 64;

/// The number of messages that are looked at to find an event again.
const MOST_STEPS: usize = 256;

/// The stream of Authlog on NATS as the source of revocations.
///
/// The reader needs the permissions of `docs/consuming.md`, "Permissions of a reader", and to subscribe to `auth-heartbeat.v1`. Only
/// Authlog may publish on that subject and on `auth.v1.>`.
#[must_use]
pub struct Nats {
    connection: Connection,
    stream: String,
}

enum Connection {
    Url(String),
    Client(Client),
}

impl Nats {
    /// Connects to the servers at these addresses, separated by commas.
    pub fn connect(servers: impl Into<String>) -> Self {
        Self::with(Connection::Url(servers.into()))
    }

    /// Uses a connection, with its credentials, certificates and other options.
    pub fn with_client(client: Client) -> Self {
        Self::with(Connection::Client(client))
    }

    fn with(connection: Connection) -> Self {
        Self {
            connection,
            stream: STREAM.to_owned(),
        }
    }

    /// The name of the stream, if it is not `AUTH_EVENTS`, such as that of a mirror.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = name.into();
        self
    }
}

/// Reads the stream.
pub(crate) struct NatsReader {
    pub(crate) nats: Nats,
    client: Option<Client>,
}

/// A subscription.
struct Reading {
    stream: Stream,
    foreign: Vec<RangeInclusive<u64>>,
    /// The name of the consumer. The client library creates another one when the server has lost it.
    consumer: Option<String>,
    /// The publisher whose stream was compared with the news.
    publisher: Option<String>,
    silent_from: Instant,
    gap_from: Option<Instant>,
    /// Since when heartbeats have named later events than were applied, and no event was delivered.
    waiting_from: Option<Instant>,
}

impl NatsReader {
    pub(crate) fn new(nats: Nats) -> Self {
        Self { nats, client: None }
    }

    /// Reads the stream, again after each failure.
    pub(crate) async fn run(mut self, mut writer: NewsWriter) {
        let mut backoff = Backoff::default();
        loop {
            let began = Instant::now();
            let Err(trouble) = self.follow(&mut writer).await;
            writer.write(|news| news.end_connection());
            writer.shared().note_trouble("NATS", &trouble);
            if began.elapsed() > 3 * LONGEST_SILENCE {
                backoff.reset();
            }
            if trouble.needs_all_news() {
                writer.begin();
            }
            tokio::time::sleep(backoff.next()).await;
            // Only a clock that was ahead is reported, which the next subscription finds as well.
            let _ = writer.tidy();
        }
    }

    async fn client(&mut self) -> Result<Client, Trouble> {
        let client = match (&self.client, &self.nats.connection) {
            (Some(client), _) | (None, Connection::Client(client)) => client.clone(),
            (None, Connection::Url(servers)) => {
                let servers: Vec<_> = servers.split(',').map(str::trim).collect();
                let connected = async_nats::connect(servers).await;
                connected.map_err(Trouble::connection)?
            }
        };
        self.client = Some(client.clone());
        // The library connects again by itself. A request to it would only wait for a time limit.
        while client.connection_state() != State::Connected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(client)
    }

    async fn follow(
        &mut self,
        writer: &mut NewsWriter,
    ) -> Result<std::convert::Infallible, Trouble> {
        let client = self.client().await?;
        count(&writer.shared().counters.connections);
        let began = writer.shared().now();
        let beats = client.subscribe(HEARTBEATS).await;
        let beats = beats.map_err(Trouble::connection)?;
        let mut beats = Heartbeats::of(beats, Arc::clone(&writer.shared().clock));
        let jetstream = async_nats::jetstream::new(client);
        let stream = jetstream.get_stream(&self.nats.stream).await;
        let stream = stream.map_err(Trouble::connection)?;
        let mut reading = Reading {
            foreign: foreign(stream.cached_info().config.description.as_deref()),
            stream,
            consumer: None,
            publisher: None,
            silent_from: Instant::now(),
            gap_from: None,
            waiting_from: None,
        };
        let messages = reading.subscribe(writer).await?;
        writer.write(|news| news.begin_connection(began));
        let mut batches = messages.ready_chunks(BATCH);
        let mut every_second = tokio::time::interval(Duration::from_secs(1));
        every_second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                batch = batches.next() => {
                    let batch = batch.ok_or(Trouble::Ended)?;
                    let batch = batch.into_iter().collect::<Result<Vec<_>, _>>();
                    let batch = batch.map_err(Trouble::connection)?;
                    reading.accept(&batch, writer).await?;
                }
                beat = beats.next() => {
                    let beat = beat.ok_or(Trouble::Ended)?;
                    reading.heartbeat(&beat, writer).await?;
                }
                _ = every_second.tick() => {
                    writer.tidy()?;
                    reading.check_time()?;
                }
            }
        }
    }
}

impl Reading {
    /// Subscribes to everything that is not in the news.
    async fn subscribe(&mut self, writer: &mut NewsWriter) -> Result<Ordered, Trouble> {
        let last = writer.read(|news| news.last().cloned()).flatten();
        if let Some(mark) = last {
            let sequence = self.find(&mark).await?;
            let start_sequence = sequence.saturating_add(1);
            let policy = DeliverPolicy::ByStartSequence { start_sequence };
            return self.consumer(policy).await.map(|(messages, _)| messages);
        }
        count(&writer.shared().counters.readings);
        writer.begin();
        let since = writer.read(|news| news.since()).unwrap_or_default();
        let start = OffsetDateTime::from_unix_timestamp_nanos(i128::from(since) * 1_000_000);
        let start_time = start.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (messages, pending) = self
            .consumer(DeliverPolicy::ByStartTime { start_time })
            .await?;
        if pending > 0 {
            return Ok(messages);
        }
        drop(messages);
        // Nothing happened since. The end of the stream says which event comes next.
        let info = self.stream.get_info().await.map_err(Trouble::connection)?;
        let end = info.state.last_sequence;
        if end == 0 {
            writer.write(|news| news.begin_after(0));
        }
        let start_sequence = end.saturating_sub(END - 1).max(1);
        let policy = DeliverPolicy::ByStartSequence { start_sequence };
        self.consumer(policy).await.map(|(messages, _)| messages)
    }

    /// A consumer that begins there, and the number of messages that wait for it.
    async fn consumer(&self, deliver_policy: DeliverPolicy) -> Result<(Ordered, u64), Trouble> {
        let config = OrderedConfig {
            deliver_policy,
            ..OrderedConfig::default()
        };
        let consumer = self.stream.create_consumer(config).await;
        let consumer = consumer.map_err(Trouble::connection)?;
        let pending = consumer.cached_info().num_pending;
        let messages = consumer.messages().await.map_err(Trouble::connection)?;
        Ok((messages, pending))
    }

    async fn accept(
        &mut self,
        batch: &[async_nats::jetstream::Message],
        writer: &mut NewsWriter,
    ) -> Result<(), Trouble> {
        let mut events = Vec::new();
        for message in batch {
            let info = message.info().map_err(Trouble::Connection)?;
            if self.consumer.as_deref() != Some(info.consumer) {
                let is_first = self.consumer.is_none();
                self.consumer = Some(info.consumer.to_owned());
                if !is_first {
                    // The stream may have been deleted and created again.
                    writer.apply(&events)?;
                    events.clear();
                    self.compare(writer).await?;
                }
            }
            if is_in(&self.foreign, info.stream_sequence) {
                continue;
            }
            let Some(headers) = &message.headers else {
                continue;
            };
            match event(headers, &message.payload) {
                Some(Ok(event)) => events.push(event),
                Some(Err(Unreadable)) => {
                    writer.apply(&events)?;
                    return Err(Trouble::from(Unreadable));
                }
                None => {}
            }
        }
        if !events.is_empty() {
            self.waiting_from = None;
        }
        writer.apply(&events)?;
        let has_gap = writer.read(|news| news.has_gap()).unwrap_or(false);
        self.gap_from = match self.gap_from {
            _ if !has_gap => None,
            None => Some(Instant::now()),
            since => since,
        };
        if !writer.read(|news| news.is_complete()).unwrap_or(false) {
            self.silent_from = Instant::now();
        }
        Ok(())
    }

    async fn heartbeat(
        &mut self,
        arrived: &Arrived,
        writer: &mut NewsWriter,
    ) -> Result<(), Trouble> {
        if self.publisher.as_ref() != Some(&arrived.publisher) {
            // After a failover of the database, the log and its stream may have another history.
            self.compare(writer).await?;
            self.publisher = Some(arrived.publisher.clone());
        }
        self.silent_from = Instant::now();
        writer.heartbeat(&arrived.publisher, arrived.beat, arrived.at);
        let applied = writer.read(|news| news.log_index()).flatten();
        let has_all = applied.is_some_and(|applied| applied >= arrived.beat.log_index);
        self.waiting_from = match self.waiting_from {
            _ if has_all => None,
            None => Some(Instant::now()),
            since => since,
        };
        Ok(())
    }

    fn check_time(&self) -> Result<(), Trouble> {
        let is_over =
            |from: Option<Instant>, longest| from.is_some_and(|it| it.elapsed() > longest);
        if is_over(self.gap_from, LONGEST_GAP) {
            return Err(Trouble::Gap);
        }
        if is_over(self.waiting_from, LONGEST_DELIVERY) {
            return Err(Trouble::NotDelivered);
        }
        if self.silent_from.elapsed() > LONGEST_SILENCE {
            return Err(Trouble::Silent);
        }
        Ok(())
    }

    /// Checks that the stream has the event that was applied last.
    async fn compare(&self, writer: &NewsWriter) -> Result<(), Trouble> {
        match writer.read(|news| news.last().cloned()).flatten() {
            Some(mark) => self.find(&mark).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// The sequence of an event in the stream. No event has a sequence below its index in the log; each message before it that is not
    /// an event makes it higher by one.
    async fn find(&self, mark: &Mark) -> Result<u64, Trouble> {
        let mut sequence = mark.log_index;
        for _ in 0..MOST_STEPS {
            let message = match self.stream.get_raw_message(sequence).await {
                Ok(message) => message,
                Err(error) => {
                    // The stream is shorter than what was read: it was deleted, or belongs to another log.
                    return Err(match error.kind() {
                        RawMessageErrorKind::NoMessageFound => Trouble::HistoryChanged,
                        _ => Trouble::connection(error),
                    });
                }
            };
            match found(&message).filter(|_| !is_in(&self.foreign, sequence)) {
                Some(found) if found == *mark => return Ok(sequence),
                Some(found) if found.log_index >= mark.log_index => {
                    return Err(Trouble::HistoryChanged);
                }
                Some(found) => {
                    sequence = sequence.saturating_add(mark.log_index - found.log_index);
                }
                None => sequence = sequence.saturating_add(1),
            }
        }
        Err(Trouble::HistoryChanged)
    }
}

/// The event that a stored message names.
fn found(message: &StreamMessage) -> Option<Mark> {
    let text = |name: &str| Some(message.headers.get(name)?.as_str().to_owned());
    Some(Mark {
        log_index: log_index(&text("ce-logindex")?)?,
        id: text("ce-id")?,
        time: text("ce-time")?,
    })
}

/// The event that a message carries; `None` if it does not say that it is one.
fn event(headers: &HeaderMap, payload: &[u8]) -> Option<Result<Event, Unreadable>> {
    let text = |name: &str| headers.get(name).map(|value| value.as_str());
    let (log_index, id) = (text("ce-logindex")?, text("ce-id")?);
    let attributes = (|| {
        Some(Attributes {
            log_index,
            id,
            kind: text("ce-type")?,
            source: text("ce-source")?,
            subject: text("ce-subject")?,
            time: text("ce-time")?,
        })
    })();
    let read = || {
        let data: Value = serde_json::from_slice(payload).map_err(|_| Unreadable)?;
        Event::new(&attributes.ok_or(Unreadable)?, &data)
    };
    Some(read())
}

/// The sequences of messages that are not events, from the description of the stream: "Not events: 21, 30-32."
fn foreign(description: Option<&str>) -> Vec<RangeInclusive<u64>> {
    let list = description.and_then(|text| Some(text.split_once("Not events: ")?.1));
    let list = list.and_then(|list| list.split('.').next());
    let items = list.unwrap_or_default().split(", ");
    let ranges = items.filter_map(|item| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.collect()
}

fn is_in(ranges: &[RangeInclusive<u64>], sequence: u64) -> bool {
    ranges.iter().any(|range| range.contains(&sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_are_no_events_are_listed_in_the_description() {
        let ranges = foreign(Some("All events. Not events: 21, 30-32. Late events: 41."));
        for (sequence, expected) in [(21, true), (22, false), (31, true), (41, false)] {
            assert_eq!(is_in(&ranges, sequence), expected, "{sequence}");
        }
        assert!(foreign(None).is_empty() && foreign(Some("x")).is_empty());
    }

    #[test]
    fn a_message_is_an_event_if_its_headers_say_so() {
        let mut headers = HeaderMap::new();
        assert!(event(&headers, b"{}").is_none());
        for (name, value) in [
            ("ce-logindex", "41"),
            ("ce-id", "session/x/3"),
            ("ce-type", "dev.authlog.session.logged-out.v1"),
            ("ce-source", "https://auth.example.com"),
            ("ce-subject", "019c0000-0000-7000-8000-000000000002"),
        ] {
            headers.insert(name, value);
        }
        let data = br#"{"session_id":"019c0000-0000-7000-8000-000000000001"}"#;
        assert_eq!(event(&headers, data), Some(Err(Unreadable)), "no time");
        headers.insert("ce-time", "2026-11-21T09:25:00.123Z");
        assert_eq!(event(&headers, b"x"), Some(Err(Unreadable)));
        assert!(matches!(event(&headers, data), Some(Ok(_))));
    }
}
