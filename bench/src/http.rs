//! A connection that is kept open, as those of a client are.

use anyhow::{Context as _, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A connection to a server.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    address: String,
}

/// What a request carries beside its path.
#[derive(Clone, Copy, Default)]
pub(crate) struct Carried<'a> {
    /// The header `Authorization`.
    pub(crate) authorization: Option<&'a str>,
    /// The body and its media type.
    pub(crate) body: Option<(&'a str, &'static str)>,
}

/// The media type of most bodies.
pub(crate) const JSON: &str = "application/json";

/// The media type of OAuth's.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

impl Connection {
    /// Connects to `address`, such as `127.0.0.1:8080`.
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        Ok(Self {
            sender: connect(address).await?,
            address: address.to_owned(),
        })
    }

    /// Connects again, whatever has become of the connection.
    pub(crate) async fn open_anew(&mut self) -> anyhow::Result<()> {
        self.sender = connect(&self.address).await?;
        Ok(())
    }

    /// Connects again if the server has given the connection up, which was idle for long.
    async fn is_open(&mut self) -> anyhow::Result<()> {
        if self.sender.ready().await.is_err() {
            self.open_anew().await?;
            self.sender.ready().await?;
        }
        Ok(())
    }

    /// Sends a request and waits for the whole answer.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        carried: Carried<'_>,
    ) -> anyhow::Result<Response<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.address);
        if let Some(authorization) = carried.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let mut body = Bytes::new();
        if let Some((text, media_type)) = carried.body {
            request = request.header(CONTENT_TYPE, media_type);
            body = Bytes::copy_from_slice(text.as_bytes());
        }
        let request = request.body(Full::new(body))?;
        self.is_open().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }

    /// As [`Self::send`], for an answer that has to be a success; its JSON, null where there is none.
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

async fn connect(address: &str) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends with its sender; what is wrong with it is told to whoever sends.
    tokio::spawn(connection);
    Ok(sender)
}
