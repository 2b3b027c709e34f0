//! The settings of a verifier.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::TokenCache;
use crate::clock::{Clock, SystemClock};
use crate::credentials::Tokens;
use crate::feed::{Feed, FeedReader};
use crate::http_client::{Address, HttpClient, NoClient};
use crate::key_fetcher::{KeyFetcher, Keys};
use crate::keys::Algorithm;
use crate::news::Limits;
use crate::shared::{NewsWriter, Running, Shared, Task};
use crate::verifier::{Core, Tasks, Verifier};

/// What to do with tokens while the deny list is older than permitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStale {
    /// Refuse them, so that an end takes effect within the permitted age. The README has the limits of this.
    #[default]
    FailClosed,
    /// Accept them by their signature, their times and what is known. So an outage of Authlog or of the network ends no service, and
    /// a session that ends meanwhile is accepted until its token expires.
    LocalOnly,
}

/// The source of the events that end sessions.
#[non_exhaustive]
pub enum Revocations {
    /// The HTTP feed.
    Feed(Feed),
    /// NATS JetStream.
    #[cfg(feature = "nats")]
    Nats(crate::nats::Nats),
}

impl From<Feed> for Revocations {
    fn from(feed: Feed) -> Self {
        Self::Feed(feed)
    }
}

#[cfg(feature = "nats")]
impl From<crate::nats::Nats> for Revocations {
    fn from(nats: crate::nats::Nats) -> Self {
        Self::Nats(nats)
    }
}

/// A setting is missing or wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildError(&'static str);

impl fmt::Display for BuildError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for BuildError {}

/// The settings of a [`Verifier`]. The issuer, an audience and the source of revocations are needed.
#[must_use]
pub struct VerifierBuilder {
    issuer: Option<String>,
    source: Option<String>,
    audiences: Vec<String>,
    revocations: Option<Revocations>,
    max_staleness: Duration,
    on_stale: OnStale,
    algorithms: Vec<Algorithm>,
    leeway: Duration,
    keys_url: Option<String>,
    keys_max_age: Duration,
    keys_expire_after: Duration,
    longest_token: Duration,
    max_entries: usize,
    cached_tokens: usize,
    certificates: Option<Vec<u8>>,
    clock: Arc<dyn Clock>,
}

impl Default for VerifierBuilder {
    fn default() -> Self {
        Self {
            issuer: None,
            source: None,
            audiences: Vec::new(),
            revocations: None,
            max_staleness: Duration::from_secs(2),
            on_stale: OnStale::default(),
            algorithms: vec![Algorithm::Es256],
            leeway: Duration::ZERO,
            keys_url: None,
            keys_max_age: Duration::from_secs(5 * 60),
            keys_expire_after: Duration::from_secs(10 * 60),
            longest_token: Duration::from_secs(24 * 60 * 60),
            max_entries: 4_000_000,
            cached_tokens: 10_000,
            certificates: None,
            clock: Arc::new(SystemClock::default()),
        }
    }
}

impl VerifierBuilder {
    /// The issuer: `AUTHLOG_PUBLIC_URL` without a slash at its end. The claim `iss` has to be exactly this.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// An audience of which a token has to have one. Tokens of contracts have `authlog`; those of applications name the service.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// The source of the events that end sessions.
    pub fn revocations(mut self, revocations: impl Into<Revocations>) -> Self {
        self.revocations = Some(revocations.into());
        self
    }

    /// The largest permitted age of the deny list: 2 seconds by default. Heartbeats come every 500 ms, so less than a second leaves no room for a lost one.
    pub fn max_staleness(mut self, max_staleness: Duration) -> Self {
        self.max_staleness = max_staleness;
        self
    }

    /// What to do while the deny list is older: [`OnStale::FailClosed`] by default.
    pub fn on_stale(mut self, on_stale: OnStale) -> Self {
        self.on_stale = on_stale;
        self
    }

