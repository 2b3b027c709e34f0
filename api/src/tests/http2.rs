//! Limits and deadlines of a connection over HTTP/2. The streams are in memory, because paused time does not wait for
//! the operating system's sockets.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use futures_util::{FutureExt as _, stream};
use h2::client::{Builder, Connection, SendRequest};
use h2::{Reason, RecvStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::null_ports;
use crate::capacity::{ByteBudget, Clients, Place};
use crate::connection::{SHUTDOWN_TIMEOUT, STALLED};
use crate::http::AllowedOrigins;
use crate::http2::serve;
use crate::serving::Host;

/// A response that is longer than one piece.
const LARGE: usize = 100_000;

/// Enough for a few large responses.
const BUDGET: usize = 2_000_000;

/// The server's limit for connections and for requests.
const MOST: usize = 400;

/// The proxy that the server trusts.
const PROXY: &str = "10.0.0.1";

struct Server {
    host: Arc<Host>,
    clients: Arc<Clients>,
}

impl Server {
    fn of(router: Router) -> Self {
        let host = Host {
            origins: AllowedOrigins::default(),
            router,
            clock: null_ports::api().clock,
            bytes: Arc::new(ByteBudget::of(BUDGET)),
            trusted: crate::TrustedProxies::parse(PROXY).unwrap(),
            stopping: CancellationToken::new(),
        };
        Self {
            host: Arc::new(host),
            clients: Clients::new(MOST),
        }
    }

    /// A connection of a trusted proxy.
    async fn proxy(&self) -> SendRequest<Bytes> {
        let place = self.clients.connect_proxy().unwrap();
        let (client, connection) = self.connect(PROXY.parse().unwrap(), place, 65_535).await;
        tokio::spawn(connection);
        client
    }

    async fn client(&self, window: u32) -> (SendRequest<Bytes>, Connection<DuplexStream>) {
        let address = IpAddr::from(Ipv4Addr::LOCALHOST);
        let place = self.clients.connect(address).unwrap();
        self.connect(address, place, window).await
    }

    async fn connect(
        &self,
        address: IpAddr,
        place: Place,
        window: u32,
    ) -> (SendRequest<Bytes>, Connection<DuplexStream>) {
        let (client, server) = tokio::io::duplex(1 << 20);
        let peer = SocketAddr::from((address, 1));
        let place = Arc::new(place);
        let host = Arc::clone(&self.host);
        tokio::spawn(async move { serve(server, &host, peer, &place).await });
        Builder::new()
            .initial_window_size(window)
            .initial_connection_window_size(1 << 20)
            .handshake(client)
            .await
            .unwrap()
    }

    /// A connection of a client that acknowledges nothing and reads no byte of a response.
    fn raw_client(&self) -> (DuplexStream, JoinHandle<Result<(), h2::Error>>) {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let address = IpAddr::from(Ipv4Addr::LOCALHOST);
        let place = Arc::new(self.clients.connect(address).unwrap());
        let host = Arc::clone(&self.host);
        let serving = tokio::spawn(async move {
            let peer = SocketAddr::from((address, 1));
            serve(server, &host, peer, &place).await
        });
        // A SETTINGS frame follows the preface: SETTINGS_INITIAL_WINDOW_SIZE is 0.
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";
        let written = client.write_all(preface).now_or_never();
        written.unwrap().unwrap();
        (client, serving)
    }

    async fn connected(&self, window: u32) -> (SendRequest<Bytes>, JoinHandle<()>) {
        let (client, connection) = self.client(window).await;
        let connection = tokio::spawn(async {
            _ = connection.await;
        });
        (client, connection)
    }

    fn leased(&self) -> usize {
        self.host.bytes.leased()
    }
}

fn large() -> Router {
    Router::new().route("/", get(|| async { Bytes::from(vec![b'x'; LARGE]) }))
}

/// Sends a request without a body and waits for the head of its response.
async fn ask(client: &mut SendRequest<Bytes>, path: &str) -> Result<RecvStream, h2::Error> {
    poll_fn(|context| client.poll_ready(context)).await?;
    let request = Request::get(format!("http://authlog{path}"))
        .body(())
        .unwrap();
    let (answer, _) = client.send_request(request, true)?;
    Ok(answer.await?.into_body())
}

/// A HEADERS frame with a whole request. Most of its fields are written by their index (RFC 7541 §6).
fn raw_request(stream: u8, path: &str) -> Vec<u8> {
    let path_length = u8::try_from(path.len()).unwrap();
    let fields = [
        &[0x82, 0x86, 0x41, 1, b'a', 0x04, path_length],
        path.as_bytes(),
    ]
    .concat();
    let head = [0, 0, path_length + 7, 1, 5, 0, 0, 0, stream];
    [&head[..], &fields].concat()
}

/// The type and the stream of the next frame. `None` if the connection is closed.
async fn next_frame(client: &mut DuplexStream) -> Option<(u8, u8)> {
    let mut head = [0; 9];
    client.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    client.read_exact(&mut payload).await.ok()?;
    Some((head[3], head[8]))
}

/// How and when a body is cut off.
async fn cut_short(body: &mut RecvStream) -> (Option<Reason>, Duration) {
    let began = Instant::now();
    loop {
        match body.data().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return (error.reason(), began.elapsed()),
            None => return (None, began.elapsed()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_read_ends_and_the_last_one_ends_the_connection() {
    let server = Server::of(large());
    let (mut client, connection) = server.connected(0).await;
    let mut first = ask(&mut client, "/").await.unwrap();
    sleep(STALLED / 2).await;
    let mut second = ask(&mut client, "/").await.unwrap();
    let (reason, after) = cut_short(&mut first).await;
    assert_eq!(reason, Some(Reason::CANCEL));
    assert!(after <= STALLED, "{after:?}");
    assert!(!connection.is_finished());
    let (_, after) = cut_short(&mut second).await;
    assert!(after <= STALLED, "{after:?}");
    let began = Instant::now();
    connection.await.unwrap();
    assert!(began.elapsed() < SHUTDOWN_TIMEOUT, "{:?}", began.elapsed());
    assert_eq!(server.leased(), 0);
}

/// Its client does not know yet that the connection is closing.
#[tokio::test(start_paused = true)]
async fn a_request_that_arrives_while_its_connection_is_closing_is_answered() {
    const HEADERS: u8 = 1;
    let server = Server::of(large().route("/short", get(|| async {})));
    // The server may see the request or the end of the last stream first.
    for _ in 0..30 {
        let (mut client, _serving) = server.raw_client();
        client.write_all(&raw_request(1, "/")).await.unwrap();
        while next_frame(&mut client).await.unwrap() != (HEADERS, 1) {}
        // The stream is reset at the same instant.
        sleep(STALLED).await;
        client.write_all(&raw_request(3, "/short")).await.unwrap();
        let answered = async {
            while let Some(frame) = next_frame(&mut client).await {
                if frame == (HEADERS, 3) {
                    return true;
                }
            }
            false
        };
        assert!(answered.await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_byte_now_and_then_is_not_progress() {
    let server = Server::of(large());
    let (mut client, mut connection) = server.client(0).await;
    let asking = tokio::spawn(async move {
        let mut body = ask(&mut client, "/").await.unwrap();
        cut_short(&mut body).await
    });
    let mut window = 0;
    let mut asking = pin!(asking);
    // The window of every stream grows with the setting.
    let (reason, after) = loop {
        let later = sleep(Duration::from_secs(7));
        tokio::select! {
            ended = &mut asking => break ended.unwrap(),
            _ = &mut connection => break asking.await.unwrap(),
            () = later => {
                window += 1;
                _ = connection.set_initial_window_size(window);
            }
        }
    };
    assert_eq!(reason, Some(Reason::CANCEL));
    assert!(after <= STALLED, "{after:?}");
    assert!(window >= 3, "{window}");
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_read_slowly_but_steadily_is_complete() {
    let server = Server::of(large());
    let (mut client, _connection) = server.connected(16_384).await;
    let began = Instant::now();
    let mut body = ask(&mut client, "/").await.unwrap();
    let mut taken = 0;
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        taken += data.len();
        sleep(STALLED * 2 / 3 * u32::try_from(data.len()).unwrap() / 16_384).await;
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    assert_eq!(taken, LARGE);
    assert!(began.elapsed() > STALLED * 3);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_pauses_is_not_late() {
    let now_and_then = || async {
        let parts = stream::unfold(0, |number| async move {
            sleep(STALLED * 4).await;
            (number < 10).then(|| (Ok::<_, Infallible>(Bytes::from("news")), number + 1))
        });
        Body::from_stream(parts)
    };
    let server = Server::of(Router::new().route("/", get(now_and_then)));
    let (mut client, _connection) = server.connected(4).await;
    let mut body = ask(&mut client, "/").await.unwrap();
    let mut taken = 0;
    while let Some(data) = body.data().await {
        let length = data.unwrap().len();
        taken += length;
        body.flow_control().release_capacity(length).unwrap();
    }
    assert_eq!(taken, 40);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_wait_for_a_client_are_bounded_over_all_its_connections() {
    let server = Server::of(large());
    let (mut bodies, mut connections) = (Vec::new(), Vec::new());
    let mut cut = 0;
    for _ in 0..4 {
        let (mut client, connection) = server.connected(0).await;
        for _ in 0..10 {
            match ask(&mut client, "/").await {
                Ok(body) => bodies.push(body),
                Err(_) => cut += 1,
            }
        }
        connections.push((client, connection));
    }
    assert!(server.leased() <= BUDGET / 4, "{}", server.leased());
    // Other clients find room, even if each of them uses as much as it may.
    let mut others = server.host.bytes.lease(Ipv4Addr::new(192, 0, 2, 1).into());
    others.grow_to(BUDGET / 6).unwrap();
    // Responses without room were cut off immediately, and not by their deadline.
    let began = Instant::now();
    for body in &mut bodies {
        let ended = poll_fn(|context| Poll::Ready(body.poll_data(context))).await;
        cut += usize::from(matches!(ended, Poll::Ready(Some(Err(_)))));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(cut, 40 - BUDGET / 4 / LARGE);
    // A client that resets its streams has room again.
    drop((bodies, connections, others));
    while server.leased() > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    assert!(began.elapsed() < STALLED);
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_a_clients_share_are_refused_without_any_work() {
    let router = Router::new()
        .route("/waits", get(pending::<()>))
        .route("/", get(|| async {}));
    let server = Server::of(router);
    let (mut connections, mut waiting) = (Vec::new(), Vec::new());
    let mut refused = 0;
    for _ in 0..2 {
        let (mut client, connection) = server.connected(65_535).await;
        for _ in 0..60 {
            poll_fn(|context| client.poll_ready(context)).await.unwrap();
            let request = Request::get("http://authlog/waits").body(()).unwrap();
            waiting.push(client.send_request(request, true).unwrap().0);
        }
        connections.push((client, connection));
    }
    sleep(Duration::from_millis(1)).await;
    let refusal = ask(&mut connections[0].0, "/").await.unwrap_err();
    assert_eq!(refusal.reason(), Some(Reason::REFUSED_STREAM));
    for answer in &mut waiting {
        let answer = poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut *answer).poll(context)));
        if let Poll::Ready(Err(error)) = answer.await {
            assert_eq!(error.reason(), Some(Reason::REFUSED_STREAM));
            refused += 1;
        }
    }
    assert_eq!(refused, 120 - MOST / 4);
    // HTTP/1.1 shares the limit, and the client has room again once its requests are done.
    drop(waiting);
    loop {
        sleep(Duration::from_millis(1)).await;
        if ask(&mut connections[1].0, "/").await.is_ok() {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_counts_until_its_work_is_done_even_if_it_was_reset() {
    let mut api = null_ports::api();
    api.settings.request_timeout = Duration::from_secs(100_000);
    let server = Server::of(crate::router(api));
    let (mut client, _connection) = server.connected(65_535).await;
    let registration = r#"{"name":"Ann","email":"ann@example.com","password":"ann-secret"}"#;
    for _ in 0..MOST / 4 {
        poll_fn(|context| client.poll_ready(context)).await.unwrap();
        let request = Request::post("http://authlog/api/register");
        let request = request.header("content-type", "application/json");
        let (answer, mut body) = client
            .send_request(request.body(()).unwrap(), false)
            .unwrap();
        body.send_data(registration.into(), true).unwrap();
        sleep(Duration::from_millis(1)).await;
        drop((answer, body));
    }
    sleep(Duration::from_secs(1)).await;
    let refusal = ask(&mut client, "/healthz").await.unwrap_err();
    assert_eq!(refusal.reason(), Some(Reason::REFUSED_STREAM));
}

#[tokio::test(start_paused = true)]
async fn a_truncated_body_is_not_mistaken_for_a_complete_one() {
    static DONE: AtomicBool = AtomicBool::new(false);
    let done = |_: Bytes| async { DONE.store(true, Ordering::SeqCst) };
    let server = Server::of(Router::new().route("/", post(done)));
    let (mut client, _connection) = server.connected(65_535).await;
    for reason in [Reason::NO_ERROR, Reason::CANCEL] {
        poll_fn(|context| client.poll_ready(context)).await.unwrap();
        let request = Request::post("http://authlog/").body(()).unwrap();
        let (_answer, mut body) = client.send_request(request, false).unwrap();
        body.send_data(Bytes::from("{}"), false).unwrap();
        sleep(Duration::from_millis(1)).await;
        body.send_reset(reason);
        sleep(Duration::from_millis(1)).await;
        assert!(!DONE.load(Ordering::SeqCst), "{reason:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_even_if_it_pings() {
    let server = Server::of(large());
    let began = Instant::now();
    let (client, connection) = server.connected(65_535).await;
    connection.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(20));
    drop(client);

    let began = Instant::now();
    let (mut client, mut connection) = server.client(1 << 20).await;
    let mut pings = connection.ping_pong().unwrap();
    let connection = tokio::spawn(connection);
    let mut body = ask(&mut client, "/").await.unwrap();
    assert_eq!(cut_short(&mut body).await.0, None);
    while pings.ping(h2::Ping::opaque()).await.is_ok() {
        sleep(Duration::from_secs(5)).await;
    }
    // It ends with GOAWAY and no error.
    connection.await.unwrap().unwrap();
    let after = began.elapsed();
    assert!((75..85).contains(&after.as_secs()), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stopping_program_does_not_wait_for_a_client_that_reads_nothing() {
    let server = Server::of(large());
    let (mut client, connection) = server.connected(0).await;
    let mut body = ask(&mut client, "/").await.unwrap();
    let began = Instant::now();
    server.host.stopping.cancel();
    let (reason, _) = cut_short(&mut body).await;
    assert_eq!(reason, Some(Reason::CANCEL));
    connection.await.unwrap();
    assert!(
        began.elapsed() <= SHUTDOWN_TIMEOUT * 2,
        "{:?}",
        began.elapsed()
    );
}

/// A client that acknowledges nothing, and sends a slow request every second.
#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_sending_requests_does_not_keep_the_program_from_stopping() {
    let slow = || sleep(Duration::from_millis(1500));
    let server = Server::of(Router::new().route("/", get(slow)));
    let (mut client, serving) = server.raw_client();
    let asking = tokio::spawn(async move {
        for number in 0_u8..100 {
            let request = raw_request(2 * number + 1, "/");
            if client.write_all(&request).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
    });
    sleep(Duration::from_millis(3500)).await;
    assert!(!serving.is_finished());
    let began = Instant::now();
    server.host.stopping.cancel();
    serving.await.unwrap().unwrap();
    assert!(
        began.elapsed() <= SHUTDOWN_TIMEOUT * 3,
        "{:?}",
        began.elapsed()
    );
    asking.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_response_has_its_length_and_its_date() {
    let server = Server::of(large());
    let (mut client, _connection) = server.connected(65_535).await;
    let request = Request::head("http://authlog/").body(()).unwrap();
    let (answer, _) = client.send_request(request, true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-length"], LARGE.to_string());
    assert_eq!(answer.headers()["date"], "Wed, 24 Jul 2024 16:34:05 GMT");
}

#[tokio::test(start_paused = true)]
async fn a_request_has_at_most_a_hundred_header_fields_and_all_cookies_count_as_one() {
    let server = Server::of(large());
    let (mut client, _connection) = server.connected(1 << 20).await;
    for (others, cookies, status) in [
        (100, 0, StatusCode::OK),
        (101, 0, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        (99, 50, StatusCode::OK),
        (100, 50, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
    ] {
        let mut request = Request::get("http://authlog/");
        for number in 0..others {
            request = request.header(format!("x-{number}"), "");
        }
        for _ in 0..cookies {
            request = request.header("cookie", "a=b");
        }
        poll_fn(|context| client.poll_ready(context)).await.unwrap();
        let request = request.body(()).unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let answer = answer.await.unwrap().status();
        assert_eq!(answer, status, "{others} and {cookies} cookies");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_of_an_allowed_site_can_read_that_its_request_has_too_many_fields() {
    let site = "https://app.example.com";
    let mut server = Server::of(large());
    let host = Arc::get_mut(&mut server.host).unwrap();
    host.origins = AllowedOrigins::parse(site).unwrap();
    let (mut client, _connection) = server.connected(1 << 20).await;
    let mut request = Request::get("http://authlog/").header("origin", site);
    for number in 0..100 {
        request = request.header(format!("x-{number}"), "");
    }
    poll_fn(|context| client.poll_ready(context)).await.unwrap();
    let request = request.body(()).unwrap();
    let (answer, _) = client.send_request(request, true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(answer.headers()["access-control-allow-origin"], site);
}

#[tokio::test(start_paused = true)]
async fn one_client_of_a_trusted_proxy_does_not_keep_other_clients_out() {
    let router = Router::new()
        .route("/waits", get(pending::<()>))
        .route("/", get(|| async {}));
    let server = Server::of(router);
    let mut connections = Vec::new();
    for _ in 0..MOST / 100 {
        connections.push(server.proxy().await);
    }
    let ask = async |proxy: &mut SendRequest<Bytes>, client: &str, path: &str| {
        poll_fn(|context| proxy.poll_ready(context)).await.unwrap();
        let request = Request::get(format!("http://authlog{path}"));
        let request = request.header("x-forwarded-for", client).body(()).unwrap();
        proxy.send_request(request, true).unwrap()
    };
    let mut waiting = Vec::new();
    for connection in &mut connections {
        for _ in 0..60 {
            waiting.push(ask(connection, "192.0.2.1", "/waits").await);
        }
    }
    sleep(Duration::from_millis(1)).await;
    let (refused, _) = ask(&mut connections[0], "192.0.2.1", "/").await;
    let reason = refused.await.unwrap_err().reason();
    assert_eq!(reason, Some(Reason::REFUSED_STREAM));
    let (answer, _) = ask(&mut connections[0], "192.0.2.2", "/").await;
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
}
