//! Fetches the key set, and keeps it when the issuer cannot be reached.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::Request;
use http::header::{AGE, CACHE_CONTROL, DATE, HeaderMap};
use tokio::sync::{Notify, watch};

use crate::backoff::{Backoff, jittered};
use crate::clock::{Moment, Reading, unix_millis};
use crate::http_client::{Address, HEAD_LIMIT, HttpClient};
use crate::keys::{Algorithm, KeySet, LARGEST_SET};
use crate::shared::{Shared, count};
use crate::trouble::Trouble;

/// The shortest time between two requests that unknown keys cause. Anyone can send a token that names one.
const UNKNOWN_EVERY: Duration = Duration::from_secs(10);

/// The shortest time that a set is used if its `Cache-Control` says less. A set without a usable key is used no longer.
const SHORTEST_USE: Duration = Duration::from_secs(10);

/// The current keys, and how requests ask for others.
pub(crate) struct Keys {
    set: RwLock<Arc<KeySet>>,
    wanted: Notify,
    fetches: watch::Sender<Fetches>,
}

/// The requests for the key set.
#[derive(Clone, Copy, Default)]
struct Fetches {
    /// The number of requests that have ended.
    ended: u64,
    /// Whether one is under way.
    is_running: bool,
    /// When the last one began, by the monotonic clock.
    began: Option<Duration>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            set: RwLock::default(),
            wanted: Notify::new(),
            fetches: watch::Sender::new(Fetches::default()),
        }
    }
}

impl Keys {
    pub(crate) fn current(&self) -> Arc<KeySet> {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&set)
    }

    /// Asks for the key set, without waiting for it. It is fetched at most every ten seconds for that.
    pub(crate) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Waits for a request for the key set that began now or is under way, and returns whether there was one: there is none if the
    /// last one began less than ten seconds ago. All callers wait for the same request.
    pub(crate) async fn fetch_unknown(&self, now: Duration) -> bool {
        let mut fetches = self.fetches.subscribe();
        let before = *fetches.borrow_and_update();
        let is_due = before
            .began
            .is_none_or(|began| now.saturating_sub(began) >= UNKNOWN_EVERY);
        if !before.is_running {
            if !is_due {
                return false;
            }
            self.wanted.notify_one();
        }
        let ended = fetches.wait_for(|it| it.ended > before.ended);
        tokio::time::timeout(3 * HEAD_LIMIT, ended).await.is_ok()
    }

    /// Uses another set, unless a newer one is known: a cache must not bring a retired key back.
    fn replace(&self, set: KeySet) {
        let mut current = self.set.write().unwrap_or_else(PoisonError::into_inner);
        if !set.is_older_than(&current) {
            *current = Arc::new(set.after(&current));
        }
    }
}

/// Where the key set is, and how it is used.
pub(crate) struct KeyFetcher {
    pub(crate) http: HttpClient,
    pub(crate) address: Address,
    pub(crate) accepted: Vec<Algorithm>,
    /// The longest time that a set is used if the issuer can be reached.
    pub(crate) max_age: Duration,
}

impl KeyFetcher {
    /// Fetches the key set again and again.
    pub(crate) async fn run(self, shared: Arc<Shared>) {
        let keys = &shared.keys;
        let mut backoff = Backoff::default();
        loop {
            let now = shared.now();
            let began = now.monotonic;
            keys.fetches.send_modify(|it| {
                it.is_running = true;
                it.began = Some(began);
            });
            count(&shared.counters.key_fetches);
            let fetched = self.fetch(&shared, now).await;
            let pause = match &fetched {
                Ok(max_age) => {
                    backoff.reset();
                    // Before the end, also if the next request takes a while.
                    jittered(max_age.mul_f64(0.8))
                }
                Err(trouble) => {
                    count(&shared.counters.key_failures);
                    shared.note_trouble("the key set", trouble);
                    backoff.next()
                }
            };
            keys.fetches.send_modify(|it| {
                it.is_running = false;
                it.ended += 1;
            });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = is_wanted(&shared, began) => {}
            }
        }
    }

    /// Fetches the key set once, with a request that begins at `now`. Returns how long it may be used.
    async fn fetch(&self, shared: &Shared, now: Reading) -> Result<Duration, Trouble> {
        let request = Request::get("/");
        let fetched = self
            .http
            .fetch(&self.address, request, String::new(), LARGEST_SET);
        let (headers, body) = fetched.await?;
        let set =
            KeySet::parse(&body, &self.accepted).map_err(|_| Trouble::Format("not a key set"))?;
        let has_keys = set.len() > 0;
        let age = age(&headers);
        // Before the keys: a token must not be accepted by a key that came with a time at which it has expired.
        if let Some(date) = date(&headers) {
            shared.note_server_time(date, age > Duration::ZERO);
        }
        shared.keys.replace(set.served_at(Moment::before(now, age)));
        if !has_keys {
            // Every token is refused until there is one.
            shared.note_trouble("the key set", &Trouble::NoUsableKey);
            return Ok(SHORTEST_USE.min(self.max_age));
        }
        Ok(use_for(max_age(&headers), age, self.max_age))
    }
}

