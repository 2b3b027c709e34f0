//! The response to a reader of the log, which is produced as fast as it is read, for as long as the reader is
//! authorized.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use authlog_application::access::ReadLog;
use authlog_application::history::known_level;
use authlog_application::ports::{LoggedEvent, ReadOnError};
use authlog_application::published::{Heartbeat, PublishedEvent, cloud_event_type, publish};
use authlog_application::{Entitlement, Follower};
use authlog_domain::AuthenticationLevel;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::time::Instant;

use super::query::FeedQuery;
use crate::Api;
use crate::capacity::ReaderPlace;
use crate::native::problem::problem_text;

/// How often a following reader is authorized again even if its account or its client has not changed: the token may have expired, or
/// the session may have ended.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// How often a quiet stream of server-sent events sends a comment, so that proxies keep it open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Tells nginx and similar proxies not to buffer the response.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The last line for a reader whose events are no longer in the log.
const HISTORY_CHANGED: &str = "The log no longer has the events before this line as they were sent: the database was restored from a backup, or it failed over to a server that had not received them. Discard everything that you derived from this log, and read it again from the beginning.";

/// A response was cut short. It is aborted before its end, so that clients do not take it for complete.
#[derive(Debug, thiserror::Error)]
#[error("the response was cut short: {0}")]
struct CutShort(&'static str);

/// A response while it is produced. `follow`, `server_sent` and `named` are those of the [`FeedQuery`].
struct Reading {
    api: Arc<Api>,
    right: Entitlement<ReadLog>,
    /// When the reader was last authorized.
    checked_at: Instant,
    /// When a part of the response was last produced.
    written_at: Instant,
    reader: Follower,
    /// How many more events may be sent; `None` without a limit.
    remaining: Option<u64>,
    follow: bool,
    server_sent: bool,
    named: bool,
    below: Option<AuthenticationLevel>,
    heartbeats: Option<Heartbeats>,
    /// Set by the last message of a response that cannot continue: the reason why it is cut short after that message.
    cut_short: Option<&'static str>,
    _place: ReaderPlace,
}

/// When a reader gets heartbeats.
struct Heartbeats {
    /// When the request arrived.
    arrived: Instant,
    every: Duration,
    /// When the next one is due.
    due: Instant,
}

/// The response with the events that `reader` yields. `place` is free again when the response ends.
pub(super) fn respond(
    api: Arc<Api>,
    right: Entitlement<ReadLog>,
    query: &FeedQuery,
    arrived: Instant,
    mut reader: Follower,
    place: ReaderPlace,
) -> Response {
    let media_type = if query.server_sent {
        "text/event-stream"
    } else {
        "application/x-ndjson"
    };
    let now = Instant::now();
    let heartbeats = query.heartbeat.map(|every| Heartbeats {
        arrived,
        every,
        due: now,
    });
    if heartbeats.is_some() {
        reader = reader.with_heartbeats(arrived);
    }
    let reading = Reading {
        api,
        right,
        checked_at: now,
        written_at: now,
        reader,
        remaining: query.limit,
        follow: query.follow,
        server_sent: query.server_sent,
        named: query.named,
        below: query.below,
        heartbeats,
        cut_short: None,
        _place: place,
    };
    // The next step is taken when the reader has read the previous one, so a slow reader costs one page of memory.
    let steps = stream::unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        match reading.step().await {
            Ok(Some(text)) => Some((Ok(text), Some(reading))),
            Ok(None) => None,
            // A following reader reconnects anyway, and continues after the last event that arrived.
            Err(_) if reading.follow => None,
            Err(cut_short) => Some((Err(cut_short), None)),
        }
    });
    let headers = [(CONTENT_TYPE, media_type), (X_ACCEL_BUFFERING, "no")];
    (headers, Body::from_stream(steps)).into_response()
}

impl Reading {
    /// The next part of the response. `None` at its end.
    async fn step(&mut self) -> Result<Option<String>, CutShort> {
        loop {
            if let Some(reason) = self.cut_short {
                return Err(CutShort(reason));
            }
            if self.remaining == Some(0) || self.should_stop() {
                return Ok(None);
            }
            if !self.is_still_authorized().await {
                return Err(CutShort("the reader is no longer authorized"));
            }
            match self.heartbeat() {
                Ok(Some(text)) => {
                    self.written_at = Instant::now();
                    return Ok(Some(text));
                }
                Ok(None) => {}
                Err(error) => return self.failed(error),
            }
            let events = match self.reader.next().await {
                Ok(events) => events,
                Err(error) => return self.failed(error),
            };
            match events {
                Some(events) => {
                    // The right may have ended while the store was asked. Its end may be one of these events.
                    if !self.is_still_authorized().await {
                        return Err(CutShort("the reader is no longer authorized"));
                    }
                    let text = self.write(&events);
                    // There may be no matching event in this range of the log.
                    if !text.is_empty() {
                        self.written_at = Instant::now();
                        return Ok(Some(text));
                    }
                }
                None if self.follow => self.wait().await,
                None => return Ok(None),
            }
            if self.server_sent && self.written_at.elapsed() >= KEEP_ALIVE {
                self.written_at = Instant::now();
                return Ok(Some(": still here\n\n".to_owned()));
            }
        }
    }

