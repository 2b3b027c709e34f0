//! A keep-alive HTTP connection.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};

/// A connection to a server, opened on demand.
pub(crate) struct Connection {
    sender: Option<SendRequest<Full<Bytes>>>,
    address: String,
    source: Option<IpAddr>,
    cookie: Option<String>,
}

/// The parts of a request other than its path.
#[derive(Clone, Copy, Default)]
pub(crate) struct Carried<'a> {
    /// The header `Authorization`.
    pub(crate) authorization: Option<&'a str>,
    /// The body and its media type.
    pub(crate) body: Option<(&'a str, &'static str)>,
}

/// The media type of most bodies.
pub(crate) const JSON: &str = "application/json";

/// The media type of OAuth requests.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

impl Connection {
    /// A connection to `address`, such as `127.0.0.1:8080`, before it is opened.
    pub(crate) fn to(address: &str) -> Self {
        Self {
            sender: None,
            address: address.to_owned(),
            source: None,
            cookie: None,
        }
    }

    /// The same, from this client address in 127.0.0.0/8.
    pub(crate) fn from(source: IpAddr, address: &str) -> Self {
        Self {
            source: Some(source),
            ..Self::to(address)
        }
    }

    /// The same, of a browser that sends this cookie with each request.
    pub(crate) fn with_cookie(self, cookie: &str) -> Self {
        Self {
            cookie: Some(cookie.to_owned()),
            ..self
        }
    }

    /// Connects to `address`.
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        let mut connection = Self::to(address);
        connection.reopen().await?;
        Ok(connection)
    }

    /// Connects again, even if the connection is open.
    pub(crate) async fn reopen(&mut self) -> anyhow::Result<()> {
        self.sender = Some(connect(self.source, &self.address).await?);
        Ok(())
    }

    /// Closes the connection until it is needed again.
    pub(crate) fn close(&mut self) {
        self.sender = None;
    }

    /// The open connection. Opens a new one if there is none, or if the server has closed it because it was idle.
    async fn ready(&mut self) -> anyhow::Result<&mut SendRequest<Full<Bytes>>> {
        let is_open = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !is_open {
            self.reopen().await?;
        }
        let sender = self.sender.as_mut().context("an open connection")?;
        sender.ready().await?;
        Ok(sender)
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        carried: Carried<'_>,
    ) -> anyhow::Result<Response<Bytes>> {
        let (head, body) = self.begin(method, path, carried).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }

    /// Sends a request and waits for the head of the answer.
    pub(crate) async fn begin(
        &mut self,
        method: Method,
        path: &str,
        carried: Carried<'_>,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.address);
        if let Some(authorization) = carried.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let mut body = Bytes::new();
        if let Some((text, media_type)) = carried.body {
            request = request.header(CONTENT_TYPE, media_type);
            body = Bytes::copy_from_slice(text.as_bytes());
        }
        let request = request.body(Full::new(body))?;
        let sender = self.ready().await?;
        Ok(sender.send_request(request).await?)
    }

    /// Like [`Self::send`], but fails unless the answer is a success. Returns its JSON, or null without a body.
    pub(crate) async fn succeed(
        &mut self,
        method: Method,
        path: &str,
        carried: Carried<'_>,
    ) -> anyhow::Result<Value> {
        let answer = self.send(method, path, carried).await?;
        let (status, body) = (answer.status(), answer.body());
        ensure!(
            status.is_success(),
            "{path}: {status} {}",
            String::from_utf8_lossy(body)
        );
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(body).with_context(|| format!("{path} answered no JSON"))
    }
}

async fn connect(
    source: Option<IpAddr>,
    address: &str,
) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = connect_from(source, address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // The task ends with its sender, which also receives any error.
    tokio::spawn(connection);
    Ok(sender)
}

/// A TCP connection from that address, or from any.
pub(crate) async fn connect_from(
    source: Option<IpAddr>,
    address: &str,
) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    Ok(socket.connect(address.parse()?).await?)
}

/// The address of the client with this number, in a network of its own, so that limits treat clients separately.
pub(crate) fn address_of_client(number: u64) -> IpAddr {
    let [.., high, low] = (number % 60_000).to_be_bytes();
    IpAddr::from([127, 1 + high, low, 1])
}
