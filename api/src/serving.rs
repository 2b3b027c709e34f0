//! Accepts connections, up to the limit, and serves the requests on them.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use authlog_application::ports::Clock;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{StatusCode, Version, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::capacity::{ByteBudget, Clients, Place, UnderWay};
use crate::connection::{Connection, OpenRequest, Requests};
use crate::http::{AllowedOrigins, Arrival, TrustedProxies, with_cors_headers};
use crate::http2;

/// The longest head of a request, in bytes. It holds a token or two, none of which is longer than eight kilobytes.
pub(crate) const LONGEST_HEAD: usize = 32 * 1024;

/// The pause before connections are accepted again after the operating system had none left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What every connection needs.
pub(crate) struct Host {
    pub router: Router,
    pub clock: Arc<dyn Clock>,
    pub bytes: Arc<ByteBudget>,
    pub trusted: TrustedProxies,
    pub origins: AllowedOrigins,
    pub stopping: CancellationToken,
}

/// Serves `host`'s router on `listener` until the program is stopping, and then until every accepted request is
/// answered. At most `max_connections` connections are held at a time.
pub(crate) async fn serve(listener: TcpListener, host: Host, max_connections: usize) {
    let host = Arc::new(host);
    let places = Arc::new(Semaphore::new(max_connections));
    let clients = Clients::new(max_connections);
    let connections = TaskTracker::new();
    let accepting = async {
        loop {
            // Connections beyond the limit wait in the operating system's queue.
            let Ok(permit) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let (stream, peer) = accept(&listener).await;
            let place = if host.trusted.contain(peer.ip()) {
                clients.connect_proxy()
            } else {
                clients.connect(peer.ip())
            };
            let Some(place) = place else {
                tracing::warn!(
                    "a client holds too many connections; its new connection was closed"
                );
                continue;
            };
            connections.spawn(Arc::clone(&host).serve_connection(stream, peer, place, permit));
        }
    };
    tokio::select! {
        () = accepting => {}
        () = host.stopping.cancelled() => {}
    }
    // From now on no connection is accepted, not even into the operating system's queue.
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client closed the connection before it was accepted.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                tracing::error!(%error, "connections cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Host {
    /// Serves one connection until it ends.
    async fn serve_connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
        _permit: OwnedSemaphorePermit,
    ) {
        let place = Arc::new(place);
        let requests = Arc::<Requests>::default();
        let mut connection = Connection::new(
            stream,
            Arc::clone(&requests),
            Arc::clone(&place),
            || self.bytes.lease(peer.ip()),
            self.stopping.clone(),
        );
        connection.set_socket_options();
        match connection.is_http2().await {
            Ok(true) => {
                if let Err(error) = http2::serve(connection, &self, peer, &place).await {
                    tracing::debug!(%error, "a connection ended early");
                }
            }
            Ok(false) => self.serve_http1(connection, peer, &place, requests).await,
            Err(error) => tracing::debug!(%error, "a connection ended before it began"),
        }
    }

    async fn serve_http1(
        &self,
        connection: Connection,
        peer: SocketAddr,
        place: &Arc<Place>,
        requests: Arc<Requests>,
    ) {
        let service = service_fn(|request: Request<Incoming>| {
            let open = requests.begin();
            let client = self.trusted.client_of(peer.ip(), request.headers());
            if place.is_of_proxy() {
                open.set_client(client);
            }
            let under_way = place.begin_request(client);
            let answer = if names_one_host(&request) {
                let request = with_arrival(request.map(Body::new), client, under_way.clone());
                Ok(self.router.clone().oneshot(request))
            } else {
                Err(self.origins.page_of(&request))
            };
            async move {
                let answer: Response = match answer {
                    Ok(answer) => answer.await?,
                    Err(page) => {
                        let refused = [(header::CONNECTION, "close")];
                        with_cors_headers(page, (StatusCode::BAD_REQUEST, refused).into_response())
                            .await
                    }
                };
                Ok::<_, Infallible>(answer.map(|body| AnswerBody {
                    body,
                    open,
                    _under_way: under_way,
                }))
            }
        });
        let serving = http1::Builder::new()
            .max_buf_size(LONGEST_HEAD)
            .serve_connection(TokioIo::new(connection), service);
        let mut serving = pin!(serving);
        let ended = tokio::select! {
            ended = serving.as_mut() => ended,
            () = self.stopping.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// Whether the request names its host exactly once, as HTTP/1.1 requires (RFC 9112 §3.2). If there were two names, a proxy
/// might use one and this program the other.
fn names_one_host(request: &Request<Incoming>) -> bool {
    request.version() < Version::HTTP_11
        || request.headers().get_all(header::HOST).iter().count() == 1
}

/// Adds the [`Arrival`] to `request`.
pub(crate) fn with_arrival(
    mut request: Request,
    client: IpAddr,
    under_way: Option<UnderWay>,
) -> Request {
    let arrival = Arrival { client, under_way };
    request.extensions_mut().insert(arrival);
    request
}

/// The body of a response. The request is under way until its body is written or dropped.
struct AnswerBody {
    body: Body,
    open: OpenRequest,
    _under_way: Option<UnderWay>,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(part) = frame.data_ref()
        {
            self.open.record_part(part.len());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
