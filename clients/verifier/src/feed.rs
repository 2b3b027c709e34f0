//! Reads the news from the HTTP feed of the issuer.

use std::pin::Pin;
use std::time::Duration;

use http::Request;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, MissedTickBehavior};

use crate::backoff::Backoff;
use crate::credentials::{Credentials, FeedToken, ProvidedToken, TokenError, Tokens};
use crate::event::{Event, Heartbeat, Line, Lines, Mark, Unreadable};
use crate::http_client::{Address, HttpClient};
use crate::shared::{NewsWriter, count};
use crate::trouble::Trouble;

/// The longest line of the feed, in bytes. Those of Authlog have at most some ten thousand.
const LONGEST_LINE: usize = 256 * 1024;

/// How long the feed may take until the first heartbeat, or be without an event before it.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// How long the feed may then be without a heartbeat. A connection can be dead without an error.
const LONGEST_SILENCE: Duration = Duration::from_secs(3);

/// The longest pause that a `Retry-After` may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);

/// The pause after a token could not be renewed.
const RENEW_AGAIN: Duration = Duration::from_secs(5);

/// The HTTP feed of Authlog as the source of revocations.
///
/// It needs a client with the grant `client_credentials` and the scope `events.read`:
/// `authlog client create --id orders --name Orders --grant client_credentials --scope events.read`.
#[must_use]
pub struct Feed {
    pub(crate) url: Option<String>,
    pub(crate) token_url: Option<String>,
    pub(crate) credentials: Credentials,
}

impl Feed {
    /// The feed of the issuer, read with the access tokens of a client. They are obtained with the grant `client_credentials` and
    /// renewed in time.
    pub fn with_client(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self::with(Credentials::Client {
            id: id.into(),
            secret: secret.into(),
        })
    }

    /// The feed of the issuer, read with access tokens that `provider` returns. It is called for each connection and shortly before a
    /// token expires.
    ///
    /// ```
    /// use authlog_verifier::{Feed, ProvidedToken};
    ///
    /// let feed = Feed::with_tokens(|| async {
    ///     let token = std::fs::read_to_string("/run/secrets/feed-token")?;
    ///     Ok(ProvidedToken { token: token.trim().to_owned(), expires_in: None })
    /// });
    /// ```
    pub fn with_tokens<P, F>(provider: P) -> Self
    where
        P: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<ProvidedToken, TokenError>> + Send + 'static,
    {
        Self::with(Credentials::provider(provider))
    }

    fn with(credentials: Credentials) -> Self {
        Self {
            url: None,
            token_url: None,
            credentials,
        }
    }

    /// The address of the feed, if it is not `<issuer>/audit/events`.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// The address of the token endpoint, if it is not `<issuer>/oauth2/token`.
    pub fn token_url(mut self, url: impl Into<String>) -> Self {
        self.token_url = Some(url.into());
        self
    }
}

/// Reads the feed.
pub(crate) struct FeedReader {
    pub(crate) http: HttpClient,
    pub(crate) address: Address,
    pub(crate) tokens: Tokens,
    /// The time between two heartbeats.
    pub(crate) heartbeat: Duration,
}

/// What one answer has brought so far.
struct Reading {
    /// The event with which the answer has to begin. If it does not, the log has another history.
    resumed: Option<Mark>,
    /// The index of the next event.
    next: Option<u64>,
    silent_from: Instant,
    has_heartbeat: bool,
}

impl FeedReader {
    /// Reads the feed, again after each failure.
    pub(crate) async fn run(self, mut writer: NewsWriter) {
        let mut backoff = Backoff::default();
        let mut token = None;
        loop {
            let mut reading = Reading {
                resumed: None,
                next: None,
                silent_from: Instant::now(),
                has_heartbeat: false,
            };
            let outcome = self.follow(&mut writer, &mut token, &mut reading).await;
            let Err(trouble) = outcome;
            writer.write(|news| news.end_connection());
            if reading.has_heartbeat {
                backoff.reset();
            }
            if matches!(trouble, Trouble::Renewed) {
                continue;
            }
            writer.shared().note_trouble("the feed", &trouble);
            let mut pause = backoff.next();
            match &trouble {
                Trouble::Status {
                    status: 401 | 403, ..
                } => token = None,
                Trouble::Status { status: 409, .. } => writer.begin(),
                Trouble::Status {
                    retry_after: Some(seconds),
                    ..
                } => {
                    let asked = Duration::from_secs(*seconds).min(LONGEST_RETRY_AFTER);
                    pause = pause.max(asked);
                }
                _ if trouble.needs_all_news() => writer.begin(),
                _ => {}
            }
            tokio::time::sleep(pause).await;
            // Only a clock that was ahead is reported, which the next connection finds as well.
            let _ = writer.tidy();
        }
    }

