//! The answer to a reader of the log: written as fast as it is read, for as long as the reader may.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use authlog_application::Follower;
use authlog_application::ports::LoggedEvent;
use authlog_application::published::publish;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::authorize;
use super::query::FeedQuery;
use crate::Api;

/// How often a reader who stays is asked anew for the right to: a session that ended or a role that was taken away ends
/// the answer.
const AUTHORIZE_EVERY: Duration = Duration::from_secs(5);

/// How often a quiet stream of server-sent events says that it is alive, so that proxies do not close it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How often waiting is interrupted to look at the two above.
const TICK: Duration = Duration::from_secs(1);

struct Reading {
    api: Arc<Api>,
    token: String,
    authorized_at: Instant,
    written_at: Instant,
    follower: Follower,
    remaining: Option<u64>,
    follow: bool,
    server_sent: bool,
    _place: OwnedSemaphorePermit,
}

pub(super) fn respond(
    api: Arc<Api>,
    token: String,
    query: FeedQuery,
    place: OwnedSemaphorePermit,
) -> Response {
    let media_type = if query.server_sent {
        "text/event-stream"
    } else {
        "application/x-ndjson"
    };
    let now = Instant::now();
    let reading = Reading {
        follower: api.authlog.follow_log(query.after, query.filter),
        api,
        token,
        authorized_at: now,
        written_at: now,
        remaining: query.limit,
        follow: query.follow,
        server_sent: query.server_sent,
        _place: place,
    };
    // The next step is made when the reader has taken the one before: a slow reader costs one page of memory.
    let steps = stream::unfold(reading, |mut reading| async move {
        let text = reading.step().await?;
        Some((Ok::<_, Infallible>(text), reading))
    });
    ([(CONTENT_TYPE, media_type)], Body::from_stream(steps)).into_response()
}

impl Reading {
    /// The next piece of the answer; `None` when it is over.
    async fn step(&mut self) -> Option<String> {
        loop {
            if self.remaining == Some(0) || !self.may_go_on().await {
                return None;
            }
            let events = match self.follower.next().await {
                Ok(events) => events,
                Err(error) => {
                    tracing::warn!(%error, "a reader of the log has to come back later");
                    return None;
                }
            };
            if !events.is_empty() {
                self.written_at = Instant::now();
                return self.write(&events);
            }
            if !self.follow {
                return None;
            }
            tokio::select! {
                () = self.follower.wait() => {}
                () = tokio::time::sleep(TICK) => {}
                () = self.api.stopping.cancelled() => return None,
            }
            if self.server_sent && self.written_at.elapsed() >= KEEP_ALIVE {
                self.written_at = Instant::now();
                return Some(": still here\n\n".to_owned());
            }
        }
    }

    async fn may_go_on(&mut self) -> bool {
        if self.api.stopping.is_cancelled() {
            return false;
        }
        if self.authorized_at.elapsed() < AUTHORIZE_EVERY {
            return true;
        }
        self.authorized_at = Instant::now();
        authorize(&self.api, &self.token).await.is_ok()
    }

    fn write(&mut self, events: &[LoggedEvent]) -> Option<String> {
        let take = self.remaining.map_or(events.len(), |remaining| {
            usize::try_from(remaining).map_or(events.len(), |remaining| remaining.min(events.len()))
        });
        let mut text = String::new();
        for logged in events.iter().take(take) {
            let event = match publish(logged) {
                Ok(event) => event,
                Err(error) => {
                    tracing::error!(%error, "the log cannot be read on by this version of the program");
                    self.remaining = Some(0);
                    break;
                }
            };
            let json = event.to_json(&self.api.settings.event_source);
            let written = if self.server_sent {
                let (id, kind) = (event.log_index, event.kind.cloud_event_type());
                write!(text, "id: {id}\nevent: {kind}\ndata: {json}\n\n")
            } else {
                writeln!(text, "{json}")
            };
            written.ok()?;
        }
        if let Some(remaining) = &mut self.remaining {
            *remaining = remaining.saturating_sub(take as u64);
        }
        (!text.is_empty()).then_some(text)
    }
}