    /// The algorithms that are accepted: ES256 by default.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// How long after its expiry a token is accepted, because the clock of this machine may be ahead: not at all by default, and a minute
    /// at most.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(Duration::from_secs(60));
        self
    }

    /// The address of the key set, if it is not `<issuer>/.well-known/jwks.json`.
    pub fn keys_url(mut self, url: impl Into<String>) -> Self {
        self.keys_url = Some(url.into());
        self
    }

    /// How long a key set is used while the issuer can be reached: as long as its `Cache-Control` says, less its `Age`, and this at
    /// most. It is 5 minutes by default, and no more is possible. The retirement of a key is noticed within this time, and within ten
    /// seconds more than a cache in between serves the set.
    pub fn keys_max_age(mut self, max_age: Duration) -> Self {
        let possible = Duration::from_secs(1)..=Duration::from_secs(5 * 60);
        self.keys_max_age = max_age.clamp(*possible.start(), *possible.end());
        self
    }

    /// How old the key set may be before [`OnStale::FailClosed`] refuses every token: 10 minutes by default, and
    /// [`Self::keys_max_age`] at least. The issuer serves it with `max-age=300`. So it is fetched at least every five minutes, and
    /// five more are left to reach the issuer. A key is published ten minutes before it signs, so that no signing key is missing.
    pub fn keys_expire_after(mut self, age: Duration) -> Self {
        self.keys_expire_after = age;
        self
    }

    /// The longest lifetime of an access token: 24 hours by default, which is the longest that Authlog issues. Tokens that live
    /// longer are refused. With less, less is read at the start and kept in memory.
    pub fn longest_access_token(mut self, lifetime: Duration) -> Self {
        self.longest_token = lifetime;
        self
    }

    /// The largest number of entries of the deny list: 4 million by default, in about 220 MiB. When it is full, it becomes stale,
    /// because no entry is forgotten before its time.
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = entries;
        self
    }

    /// The number of tokens whose verified signature is remembered: 10,000 by default, in about 20 MiB. With 0, each signature
    /// is verified.
    pub fn cached_tokens(mut self, tokens: usize) -> Self {
        self.cached_tokens = tokens;
        self
    }

    /// The root certificates that are trusted instead of those of this machine, in PEM. A connection to NATS has its own.
    pub fn trusted_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates = Some(pem.into());
        self
    }

    /// The `source` of the events, if it is not the issuer.
    pub fn event_source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Other clocks than those of the operating system: for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Starts the verifier. Its background tasks fetch the keys and read the events.
    ///
    /// # Errors
    /// A setting is missing or wrong, or there is no tokio runtime.
    pub fn start(self) -> Result<Verifier, BuildError> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| BuildError("a verifier needs a tokio runtime"))?;
        let issuer = self.issuer.ok_or(BuildError("the issuer is missing"))?;
        if self.audiences.is_empty() {
            return Err(BuildError("an audience is missing"));
        }
        if self.algorithms.is_empty() {
            return Err(BuildError("no algorithm is accepted"));
        }
        let revocations = self
            .revocations
            .ok_or(BuildError("the source of revocations is missing"))?;
        let places = Places { issuer: &issuer };
        let keys = places.address(self.keys_url, "/.well-known/jwks.json")?;
        let mut addresses = vec![keys.clone()];
        let source = match revocations {
            Revocations::Feed(feed) => {
                let address = places.address(feed.url, "/audit/events")?;
                let endpoint = places.address(feed.token_url, "/oauth2/token")?;
                addresses.extend([address.clone(), endpoint.clone()]);
                Source::Feed {
                    address,
                    endpoint,
                    credentials: feed.credentials,
                }
            }
            #[cfg(feature = "nats")]
            Revocations::Nats(nats) => Source::Nats(nats),
        };
        let needs_tls = addresses.iter().any(Address::is_tls);
        let http = HttpClient::new(needs_tls, self.certificates.as_deref())
            .map_err(|NoClient::Tls(reason)| BuildError(reason))?;
        let shared = Arc::new(Shared::new(self.clock, Keys::default()));
        let limits = Limits {
            longest_token: self.longest_token,
            entries: self.max_entries,
        };
        let event_source = self.source.unwrap_or_else(|| issuer.clone());
        let writer = NewsWriter::new(Arc::clone(&shared), limits, event_source);
        let fetcher = KeyFetcher {
            http: http.clone(),
            address: keys,
            accepted: self.algorithms.clone(),
            max_age: self.keys_max_age,
        };
        let fetching = fetcher.run(Arc::clone(&shared));
        let fetching = Running::spawn(&runtime, &shared, Task::Keys, fetching);
        let reading = match source {
            Source::Feed {
                address,
                endpoint,
                credentials,
            } => {
                let tokens = Tokens {
                    http: http.clone(),
                    endpoint,
                    credentials,
                };
                let quarter = self.max_staleness / 4;
                let reader = FeedReader {
                    http,
                    address,
                    tokens,
                    heartbeat: quarter
                        .clamp(Duration::from_millis(250), Duration::from_millis(500)),
                };
                Running::spawn(&runtime, &shared, Task::News, reader.run(writer))
            }
            #[cfg(feature = "nats")]
            Source::Nats(nats) => {
                let reading = crate::nats::NatsReader::new(nats).run(writer);
                Running::spawn(&runtime, &shared, Task::News, reading)
            }
        };
        let core = Core {
            shared,
            cache: TokenCache::new(self.cached_tokens),
            issuer,
            audiences: self.audiences,
            algorithms: self.algorithms,
            leeway: self.leeway,
            longest_token: self.longest_token,
            max_staleness: self.max_staleness,
            on_stale: self.on_stale,
            keys_expire_after: self.keys_expire_after.max(self.keys_max_age),
        };
        let tasks = Tasks(vec![fetching, reading]);
        Ok(Verifier::new(Arc::new(core), tasks))
    }
}

enum Source {
    Feed {
        address: Address,
        endpoint: Address,
        credentials: crate::credentials::Credentials,
    },
    #[cfg(feature = "nats")]
    Nats(crate::nats::Nats),
}

/// The addresses below the issuer.
struct Places<'a> {
    issuer: &'a str,
}

impl Places<'_> {
    fn address(&self, given: Option<String>, path: &str) -> Result<Address, BuildError> {
        let default = || format!("{}{path}", self.issuer);
        let text = given.unwrap_or_else(default);
        Address::parse(&text).ok_or(BuildError(
            "an address is not a URL with the scheme http or https, and without a user",
        ))
    }
}
