//! Lookups at a range service, which is sent the first five digits of a hash and answers with all hashes that begin so.
//!
//! The interface is that of Pwned Passwords (<https://haveibeenpwned.com/API/v3#PwnedPasswords>).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use authlog_application::Password;
use authlog_application::ports::{BreachLookup, BreachedPasswords};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use url::Url;
use zeroize::Zeroizing;

use super::breaker::Breaker;
use super::{answer, count, digest_of};
use crate::tls;

/// How long a lookup may take, with its connection. A registration waits for it.
const LIMIT: Duration = Duration::from_millis(500);

/// The longest answer that is read. Those of Pwned Passwords have about 50 KiB.
const LONGEST_ANSWER: usize = 512 * 1024;

/// How many lookups may be under way. Further ones wait within their time limit.
const AT_ONCE: usize = 16;

/// Hexadecimal digits that are sent.
const PREFIX_DIGITS: usize = 5;

/// Asks the service to add entries, so that the length of the answer does not tell an observer the prefix. Their count is 0.
const ADD_PADDING: HeaderName = HeaderName::from_static("add-padding");

type Sender = SendRequest<Empty<Bytes>>;

/// A range service.
pub struct RangeService {
    url: Url,
    host: String,
    port: u16,
    /// `None` for a service without TLS.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// A connection that can be used again.
    idle: Mutex<Option<Sender>>,
    places: Semaphore,
    breaker: Mutex<Breaker>,
}

/// Why the setting cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RangeServiceError {
    /// The URL has no host, or another scheme.
    #[error("it should be an http:// or https:// URL without a user, a query and a fragment")]
    Url,
    /// TLS cannot be set up.
    #[error("TLS cannot be used: {0}")]
    Tls(String),
}

/// Why a lookup failed. The texts contain nothing of the hash.
#[derive(Debug, thiserror::Error)]
enum LookupError {
    #[error("it cannot be reached: {0}")]
    Connection(#[from] std::io::Error),
    #[error("the request failed: {0}")]
    Request(#[from] hyper::Error),
    #[error("the request is not valid: {0}")]
    Malformed(#[from] hyper::http::Error),
    #[error("it answered with the status {0}")]
    Status(StatusCode),
    #[error("its answer is longer than {LONGEST_ANSWER} bytes or ended too early")]
    Body,
    #[error("its answer is no list of hashes")]
    NoList,
    #[error("it did not answer within half a second")]
    Late,
}

impl RangeService {
    /// A service at this URL, to which a slash and the prefix are appended. Nothing is connected yet.
    ///
    /// # Errors
    /// The URL cannot be used, or there are no root certificates.
    pub fn new(url: Url) -> Result<Self, RangeServiceError> {
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let host = url.host_str().filter(|_| is_plain);
        let (Some(host), Some(port)) = (host, url.port_or_known_default()) else {
            return Err(RangeServiceError::Url);
        };
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let tls = match url.scheme() {
            "http" => None,
            "https" => {
                let name =
                    ServerName::try_from(host.clone()).map_err(|_| RangeServiceError::Url)?;
                let tls = tls::connector();
                let tls = tls.map_err(|error| RangeServiceError::Tls(error.to_string()))?;
                Some((tls, name))
            }
            _ => return Err(RangeServiceError::Url),
        };
        Ok(Self {
            url,
            host,
            port,
            tls,
            idle: Mutex::default(),
            places: Semaphore::new(AT_ONCE),
            breaker: Mutex::default(),
        })
    }

    /// Whether the hash with these digits is listed.
    async fn ask(&self, digits: &str) -> Result<bool, LookupError> {
        // The semaphore is never closed.
        let _place = self.places.acquire().await;
        let (prefix, rest) = digits.split_at(PREFIX_DIGITS);
        // An idle connection may have been closed meanwhile. Then the request was not sent.
        let idle = lock(&self.idle).take().filter(|sender| !sender.is_closed());
        let answered = match idle {
            Some(mut sender) => match self.send(&mut sender, prefix).await {
                Ok(body) => Ok((sender, body)),
                Err(LookupError::Request(_)) => self.send_on_new(prefix).await,
                Err(error) => Err(error),
            },
            None => self.send_on_new(prefix).await,
        };
        let (sender, body) = answered?;
        *lock(&self.idle) = Some(sender);
        has(&body, rest)
    }

    async fn send_on_new(&self, prefix: &str) -> Result<(Sender, Bytes), LookupError> {
        let mut sender = self.connect().await?;
        let body = self.send(&mut sender, prefix).await?;
        Ok((sender, body))
    }

    async fn connect(&self) -> Result<Sender, LookupError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => open(stream).await,
            Some((tls, name)) => open(tls.connect(name.clone(), stream).await?).await,
        }
    }

    /// Sends the prefix and reads the answer. A redirect is not followed: it is another status than 200.
    async fn send(&self, sender: &mut Sender, prefix: &str) -> Result<Bytes, LookupError> {
        let authority = self.url.authority();
        let path = self.url.path().trim_end_matches('/');
        let request = Request::get(format!("{path}/{prefix}"))
            .header(HOST, authority)
            .header(USER_AGENT, concat!("authlog/", env!("CARGO_PKG_VERSION")))
            .header(ADD_PADDING, HeaderValue::from_static("true"))
            .body(Empty::new())?;
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(LookupError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect();
        Ok(body.await.map_err(|_| LookupError::Body)?.to_bytes())
    }
}

/// Begins HTTP over a connection. Its task ends with the connection.
async fn open(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Sender, LookupError> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the range service has ended");
        }
    });
    Ok(sender)
}