    async fn follow(
        &self,
        writer: &mut NewsWriter,
        token: &mut Option<FeedToken>,
        reading: &mut Reading,
    ) -> Result<std::convert::Infallible, Trouble> {
        let current = match token.take().filter(|token| !token.is_due()) {
            Some(token) => token,
            None => self.tokens.obtain().await?,
        };
        let mut renew_at = current.renew_at;
        let authorization = current.authorization.clone();
        *token = Some(current);
        reading.resumed = writer.read(|news| news.last().cloned()).flatten();
        let position = match &reading.resumed {
            // One event before the next one, to compare it.
            Some(mark) => format!("after={}", mark.log_index.saturating_sub(1)),
            None => {
                count(&writer.shared().counters.readings);
                writer.begin();
                let since = writer.read(|news| news.since());
                format!("since={}", rfc3339(since.unwrap_or_default())?)
            }
        };
        let beat = self.heartbeat.as_millis();
        let query = format!("follow=true&heartbeat={beat}&{position}");
        let request = Request::get("/")
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, HeaderValue::from_static("application/x-ndjson"));
        count(&writer.shared().counters.connections);
        let sent = writer.shared().now();
        let mut answer = self
            .http
            .send(&self.address, &query, request, String::new())
            .await?;
        answer.check()?;
        writer.write(|news| news.begin_answer(sent));
        reading.silent_from = Instant::now();
        let mut lines = Lines::new(LONGEST_LINE);
        let mut every_second = tokio::time::interval(Duration::from_secs(1));
        every_second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewal = None;
        loop {
            tokio::select! {
                bytes = answer.next() => {
                    let bytes = bytes?.ok_or(Trouble::Ended)?;
                    let mut parsed = Vec::new();
                    let pushed = lines.push(&bytes, |line| parsed.push(Line::parse(line)));
                    reading.accept(parsed, writer)?;
                    pushed.map_err(|_| Trouble::TooLarge)?;
                }
                () = tokio::time::sleep_until(reading.silent_at()) => {
                    return Err(Trouble::Silent);
                }
                _ = every_second.tick() => {
                    writer.tidy()?;
                    if renewal.is_none() && renew_at.is_some_and(|at| at <= Instant::now()) {
                        let tokens = self.tokens.clone();
                        renewal = Some(Box::pin(async move { tokens.obtain().await }));
                    }
                }
                renewed = finished(&mut renewal) => {
                    renewal = None;
                    match renewed {
                        Ok(renewed) => {
                            *token = Some(renewed);
                            return Err(Trouble::Renewed);
                        }
                        Err(trouble) => {
                            writer.shared().note_trouble("the feed", &trouble);
                            renew_at = Some(Instant::now() + RENEW_AGAIN);
                        }
                    }
                }
            }
        }
    }
}

/// The result of a future, if there is one.
async fn finished<F: Future>(future: &mut Option<Pin<Box<F>>>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

impl Reading {
    /// When the feed has been silent for too long.
    fn silent_at(&self) -> Instant {
        let limit = if self.has_heartbeat {
            LONGEST_SILENCE
        } else {
            LONGEST_WAIT
        };
        self.silent_from + limit
    }

    /// Applies what arrived, in its order, up to a line that cannot be understood.
    fn accept(
        &mut self,
        lines: Vec<Result<Line, Unreadable>>,
        writer: &mut NewsWriter,
    ) -> Result<(), Trouble> {
        let mut events: Vec<Event> = Vec::new();
        for line in lines {
            let line = match line {
                Ok(line) => line,
                Err(Unreadable) => {
                    writer.apply(&events)?;
                    return Err(Trouble::from(Unreadable));
                }
            };
            match line {
                Line::Blank => {}
                Line::Event(event) => {
                    if let Err(trouble) = self.check(&event.mark) {
                        writer.apply(&events)?;
                        return Err(trouble);
                    }
                    if !writer.read(|news| news.is_complete()).unwrap_or(false) {
                        self.silent_from = Instant::now();
                    }
                    events.push(event);
                }
                Line::Heartbeat(beat) => {
                    writer.apply(&events)?;
                    events.clear();
                    self.heartbeat(beat, writer)?;
                }
                Line::Problem { status } => {
                    writer.apply(&events)?;
                    return Err(Trouble::Status {
                        status,
                        retry_after: None,
                    });
                }
            }
        }
        writer.apply(&events)
    }

    /// Checks that no event is missing before this one, and that the first one is the one that was applied last.
    fn check(&mut self, mark: &Mark) -> Result<(), Trouble> {
        if self.resumed.take().is_some_and(|resumed| resumed != *mark) {
            return Err(Trouble::HistoryChanged);
        }
        if self.next.is_some_and(|next| mark.log_index > next) {
            return Err(Trouble::Gap);
        }
        let next = mark.log_index.saturating_add(1);
        self.next = Some(self.next.map_or(next, |known| known.max(next)));
        Ok(())
    }

    fn heartbeat(&mut self, beat: Heartbeat, writer: &mut NewsWriter) -> Result<(), Trouble> {
        // The event before was sent first, if the log still has it.
        if self.resumed.is_some() {
            return Err(Trouble::HistoryChanged);
        }
        match writer.read(|news| news.log_index()).flatten() {
            None => {
                writer.write(|news| news.begin_after(beat.log_index));
                self.next = Some(beat.log_index.saturating_add(1));
            }
            Some(applied) if applied < beat.log_index => return Err(Trouble::Gap),
            Some(_) => {}
        }
        writer.heartbeat("", beat, writer.shared().now());
        self.has_heartbeat = true;
        self.silent_from = Instant::now();
        Ok(())
    }
}

/// An instant as RFC 3339 writes it.
fn rfc3339(millis: i64) -> Result<String, Trouble> {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
    let text = time.ok().and_then(|time| time.format(&Rfc3339).ok());
    text.ok_or(Trouble::Format("asked for at a time that has no text"))
}
