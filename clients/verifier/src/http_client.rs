//! The requests to the issuer. One connection for each, no redirects, and a limit for everything that a server could send.

use std::time::Duration;

use http::header::{ACCEPT, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::trouble::Trouble;

/// How long a server may take until the head of its answer.
pub(crate) const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// The largest head of an answer.
const LARGEST_HEAD: usize = 64 * 1024;

/// An address with the scheme `http` or `https`.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    is_tls: bool,
    authority: Authority,
    path: PathAndQuery,
}

impl Address {
    /// Parses an absolute URL. `None` if it is none, or has a user.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts = text.parse::<Uri>().ok()?.into_parts();
        let scheme = parts.scheme?;
        let is_tls = scheme == Scheme::HTTPS;
        if !is_tls && scheme != Scheme::HTTP {
            return None;
        }
        let authority = parts.authority?;
        let path = parts.path_and_query?;
        (!authority.as_str().contains('@')).then_some(Self {
            is_tls,
            authority,
            path,
        })
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The path with its query, and more of a query.
    fn target(&self, more: &str) -> String {
        let path = self.path.as_str();
        match more {
            "" => path.to_owned(),
            _ if path.contains('?') => format!("{path}&{more}"),
            _ => format!("{path}?{more}"),
        }
    }
}

/// Why there is no client.
#[derive(Debug)]
pub(crate) enum NoClient {
    /// TLS is needed, and the crate is built without the feature `tls`, or no root certificate can be read.
    Tls(&'static str),
}

/// Sends requests.
#[derive(Clone)]
pub(crate) struct HttpClient {
    #[cfg(feature = "tls")]
    tls: Option<tokio_rustls::TlsConnector>,
}

/// An answer whose head was read. Its connection ends with it.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    body: Incoming,
    connection: JoinHandle<()>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl HttpClient {
    /// A client. With `needs_tls`, it trusts `certificates` (PEM), or without them those of this machine.
    #[cfg(feature = "tls")]
    pub(crate) fn new(needs_tls: bool, certificates: Option<&[u8]>) -> Result<Self, NoClient> {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;

        if !needs_tls {
            return Ok(Self { tls: None });
        }
        let certificates = match certificates {
            Some(pem) => CertificateDer::pem_slice_iter(pem)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|_| NoClient::Tls("the trusted certificates are not PEM"))?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        if roots.is_empty() {
            return Err(NoClient::Tls("there is no trusted root certificate"));
        }
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| NoClient::Tls("the TLS library supports no version"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        Ok(Self { tls: Some(tls) })
    }

    /// A client without TLS.
    #[cfg(not(feature = "tls"))]
    pub(crate) fn new(needs_tls: bool, _certificates: Option<&[u8]>) -> Result<Self, NoClient> {
        if needs_tls {
            return Err(NoClient::Tls(
                "the crate is built without its feature `tls`",
            ));
        }
        Ok(Self {})
    }

    /// Sends a request to `address`, with more of a query, and waits for the head of the answer.
    pub(crate) async fn send(
        &self,
        address: &Address,
        query: &str,
        request: http::request::Builder,
        body: String,
    ) -> Result<Answer, Trouble> {
        let request = request
            .uri(address.target(query))
            .header(HOST, address.authority.as_str())
            .header(
                USER_AGENT,
                concat!("authlog-verifier/", env!("CARGO_PKG_VERSION")),
            )
            .body(Full::new(Bytes::from(body)))
            .map_err(Trouble::connection)?;
        match tokio::time::timeout(HEAD_LIMIT, self.exchange(address, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(Trouble::Silent),
        }
    }

    async fn exchange(
        &self,
        address: &Address,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Trouble> {
        let default = if address.is_tls { 443 } else { 80 };
        let port = address.authority.port_u16().unwrap_or(default);
        let host = address.authority.host();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(Trouble::connection)?;
        stream.set_nodelay(true).map_err(Trouble::connection)?;
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls.as_ref().filter(|_| address.is_tls) {
            let name = rustls::pki_types::ServerName::try_from(host.to_owned())
                .map_err(Trouble::connection)?;
            let stream = tls
                .connect(name, stream)
                .await
                .map_err(Trouble::connection)?;
            return answer(TokioIo::new(stream), request).await;
        }
        answer(TokioIo::new(stream), request).await
    }

    /// An answer as a whole, of at most `largest` bytes within [`HEAD_LIMIT`] after its head. Other statuses than 200 are errors.
    pub(crate) async fn fetch(
        &self,
        address: &Address,
        request: http::request::Builder,
        body: String,
        largest: usize,
    ) -> Result<(http::HeaderMap, Bytes), Trouble> {
        let request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
        let mut answer = self.send(address, "", request, body).await?;
        answer.check()?;
        let headers = std::mem::take(&mut answer.headers);
        let rest = Limited::new(&mut answer.body, largest).collect();
        match tokio::time::timeout(HEAD_LIMIT, rest).await {
            Err(_) => Err(Trouble::Silent),
            Ok(Ok(body)) => Ok((headers, body.to_bytes())),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                Err(Trouble::TooLarge)
            }
            Ok(Err(error)) => Err(Trouble::Connection(error)),
        }
    }
}

impl Answer {
    /// The error that another status than 200 is.
    pub(crate) fn check(&self) -> Result<(), Trouble> {
        if self.status == StatusCode::OK {
            return Ok(());
        }
        let retry_after = self.headers.get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        Err(Trouble::Status {
            status: self.status.as_u16(),
            retry_after,
        })
    }

    /// The next part of the body; `None` at its end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        loop {
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            // Trailers are ignored.
            if let Ok(data) = frame.map_err(Trouble::connection)?.into_data() {
                return Ok(Some(data));
            }
        }
    }
}

/// Sends the request on a new connection.
async fn answer<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, Trouble>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(LARGEST_HEAD);
    let (mut sender, connection) = builder
        .handshake(stream)
        .await
        .map_err(Trouble::connection)?;
    let connection = tokio::spawn(async move {
        // An error is reported by the request or by the body.
        let _ = connection.await;
    });
    // Aborts the connection also if the request fails, or is dropped.
    let guard = AbortOnDrop(Some(connection));
    let response = sender
        .send_request(request)
        .await
        .map_err(Trouble::connection)?;
    let (head, body) = response.into_parts();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body,
        connection: guard.into_inner(),
    })
}

struct AbortOnDrop(Option<JoinHandle<()>>);

impl AbortOnDrop {
    fn into_inner(mut self) -> JoinHandle<()> {
        self.0.take().unwrap_or_else(|| tokio::spawn(async {}))
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.abort();
        }
    }
}