/// Whether an answer has the hash with these last digits. Entries that the service added have the count 0.
fn has(body: &[u8], rest: &str) -> Result<bool, LookupError> {
    let text = std::str::from_utf8(body).map_err(|_| LookupError::NoList)?;
    let mut found = false;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (suffix, count) = line.split_once(':').ok_or(LookupError::NoList)?;
        let is_entry = suffix.len() == rest.len()
            && suffix.bytes().all(|digit| digit.is_ascii_hexdigit())
            && count.bytes().all(|digit| digit.is_ascii_digit());
        if !is_entry {
            return Err(LookupError::NoList);
        }
        let is_real = count.bytes().any(|digit| digit != b'0');
        found |= is_real && suffix.eq_ignore_ascii_case(rest);
    }
    Ok(found)
}

#[async_trait]
impl BreachedPasswords for RangeService {
    async fn look_up(&self, password: &Password) -> BreachLookup {
        if !lock(&self.breaker).admits(Instant::now()) {
            count("skipped");
            return BreachLookup::Unknown;
        }
        let digits = Zeroizing::new(hex::encode_upper(*digest_of(password)));
        let asked = tokio::time::timeout(LIMIT, self.ask(&digits)).await;
        match asked.unwrap_or(Err(LookupError::Late)) {
            Ok(is_listed) => {
                lock(&self.breaker).succeeded();
                answer(is_listed)
            }
            Err(error) => {
                count("failed");
                let pause = lock(&self.breaker).failed(Instant::now());
                tracing::warn!(
                    host = self.host,
                    paused_seconds = pause.map(|pause| pause.as_secs()),
                    "the range service for breached passwords failed, so a password was not compared with its list: {error}"
                );
                BreachLookup::Unknown
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REST: &str = "1E4C9B93F3F0682250B6CF8331B7EE68FD8";

    #[test]
    fn an_answer_is_read_line_by_line() {
        let others = "0018A45C4D1DEF81644B54AB7F969B88D65:12\r\n";
        for (body, expected) in [
            (format!("{others}{REST}:1\r\n"), Some(true)),
            (format!("{others}{}:3", REST.to_lowercase()), Some(true)),
            (others.to_owned(), Some(false)),
            (String::new(), Some(false)),
            // Added by the service.
            (format!("{others}{REST}:0\r\n"), Some(false)),
            (format!("{others}{REST}:000"), Some(false)),
            ("<html>Sign in to this network</html>".to_owned(), None),
            (format!("{REST}:-1"), None),
            (format!("{}:1", &REST[1..]), None),
            (REST.to_owned(), None),
        ] {
            assert_eq!(has(body.as_bytes(), REST).ok(), expected, "{body}");
        }
        assert!(has(b"\xff", REST).is_err());
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused() {
        for (url, good) in [
            ("http://localhost:8080/range", true),
            ("http://[::1]:8080/range/", true),
            ("https://range.example/v3", true),
            ("https://user:secret@range.example", false),
            ("https://range.example/?mode=ntlm", false),
            ("ftp://range.example", false),
            ("file:///list", false),
        ] {
            let service = RangeService::new(Url::parse(url).unwrap());
            assert_eq!(service.is_ok(), good, "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(
            body in prop::collection::vec(any::<u8>(), 0..200),
            shaped in "([0-9A-F]{34,36}:[0-9]{0,2}\r?\n){0,4}",
        ) {
            let _ = has(&body, REST);
            let _ = has(shaped.as_bytes(), REST);
        }
    }
}