/// How long a set may be used that its server allows to be used for `max_age` and that spent `age` of it in a cache: `longest` at most.
fn use_for(max_age: Option<Duration>, age: Duration, longest: Duration) -> Duration {
    let left = max_age.unwrap_or(longest).min(longest).saturating_sub(age);
    left.max(SHORTEST_USE).min(longest)
}

/// Waits until a request names an unknown key, but at least [`UNKNOWN_EVERY`] since the last request. Two requests that come at the same
/// moment notify twice.
async fn is_wanted(shared: &Shared, began: Duration) {
    loop {
        shared.keys.wanted.notified().await;
        if shared.clock.monotonic().saturating_sub(began) >= UNKNOWN_EVERY {
            return;
        }
    }
}

/// The `max-age` of an answer; zero if it must not be cached.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(CACHE_CONTROL)?.to_str().ok()?;
    let mut directives = text.split(',').map(str::trim);
    directives.find_map(|directive| match directive.split_once('=') {
        Some(("max-age", seconds)) => {
            let seconds = seconds.trim_matches('"').parse().ok()?;
            Some(Duration::from_secs(seconds))
        }
        None if directive == "no-store" || directive == "no-cache" => Some(Duration::ZERO),
        _ => None,
    })
}

/// How long an answer was in a cache (`Age`, RFC 9111 §5.1). An invalid one is ignored, as the RFC demands.
fn age(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(AGE).and_then(|value| {
        let text = value.to_str().ok()?;
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number)
    });
    Duration::from_secs(seconds.unwrap_or(0))
}

/// The `Date` of an answer (RFC 9110 §5.6.7), in milliseconds since 1970.
fn date(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get(DATE)?.to_str().ok()?;
    Some(unix_millis(httpdate::parse_http_date(text).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, http::HeaderValue::from_static(value))])
    }

    #[test]
    fn the_age_of_an_answer_is_read_from_its_directives() {
        for (text, expected) in [
            ("public, max-age=300", Some(300)),
            ("max-age=\"7\"", Some(7)),
            ("no-store", Some(0)),
            ("public", None),
            ("max-age=-1", None),
            ("max-age=999999999999999999999999", None),
        ] {
            let found = max_age(&headers(CACHE_CONTROL, text));
            assert_eq!(found, expected.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn the_time_in_a_cache_is_read_from_its_header() {
        for (text, expected) in [
            ("0", 0),
            ("299", 299),
            ("+7", 0),
            ("-1", 0),
            ("", 0),
            ("x", 0),
        ] {
            let found = age(&headers(AGE, text));
            assert_eq!(found, Duration::from_secs(expected), "{text}");
        }
        assert_eq!(age(&HeaderMap::new()), Duration::ZERO);
    }

    #[test]
    fn a_set_is_used_for_less_by_the_time_that_it_spent_in_a_cache() {
        for (max_age, age, longest, expected) in [
            (Some(300), 0, 300, 300),
            (Some(300), 250, 300, 50),
            (Some(300), 299, 300, 10),
            (Some(300), 7000, 300, 10),
            (None, 250, 300, 50),
            (Some(60), 20, 300, 40),
            (Some(300), 40, 60, 20),
            (Some(0), 0, 300, 10),
            (Some(300), 0, 1, 1),
        ] {
            let found = use_for(
                max_age.map(Duration::from_secs),
                Duration::from_secs(age),
                Duration::from_secs(longest),
            );
            assert_eq!(found.as_secs(), expected, "{max_age:?} {age} {longest}");
        }
    }

    #[test]
    fn a_cache_does_not_bring_an_older_set_back() {
        let keys = Keys::default();
        let set = |monotonic: i64, wall: i64| {
            let empty = KeySet::parse(br#"{"keys":[]}"#, &[]).ok().unwrap();
            empty.served_at(Moment { monotonic, wall })
        };
        let now = Reading {
            wall: 1_000_000,
            monotonic: Duration::from_secs(1000),
        };
        let age = || keys.current().age(now).map(|age| age.as_secs());
        assert_eq!(age(), None);
        keys.replace(set(900_000, 900_000));
        keys.replace(set(800_000, 800_000));
        assert_eq!(age(), Some(100));
        // The same answer, whose age was rounded in another way.
        keys.replace(set(899_000, 899_000));
        assert_eq!(age(), Some(101));
        // The machine was suspended before the request.
        keys.replace(set(890_000, 950_000));
        assert_eq!(age(), Some(110));
    }

    #[test]
    fn a_date_is_read_as_http_writes_it() {
        let found = date(&headers(DATE, "Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(found, Some(784_111_777_000));
        assert_eq!(date(&headers(DATE, "yesterday")), None);
    }
}
