//! A reader of endless answers of the feed.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;

use super::Program;

/// After this time a line counts as missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A reader of `/audit/events`.
pub struct Reader {
    response: reqwest::Response,
    rest: Vec<u8>,
    lines: VecDeque<String>,
}

impl Reader {
    /// Starts to read, and asserts that the status is 200.
    pub async fn of(service: &Program, token: &str, query: &str) -> Self {
        Self::with(service, token, query, &[]).await
    }

    /// Like [`Self::of`], as server-sent events.
    pub async fn of_server_sent(
        service: &Program,
        token: &str,
        query: &str,
        last_event_id: Option<u64>,
    ) -> Self {
        let last = last_event_id.map(|id| id.to_string());
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(last.iter().map(|id| ("last-event-id", id.as_str())));
        Self::with(service, token, query, &headers).await
    }

    async fn with(service: &Program, token: &str, query: &str, headers: &[(&str, &str)]) -> Self {
        let url = format!("http://{}/audit/events?{query}", service.address());
        let client = reqwest::Client::builder().no_proxy().build();
        let mut request = client.expect("a client").get(url).bearer_auth(token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        Self {
            response,
            rest: Vec::new(),
            lines: VecDeque::new(),
        }
    }

    /// A header of the answer.
    pub fn header(&self, name: &str) -> &str {
        let value = self.response.headers().get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The next line, or `None` at the regular end of the answer.
    ///
    /// # Errors
    /// The answer was truncated.
    pub async fn try_line(&mut self) -> Result<Option<String>, reqwest::Error> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(Some(line));
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let Some(chunk) = chunk.expect("no line within the time limit")? else {
                assert!(self.rest.is_empty(), "the last line is incomplete");
                return Ok(None);
            };
            self.rest.extend_from_slice(&chunk);
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let line = String::from_utf8(line).expect("UTF-8");
                self.lines.push_back(line.trim_end_matches('\n').to_owned());
            }
        }
    }

    /// The next event of an NDJSON answer, or `None` at its end.
    pub async fn event(&mut self) -> Option<Value> {
        let line = self.try_line().await.expect("a complete answer")?;
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}")))
    }

    /// The next `count` events of an NDJSON answer.
    pub async fn events(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.event().await.expect("another event"));
        }
        events
    }

    /// The events of an NDJSON answer up to and including the first for which `last` is true.
    pub async fn events_until(&mut self, last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut events = Vec::new();
        while !events.last().is_some_and(&last) {
            events.push(self.event().await.expect("another event"));
        }
        events
    }

    /// The next server-sent event: its id, its type and its data.
    pub async fn server_sent(&mut self) -> Option<(u64, String, Value)> {
        // The default type (HTML Standard §9.2.6).
        let (mut id, mut kind, mut data) = (None, "message".to_owned(), None);
        loop {
            let line = self.try_line().await.expect("a complete answer")?;
            match line.split_once(": ") {
                Some(("id", value)) => id = value.parse().ok(),
                Some(("event", value)) => kind = value.to_owned(),
                Some(("data", value)) => data = serde_json::from_str(value).ok(),
                _ if line.is_empty() && data.is_some() => return Some((id?, kind, data?)),
                _ => assert!(line.is_empty() || line.starts_with(':'), "{line}"),
            }
        }
    }

    /// Waits for the end of the answer, and ignores everything before it.
    pub async fn ends(mut self) {
        while self.try_line().await.expect("a complete answer").is_some() {}
    }
}

/// The log index of an event.
#[track_caller]
pub fn log_index(event: &Value) -> u64 {
    let text = event["logindex"].as_str().expect("logindex");
    text.parse().expect("a number")
}

/// Asserts that these are the events right after the log index `after`, each once and in order, and that the sequences
/// of all aggregates have no gap. Returns the last log index.
#[track_caller]
pub fn follow_each_other(after: u64, events: &[Value]) -> u64 {
    let mut place = after;
    for event in events {
        place += 1;
        assert_eq!(log_index(event), place, "{event}");
    }
    place
}
