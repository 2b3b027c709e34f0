//! Verifies tokens: signature, times, and what has ended.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tokio::task::AbortHandle;

use crate::bearer::bearer;
use crate::builder::{OnStale, VerifierBuilder};
use crate::cache::{TokenCache, Verified};
use crate::claims::Claims;
use crate::clock::millis;
use crate::keys::{Algorithm, KeySet};
use crate::news::MARGIN;
use crate::refused::{NAMES, Refused};
use crate::shared::{Shared, Task, Times, count, lock};
use crate::stats::Stats;
use crate::token::{MAX_LENGTH, Unverified};

/// How far the clock of Authlog may be ahead for a token that has just begun.
const CLOCK_DIFFERENCE: i64 = 60_000;

/// Verifies access tokens in memory. A copy shares its keys and its deny list. The background tasks that read them end with the last copy.
///
/// ```no_run
/// use std::time::Duration;
/// use authlog_verifier::{Feed, OnStale, Verifier};
///
/// # async fn run(secret: String, token: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let verifier = Verifier::builder()
///     .issuer("https://auth.example.com")
///     .audience("https://orders.example.com")
///     .revocations(Feed::with_client("orders", secret))
///     .max_staleness(Duration::from_secs(2))
///     .on_stale(OnStale::FailClosed)
///     .start()?;
/// verifier.ready().await;
/// let claims = verifier.verify(token).await?;
/// println!("{} may do {:?}", claims.subject(), claims.scopes().collect::<Vec<_>>());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Verifier {
    core: Arc<Core>,
    _tasks: Arc<Tasks>,
}

/// The background tasks, which end when this is dropped.
pub(crate) struct Tasks(pub(crate) Vec<AbortHandle>);

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// What decides on a token.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    pub(crate) cache: TokenCache,
    pub(crate) issuer: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) leeway: Duration,
    pub(crate) longest_token: Duration,
    pub(crate) max_staleness: Duration,
    pub(crate) on_stale: OnStale,
    pub(crate) keys_expire_after: Duration,
}

/// An event was not applied in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the event was not applied in time")
    }
}

