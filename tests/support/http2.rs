//! HTTP/2: the usual requests over HTTP/2, and hand-written frames of hostile clients.

use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Answer;

tokio::task_local! {
    /// Set while the requests of a story use HTTP/2.
    static SPOKEN: ();
}

/// Runs a story whose requests use HTTP/2.
pub async fn speaking<F: Future>(story: F) -> F::Output {
    SPOKEN.scope((), story).await
}

/// Whether requests use HTTP/2 now.
pub fn is_spoken() -> bool {
    SPOKEN.try_with(|()| ()).is_ok()
}

/// Makes a test over HTTP/2, `http2::story`, of each story that `on_both_stores!` lists. The store does not matter.
macro_rules! over_http2 {
    ($($story:ident),+ $(,)?) => {
        mod http2 {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                let story = super::$story($crate::support::Store::Sqlite);
                Box::pin($crate::support::http2::speaking(story)).await;
            }
        )+}
    };
}
pub(crate) use over_http2;

/// Sends a request over a connection of its own.
pub async fn send(what: String, request: Request<Vec<u8>>) -> Answer {
    let address = request.uri().authority().expect("an authority").as_str();
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let (head, body) = request.into_parts();
    let head = Request::from_parts(head, ());
    let (response, mut sending) = client
        .send_request(head, body.is_empty())
        .expect("a stream");
    if !body.is_empty() {
        // The service may refuse a request before it has read it completely.
        _ = sending.send_data(body.into(), true);
    }
    let (head, mut body) = response.await.expect("an answer").into_parts();
    let mut read = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.expect("a complete answer");
        _ = body.flow_control().release_capacity(data.len());
        read.extend_from_slice(&data);
    }
    connection.abort();
    Answer {
        what,
        status: head.status.as_u16(),
        headers: head.headers,
        body: String::from_utf8(read).expect("UTF-8"),
    }
}

/// Kinds of frames (RFC 9113 §6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags of frames.
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection with hand-written frames.
pub struct Frames(TcpStream);

impl Frames {
    /// Connects to `address` as a client with this initial window for each stream, in bytes.
    pub async fn with_window(address: &str, window: u32) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let mut frames = Self(stream);
        frames.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        // SETTINGS_INITIAL_WINDOW_SIZE
        let setting = [&[0, 4][..], &window.to_be_bytes()].concat();
        frames.write(&frame(SETTINGS, 0, 0, &setting)).await;
        frames
    }

    /// Sends these bytes, or as many of them as the service reads. Returns whether it read all.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// The next frame, or `None` if the connection is closed.
    pub async fn read_answer(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).ok()?];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & (u32::MAX >> 1),
            payload,
        })
    }

    /// All frames until the connection is idle for a while or closed.
    pub async fn read_to_end(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        let quiet = std::time::Duration::from_secs(1);
        while let Ok(Some(frame)) = tokio::time::timeout(quiet, self.read_answer()).await {
            frames.push(frame);
        }
        frames
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a short frame")
        .to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Fields as literals without Huffman coding (RFC 7541 §6.2.2).
pub fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            // An integer with a prefix of 7 bits (§5.1).
            match u8::try_from(text.len()) {
                Ok(length) if length < 127 => block.push(length),
                _ => {
                    let mut rest = text.len() - 127;
                    block.push(127);
                    while rest >= 128 {
                        block.push(u8::try_from(rest % 128).expect("a byte") | 128);
                        rest /= 128;
                    }
                    block.push(u8::try_from(rest).expect("a byte"));
                }
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The head of a request without a body, or with a body that follows.
pub fn head(stream: u32, method: &str, path: &str, ends: bool) -> Vec<u8> {
    let block = fields(&[
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "authlog"),
        ("content-type", "application/json"),
    ]);
    let end = if ends { END_STREAM } else { 0 };
    frame(HEADERS, END_HEADERS | end, stream, &block)
}
