//! Hand-written HTTP/1.1, for requests that no well-behaved client sends.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Answer;

/// A connection to the service.
pub struct Wire(TcpStream);

impl Wire {
    /// Connects to `address`.
    pub async fn to(address: &str) -> Self {
        Self(TcpStream::connect(address).await.expect("a connection"))
    }

    /// Sends these bytes, or as many of them as the service reads.
    pub async fn write(&mut self, bytes: &[u8]) {
        // A service that refuses a request early need not read it to its end. The answer counts.
        let _ = self.0.write_all(bytes).await;
    }

    /// Waits for the service to ask for the body (RFC 9110 §10.1.1).
    pub async fn receives_continue(&mut self) {
        let expected = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut read = vec![0; expected.len()];
        self.0.read_exact(&mut read).await.expect("an answer");
        assert_eq!(read, expected, "{}", String::from_utf8_lossy(&read));
    }

    /// Reads until the service closes the connection, as it does after an unreadable request, and after a request with
    /// `Connection: close`.
    pub async fn read_to_end(mut self) -> String {
        let mut raw = Vec::new();
        let _ = self.0.read_to_end(&mut raw).await;
        String::from_utf8_lossy(&raw).into_owned()
    }

    /// Reads the answer to a request with `Connection: close`.
    pub async fn read_answer(mut self) -> Answer {
        let mut raw = Vec::new();
        // A reset after the answer (RFC 9112 §9.6) does not affect the bytes that were read.
        let _ = self.0.read_to_end(&mut raw).await;
        let text = String::from_utf8_lossy(&raw).into_owned();
        answer(&text).unwrap_or_else(|| panic!("not an answer: {text:?}"))
    }
}

fn answer(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let name: HeaderName = name.parse().ok()?;
        headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
    }
    Some(Answer {
        what: "a request by hand".to_owned(),
        status,
        headers,
        body: body.to_owned(),
    })
}