    /// The end of a response after an error of the log.
    fn failed(&mut self, error: ReadOnError) -> Result<Option<String>, CutShort> {
        match error {
            ReadOnError::HistoryChanged(_) => {
                self.cut_short = Some("the history of the log has changed");
                Ok(Some(self.history_changed()))
            }
            ReadOnError::Store(error) => {
                let cause = error.source().map(ToString::to_string);
                tracing::warn!(%error, cause, "the log could not be read; the reader was disconnected");
                Err(CutShort("the log cannot be read now"))
            }
        }
    }

    /// The heartbeat, if one is due and the reader has everything of which it speaks.
    fn heartbeat(&mut self) -> Result<Option<String>, ReadOnError> {
        let Some(heartbeats) = &mut self.heartbeats else {
            return Ok(None);
        };
        let now = Instant::now();
        if now < heartbeats.due {
            return Ok(None);
        }
        self.reader.ask_how_current();
        let Some(current) = self.reader.how_current()? else {
            return Ok(None);
        };
        heartbeats.due = now + heartbeats.every;
        let heartbeat = Heartbeat {
            log_index: current.end.log_index,
            elapsed: current.at.saturating_duration_since(heartbeats.arrived),
        };
        let json = heartbeat.to_json();
        Ok(Some(if self.server_sent {
            format!("{}data: {json}\n\n", self.event_type("heartbeat"))
        } else {
            format!("{json}\n")
        }))
    }

    /// Waits for new events, or for the next heartbeat or periodic check.
    async fn wait(&mut self) {
        let now = Instant::now();
        let due = self.heartbeats.as_ref().map(|it| it.due);
        let check = now + CHECK_EVERY;
        let next = due
            .filter(|due| *due > now)
            .map_or(check, |due| due.min(check));
        tokio::select! {
            () = self.reader.wait() => {}
            () = tokio::time::sleep_until(next) => {}
            () = self.api.stopping.cancelled() => {}
        }
    }

    /// A response that has an end is completed even if the program is stopping.
    fn should_stop(&self) -> bool {
        self.follow && self.api.stopping.is_cancelled()
    }

    async fn is_still_authorized(&mut self) -> bool {
        if !self.right.must_be_checked() && self.checked_at.elapsed() < CHECK_EVERY {
            return true;
        }
        self.checked_at = Instant::now();
        self.right.check().await.is_ok()
    }

    /// The last message to a reader whose events are no longer in the log. A reader that does not know it fails, which
    /// is better than reading on.
    fn history_changed(&self) -> String {
        let problem = problem_text(StatusCode::CONFLICT, HISTORY_CHANGED);
        self.final_message("history-changed", &problem)
    }

    /// The last message before an event that this program cannot read. If a newer program wrote it, a reader must not
    /// miss it; it may also have been written to the database by other means. The reader decides whether to leave it
    /// out.
    fn unreadable(&self, log_index: u64) -> String {
        let detail = format!(
            "This version of the program cannot read the event at {log_index}: either a newer version wrote it, or it was written to the database by other means. Send the request to a node with a newer version. Or find out with `authlog log verify` and `authlog doctor` what the event is, and skip it: continue after {log_index}."
        );
        let problem = problem_text(StatusCode::NOT_IMPLEMENTED, &detail);
        self.final_message("unreadable-event", &problem)
    }

    fn final_message(&self, event: &str, problem: &str) -> String {
        if self.server_sent {
            format!("{}data: {problem}\n\n", self.event_type(event))
        } else {
            format!("{problem}\n")
        }
    }

    fn write(&mut self, events: &[LoggedEvent]) -> String {
        let limit = self.remaining.and_then(|it| usize::try_from(it).ok());
        let mut written = 0;
        let mut text = String::new();
        let passing = events.iter().filter(|logged| self.passes(logged));
        for logged in passing.take(limit.unwrap_or(usize::MAX)) {
            written += 1;
            match publish(logged) {
                Ok(event) => self.write_one(&event, &mut text),
                Err(error) => {
                    tracing::error!(%error, "this version of the program cannot read an event; the reader was disconnected");
                    text.push_str(&self.unreadable(logged.log_index));
                    self.cut_short = Some("an event cannot be read");
                    break;
                }
            }
        }
        if let Some(remaining) = &mut self.remaining {
            *remaining = remaining.saturating_sub(written);
        }
        text
    }

    /// Whether the event is one of those that were asked for by their level.
    fn passes(&self, logged: &LoggedEvent) -> bool {
        self.below
            .is_none_or(|below| known_level(&logged.event).is_none_or(|level| level < below))
    }

    fn write_one(&self, event: &PublishedEvent, text: &mut String) {
        let json = event.to_json(&self.api.settings.event_source);
        if self.server_sent {
            let (id, kind) = (event.log_index, cloud_event_type(event.kind));
            let kind = self.event_type(&kind);
            text.push_str(&format!("id: {id}\n{kind}data: {json}\n\n"));
        } else {
            text.push_str(&format!("{json}\n"));
        }
    }

    /// The `event` line of a server-sent event, unless the reader wants none.
    fn event_type(&self, name: &str) -> String {
        if self.named {
            format!("event: {name}\n")
        } else {
            String::new()
        }
    }
}
