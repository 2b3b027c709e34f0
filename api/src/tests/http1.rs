//! Limits of a connection over HTTP/1.1.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::null_ports;
use crate::capacity::ByteBudget;
use crate::http::AllowedOrigins;
use crate::serving::{Host, LONGEST_HEAD, serve};

/// The connection limit of the server.
const MOST: usize = 40;

/// Serves `router` with a byte budget of that size, and trusts this machine as a proxy.
async fn served(router: Router, budget: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let host = Host {
        origins: AllowedOrigins::default(),
        router,
        clock: null_ports::api().clock,
        bytes: Arc::new(ByteBudget::of(budget)),
        trusted: crate::TrustedProxies::parse("127.0.0.1").unwrap(),
        stopping: CancellationToken::new(),
    };
    tokio::spawn(serve(listener, host, MOST));
    address
}

/// Reads the head of the next response and returns its status.
async fn status(client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap()[9..12].to_owned())
}

fn takes_bodies() -> Router {
    Router::new().route("/", post(|_: Bytes| async {}))
}

/// The budget is empty, so a connection with a large buffer is closed.
#[tokio::test]
async fn long_bodies_leave_the_buffer_of_their_connection_small() {
    let address = served(takes_bodies(), 0).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let body = "x".repeat(500_000);
    let request = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 500000\r\n\r\n{body}");
    for _ in 0..3 {
        client.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(status(&mut client).await.as_deref(), Some("200"));
    }
}

#[tokio::test]
async fn a_long_head_is_read_as_long_as_there_is_room_for_it() {
    for (length, budget, expected) in [
        (8_000, 0, Some("200")),
        (20_000, 1 << 20, Some("200")),
        (LONGEST_HEAD - 1000, 1 << 20, Some("200")),
        (20_000, 0, None),
    ] {
        let address = served(takes_bodies(), budget).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let value = "x".repeat(length);
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\nx-long: {value}\r\n\r\n");
        for _ in 0..2 {
            client.write_all(head.as_bytes()).await.unwrap_or_default();
            assert_eq!(status(&mut client).await.as_deref(), expected, "{length}");
            if expected != Some("200") {
                break;
            }
        }
    }
}

#[tokio::test]
async fn one_client_of_a_trusted_proxy_does_not_keep_the_others_out() {
    let mut api = null_ports::api();
    api.settings.request_timeout = Duration::from_secs(1000);
    let address = served(crate::router(api), 1 << 20).await;
    let mut answers = FuturesUnordered::new();
    let unfinished = "POST /api/login HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 192.0.2.1\r\n\
                      content-length: 9\r\n\r\n";
    for _ in 0..MOST / 2 {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(unfinished.as_bytes()).await.unwrap();
        answers.push(async move { (status(&mut connection).await, connection) });
    }
    // Requests beyond its share are refused, and the others wait for their bodies.
    for _ in 0..MOST / 4 {
        let refused = timeout(Duration::from_secs(20), answers.next()).await;
        let (status, _) = refused.unwrap().unwrap();
        assert_eq!(status.as_deref(), Some("503"));
    }
    let mut other = TcpStream::connect(address).await.unwrap();
    let request = "GET /healthz HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 192.0.2.2\r\n\r\n";
    other.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(status(&mut other).await.as_deref(), Some("200"));
}
