//! Sends logout tokens over HTTP (OpenID Connect Back-Channel Logout 1.0 §2.5).
//!
//! The address was registered by an operator, and the server behind it is not trusted: an exchange has a deadline, little of the
//! answer is read, and no redirect is followed.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::{LogoutSendError, LogoutSender};
use authlog_domain::HttpsUri;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use url::Url;

use crate::tls::{self, TlsError};

/// How long an exchange may take, with the look-up of the name and the attempts to connect to all addresses.
const LIMIT: Duration = Duration::from_secs(5);

/// How long an address may take to accept a connection if there is another one, for example because the host has an IPv6 address that
/// is not routed. Longer than the second after which a lost packet is sent again. The last address has the rest of the limit.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(1500);

/// How much of a body is read, so that the connection can be used again. Clients have nothing to say in it.
const LONGEST_BODY: usize = 4 * 1024;

/// The longest head of an answer.
const LONGEST_HEAD: usize = 16 * 1024;

/// How long a connection is kept for the next token of the same client. Many servers close theirs after five seconds.
const KEPT_FOR: Duration = Duration::from_secs(4);

/// The largest number of connections that are kept.
const KEPT: usize = 64;

type Sender = SendRequest<Full<Bytes>>;

/// Sends logout tokens. Connections are kept for a few seconds, because the sessions of a client often end together.
#[derive(Default)]
pub struct HttpLogoutSender {
    tls: OnceCell<TlsConnector>,
    kept: Mutex<HashMap<String, Kept>>,
}

struct Kept {
    sender: Sender,
    since: Instant,
}