impl std::error::Error for TimedOut {}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Verifier")
            .field("issuer", &self.core.issuer)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// A builder.
    pub fn builder() -> VerifierBuilder {
        VerifierBuilder::default()
    }

    pub(crate) fn new(core: Arc<Core>, tasks: Tasks) -> Self {
        Self {
            core,
            _tasks: Arc::new(tasks),
        }
    }

    /// Verifies a bearer token. If no key has its `kid`, the key set is fetched: once for all callers, and at most every ten seconds.
    /// Otherwise it waits for nothing.
    ///
    /// # Errors
    /// The token is refused.
    pub async fn verify(&self, token: &str) -> Result<Claims, Refused> {
        self.verify_presented(token, None).await
    }

    /// Verifies a bearer token with what is in memory. A token of a key that is not known yet is refused.
    ///
    /// # Errors
    /// The token is refused.
    pub fn verify_now(&self, token: &str) -> Result<Claims, Refused> {
        self.counted(self.core.check(token, None))
    }

    /// Verifies a token that was presented with a proof of the key with this thumbprint (DPoP, RFC 9449). This crate does not verify
    /// proofs: the caller has done so.
    ///
    /// # Errors
    /// The token is refused, also if it is not bound to this key.
    pub async fn verify_bound(&self, token: &str, thumbprint: &str) -> Result<Claims, Refused> {
        self.verify_presented(token, Some(thumbprint)).await
    }

    /// Verifies the bearer token of a request with these headers.
    ///
    /// # Errors
    /// The request has no token, or it is refused.
    pub async fn verify_headers(&self, headers: &HeaderMap) -> Result<Claims, Refused> {
        match bearer(headers) {
            Ok(token) => self.verify(token).await,
            Err(refused) => self.counted(Err(refused)),
        }
    }

    async fn verify_presented(&self, token: &str, key: Option<&str>) -> Result<Claims, Refused> {
        let mut checked = self.core.check(token, key);
        let is_unknown = match &checked {
            Err(Refused::UnknownKey) => true,
            Err(Refused::NotReady | Refused::Stopped) => self.core.shared.keys.current().len() == 0,
            _ => false,
        };
        if is_unknown && !self.core.shared.has_stopped(Task::Keys) {
            let keys = &self.core.shared.keys;
            if keys.fetch_unknown(self.core.shared.clock.monotonic()).await {
                checked = self.core.check(token, key);
            }
        }
        self.counted(checked)
    }

    fn counted(&self, checked: Result<Claims, Refused>) -> Result<Claims, Refused> {
        let counters = &self.core.shared.counters;
        match &checked {
            Ok(_) => count(&counters.accepted),
            Err(refused) => count(&counters.refused[refused.index()]),
        }
        checked
    }

    /// The time by which tokens expire, in Unix seconds: the later one of the clocks of this machine and of the issuer.
    pub fn now(&self) -> i64 {
        self.core.shared.times().latest.div_euclid(1000)
    }

    /// The age of the deny list: everything that was committed at Authlog before that is known. `None` before the list is complete.
    pub fn staleness(&self) -> Option<Duration> {
        let shared = &self.core.shared;
        let now = shared.now();
        let news = shared.news.read().unwrap_or_else(PoisonError::into_inner);
        news.as_ref()?.staleness(now)
    }

    /// The index in the log up to which every event was applied. `None` before the deny list is complete.
    pub fn log_index(&self) -> Option<u64> {
        *self.core.shared.applied.borrow()
    }

    /// Waits until the event with this index in the log was applied. An answer of Authlog that ended a session names the index in the
    /// header `Authlog-Log-Index`: after this wait, the tokens of the session are refused here.
    ///
    /// # Errors
    /// The event was not applied within `limit`.
    pub async fn wait_for(&self, log_index: u64, limit: Duration) -> Result<(), TimedOut> {
        let mut applied = self.core.shared.applied.subscribe();
        let reached = applied.wait_for(|applied| applied.is_some_and(|it| it >= log_index));
        match tokio::time::timeout(limit, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(TimedOut),
        }
    }

    /// Whether the keys were read and the deny list is complete. Before that, every token is refused as [`Refused::NotReady`]. With
    /// [`OnStale::FailClosed`], it is not ready either after a background task has ended. Use it for the readiness probe of your
    /// service.
    pub fn is_ready(&self) -> bool {
        let shared = &self.core.shared;
        let news = shared.news.read().unwrap_or_else(PoisonError::into_inner);
        news.is_some() && shared.keys.current().len() > 0 && !self.core.fails_by_end_of_task()
    }

    /// Waits until [`Self::is_ready`].
    pub async fn ready(&self) {
        while !self.is_ready() {
            // Both come within seconds, so nothing is saved by a more precise wait.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What to put into metrics.
    pub fn stats(&self) -> Stats {
        let shared = &self.core.shared;
        let counters = &shared.counters;
        let entries = {
            let news = shared.news.read().unwrap_or_else(PoisonError::into_inner);
            news.as_ref().map(|news| news.list.entries())
        };
        let refused = counters.refused.iter().map(|it| it.load(Relaxed));
        Stats {
            is_ready: self.is_ready(),
            staleness: self.staleness(),
            log_index: self.log_index(),
            entries: entries.unwrap_or_default(),
            keys: shared.keys.current().len(),
            keys_age: shared.keys.current().age(shared.now()),
            accepted: counters.accepted.load(Relaxed),
            refused: NAMES.into_iter().zip(refused).collect(),
            cached: counters.cached.load(Relaxed),
            events: counters.events.load(Relaxed),
            connections: counters.connections.load(Relaxed),
            readings: counters.readings.load(Relaxed),
            key_fetches: counters.key_fetches.load(Relaxed),
            key_failures: counters.key_failures.load(Relaxed),
            has_stopped: shared.has_any_stopped(),
            trouble: lock(&shared.trouble).clone(),
        }
    }
}

impl Core {
    /// Decides on a token that was presented as a bearer token, or with a proof of the key with this thumbprint.
    fn check(&self, token: &str, key: Option<&str>) -> Result<Claims, Refused> {
        let keys = self.shared.keys.current();
        let claims = self.signed(token, &keys)?;
        match (key, claims.is_bound()) {
            (None, false) => {}
            (Some(proved), true) if claims.key_thumbprint() == Some(proved) => {}
            (_, true) => return Err(Refused::BoundToKey),
            (Some(_), false) => return Err(Refused::NotBoundToKey),
        }
        let times = self.shared.times();
        self.check_times(&claims, times)?;
        self.check_news(&claims, times)?;
        self.check_age_of_keys(&keys, times)?;
        Ok(claims)
    }

    /// The claims of a token with a valid signature, of the issuer and for one of the audiences.
    fn signed(&self, token: &str, keys: &KeySet) -> Result<Claims, Refused> {
        // Before the digest, whose cost grows with the length.
        if token.len() > MAX_LENGTH {
            return Err(Refused::Malformed);
        }
        let digest = self.cache.digest(token);
        if let Some(digest) = &digest
            && let Some(claims) = self.cache.get(digest, keys.generation())
        {
            count(&self.shared.counters.cached);
            return Ok(claims);
        }
        let unverified = Unverified::parse(token, &self.algorithms)?;
        let key = keys.get(&unverified.kid).ok_or_else(|| match keys.len() {
            0 => self.not_ready(),
            _ => Refused::UnknownKey,
        })?;
        let claims = Claims::parse(unverified.payload(key)?)?;
        if claims.issuer() != self.issuer {
            return Err(Refused::Issuer);
        }
        let is_own = |audience: &str| self.audiences.iter().any(|own| own == audience);
        if !claims.audiences().any(is_own) {
            return Err(Refused::Audience);
        }
        if let Some(digest) = digest {
            let verified = Verified {
                claims: claims.clone(),
                generation: keys.generation(),
            };
            self.cache.put(digest, verified);
        }
        Ok(claims)
    }

    /// Why a token is refused that cannot be decided on yet.
    fn not_ready(&self) -> Refused {
        if self.shared.has_any_stopped() {
            return Refused::Stopped;
        }
        Refused::NotReady
    }

    /// Whether every token is refused, because a background task has ended.
    fn fails_by_end_of_task(&self) -> bool {
        self.on_stale == OnStale::FailClosed && self.shared.has_any_stopped()
    }

    fn check_times(&self, claims: &Claims, times: Times) -> Result<(), Refused> {
        let in_millis = |seconds: i64| seconds.saturating_mul(1000);
        let leeway = millis(self.leeway);
        if times.latest >= in_millis(claims.expires_at()).saturating_add(leeway) {
            return Err(Refused::Expired);
        }
        // Of a clock that is behind, the other one says whether the token has begun.
        let latest_begin = times.latest.saturating_add(CLOCK_DIFFERENCE.max(leeway));
        let begin = claims.not_before().unwrap_or(i64::MIN);
        if in_millis(begin) > latest_begin {
            return Err(Refused::NotYetValid);
        }
        // The end of its session would be forgotten before it expires.
        let latest_issue = times.latest.saturating_add(millis(MARGIN));
        if in_millis(claims.issued_at()) > latest_issue {
            return Err(Refused::NotYetValid);
        }
        if claims.lifetime() > self.longest_token {
            return Err(Refused::TooLongLived);
        }
        Ok(())
    }

    fn check_news(&self, claims: &Claims, times: Times) -> Result<(), Refused> {
        let news = self.shared.news.read();
        let news = news.unwrap_or_else(PoisonError::into_inner);
        let Some(news) = news.as_ref() else {
            return Err(self.not_ready());
        };
        if let Some(refused) = news.list.refusal(claims) {
            return Err(refused);
        }
        if self.fails_by_end_of_task() {
            return Err(Refused::Stopped);
        }
        if !news.reach_back(times.earliest) {
            return Err(self.not_ready());
        }
        let is_stale = news
            .staleness(times.local)
            .is_none_or(|age| age > self.max_staleness);
        match self.on_stale {
            OnStale::FailClosed if is_stale => Err(Refused::Stale),
            OnStale::FailClosed | OnStale::LocalOnly => Ok(()),
        }
    }

    /// Checks that the keys are not too old to know of the retirement of one.
    fn check_age_of_keys(&self, keys: &KeySet, times: Times) -> Result<(), Refused> {
        let is_expired = keys
            .age(times.local)
            .is_none_or(|age| age > self.keys_expire_after);
        if !is_expired {
            return Ok(());
        }
        // After a suspend, the next request for them may be minutes away.
        self.shared.keys.want();
        match self.on_stale {
            OnStale::FailClosed => Err(Refused::KeysExpired),
            OnStale::LocalOnly => Ok(()),
        }
    }
}