/// Why an exchange failed. The texts contain nothing of the token.
#[derive(Debug, thiserror::Error)]
enum ExchangeError {
    #[error("it cannot be reached: {0}")]
    Connection(#[from] io::Error),
    #[error("the request failed: {0}")]
    Request(#[from] hyper::Error),
    #[error("the request is not valid: {0}")]
    Malformed(#[from] hyper::http::Error),
    #[error("its address cannot be used")]
    Address,
    #[error("TLS cannot be used: {0}")]
    Tls(#[from] TlsError),
    #[error("it did not answer within {} seconds", LIMIT.as_secs())]
    Late,
}

#[async_trait]
impl LogoutSender for HttpLogoutSender {
    async fn send_logout(&self, uri: &HttpsUri, token: &str) -> Result<(), LogoutSendError> {
        let exchanged = timeout(LIMIT, self.exchange(uri, token)).await;
        let status = exchanged.unwrap_or(Err(ExchangeError::Late));
        let outcome = status
            .map_err(|error| LogoutSendError::Failed(error.to_string()))
            .and_then(outcome);
        count(&outcome);
        outcome
    }
}

/// What a status says of the delivery (§2.8): some frameworks answer 204, and a client that does not accept the token answers 400.
/// Others answer 404 for a session that they do not know, or 500 after a failure with one person's data. So an error is about this
/// token, unless it says that the client does not work at the moment. A redirect says that the address is wrong.
fn outcome(status: StatusCode) -> Result<(), LogoutSendError> {
    match status.as_u16() {
        200..=299 => Ok(()),
        code @ (408 | 429 | 502..=504 | ..400) => {
            let answered = format!("it answered with the status {code}");
            Err(LogoutSendError::Failed(answered))
        }
        code => Err(LogoutSendError::Refused(code)),
    }
}

fn count(outcome: &Result<(), LogoutSendError>) {
    let outcome = match outcome {
        Ok(()) => "delivered",
        Err(LogoutSendError::Refused(_)) => "refused",
        Err(LogoutSendError::Failed(_)) => "failed",
    };
    metrics::counter!("authlog_logout_tokens_total", "outcome" => outcome).increment(1);
}

impl HttpLogoutSender {
    async fn exchange(&self, uri: &HttpsUri, token: &str) -> Result<StatusCode, ExchangeError> {
        let url = Url::parse(uri.as_str()).map_err(|_| ExchangeError::Address)?;
        let place = url.origin().ascii_serialization();
        // A kept connection may have been closed meanwhile. Then the token may be sent twice.
        let kept = self.take_kept(&place);
        let answered = match kept {
            Some(mut sender) => match send(&mut sender, &url, token).await {
                Ok(answer) => Ok((sender, answer)),
                Err(_) => self.send_on_new(&url, token).await,
            },
            None => self.send_on_new(&url, token).await,
        };
        let (sender, (status, is_read)) = answered?;
        if is_read {
            self.keep(place, sender);
        }
        Ok(status)
    }

    async fn send_on_new(
        &self,
        url: &Url,
        token: &str,
    ) -> Result<(Sender, (StatusCode, bool)), ExchangeError> {
        let mut sender = self.connect(url).await?;
        let answer = send(&mut sender, url, token).await?;
        Ok((sender, answer))
    }

    async fn connect(&self, url: &Url) -> Result<Sender, ExchangeError> {
        let host = url.host_str().ok_or(ExchangeError::Address)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().ok_or(ExchangeError::Address)?;
        let addresses = lookup_host((host, port)).await?.collect();
        let stream = first_to_accept(addresses, TcpStream::connect).await?;
        stream.set_nodelay(true)?;
        if url.scheme() == "http" {
            return open(stream).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ExchangeError::Address)?;
        let tls = self.tls.get_or_try_init(tls_connector).await?;
        open(tls.connect(name, stream).await?).await
    }

    fn take_kept(&self, place: &str) -> Option<Sender> {
        let kept = lock(&self.kept).remove(place)?;
        let is_good = kept.since.elapsed() < KEPT_FOR && !kept.sender.is_closed();
        is_good.then_some(kept.sender)
    }

    fn keep(&self, place: String, sender: Sender) {
        let since = Instant::now();
        let mut kept = lock(&self.kept);
        kept.retain(|_, it| it.since.elapsed() < KEPT_FOR && !it.sender.is_closed());
        if kept.len() < KEPT {
            kept.insert(place, Kept { sender, since });
        }
    }
}

/// Sends the token. Returns the status, and whether the whole answer was read.
async fn send(
    sender: &mut Sender,
    url: &Url,
    token: &str,
) -> Result<(StatusCode, bool), ExchangeError> {
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let request = Request::post(path)
        .header(
            HOST,
            &url[url::Position::BeforeHost..url::Position::AfterPort],
        )
        .header(USER_AGENT, concat!("authlog/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "*/*")
        .header(CACHE_CONTROL, "no-store")
        // A token has only characters that need no escaping in a form.
        .body(Full::new(Bytes::from(format!("logout_token={token}"))))?;
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    Ok((status, reads_to_the_end(response.into_body()).await))
}

/// Reads the rest of an answer, if it is short and comes at once. The status counts even if the rest never comes.
async fn reads_to_the_end(body: Incoming) -> bool {
    const AT_ONCE: Duration = Duration::from_millis(500);
    let rest = Limited::new(body, LONGEST_BODY).collect();
    matches!(timeout(AT_ONCE, rest).await, Ok(Ok(_)))
}

/// A connection to the first of these addresses that accepts one.
async fn first_to_accept<T, C: Future<Output = io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> C,
) -> io::Result<T> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    let mut addresses = addresses.into_iter().peekable();
    while let Some(address) = addresses.next() {
        let connecting = connect(address);
        let connected = if addresses.peek().is_some() {
            let connected = timeout(NEXT_ADDRESS_AFTER, connecting).await;
            connected.unwrap_or_else(|late| Err(late.into()))
        } else {
            connecting.await
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Begins HTTP over a connection. Its task ends with the connection.
async fn open(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Sender, ExchangeError> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(LONGEST_HEAD)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a client for logout tokens has ended");
        }
    });
    Ok(sender)
}

/// A connector that trusts the root certificates of this machine. They are read when the first one is needed.
async fn tls_connector() -> Result<TlsConnector, ExchangeError> {
    let connector = tokio::task::spawn_blocking(tls::connector).await;
    Ok(connector.map_err(|_| TlsError::NoRoots)??)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::io::ErrorKind;

    use super::*;

    /// Connects to the host of these ports, of which port 1 refuses, and port 2 does not answer, as a host that is not routed.
    async fn connected_to(ports: &[u16]) -> Result<u16, ErrorKind> {
        let addresses = ports.iter().map(|port| ([127, 0, 0, 1], *port).into());
        let connect = |address: SocketAddr| async move {
            match address.port() {
                1 => Err(ErrorKind::ConnectionRefused.into()),
                2 => pending().await,
                port => Ok(port),
            }
        };
        let limited = timeout(LIMIT, first_to_accept(addresses.collect(), connect)).await;
        let connected = limited.unwrap_or_else(|late| Err(late.into()));
        connected.map_err(|error| error.kind())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_leaves_time_for_the_next() {
        for (ports, expected) in [
            (&[3, 4][..], Ok(3)),
            (&[1, 4], Ok(4)),
            (&[2, 4], Ok(4)),
            (&[2, 1, 2, 4], Ok(4)),
            (&[1], Err(ErrorKind::ConnectionRefused)),
            (&[2, 1], Err(ErrorKind::ConnectionRefused)),
            (&[2], Err(ErrorKind::TimedOut)),
            (&[], Err(ErrorKind::NotFound)),
        ] {
            assert_eq!(connected_to(ports).await, expected, "{ports:?}");
        }
    }

    fn outcome_of(status: u16) -> &'static str {
        match outcome(StatusCode::from_u16(status).unwrap()) {
            Ok(()) => "delivered",
            Err(LogoutSendError::Refused(_)) => "refused",
            Err(LogoutSendError::Failed(_)) => "failed",
        }
    }

    #[test]
    fn a_token_is_delivered_refused_or_to_be_sent_again() {
        for (statuses, expected) in [
            (&[200, 201, 202, 204][..], "delivered"),
            (
                &[400, 401, 403, 404, 405, 410, 422, 500, 501, 599],
                "refused",
            ),
            // A redirect is not followed.
            (&[301, 302, 303, 307, 308, 304], "failed"),
            (&[408, 429, 502, 503, 504], "failed"),
        ] {
            for status in statuses {
                assert_eq!(outcome_of(*status), expected, "{status}");
            }
        }
    }
}
