//! Accepting connections, no more than can be served, and serving what comes through them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::connection::{Connection, OpenRequest, Requests};
use crate::exchange::{TrustedProxies, network_of};

/// The longest head of a request, in bytes. Ours have a token or two, of which none is longer than a few kilobytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// How many requests one HTTP/2 connection may have open at a time.
const STREAMS: u32 = 100;

/// One client may hold this part of all connections. What comes through a trusted proxy is of many clients.
const SHARE: usize = 4;

/// How long to wait before connections are accepted again when the system has none left to give.
const WITHOUT_DESCRIPTORS: Duration = Duration::from_secs(1);

/// Serves `router` on `listener` until `stopping`, and then until all that was accepted is answered.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    most: usize,
    trusted: TrustedProxies,
    stopping: CancellationToken,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(LONGEST_HEAD);
    builder
        .http2()
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(LONGEST_HEAD).unwrap_or(u32::MAX));
    let host = Arc::new(Host {
        builder,
        router,
        stopping: stopping.clone(),
    });
    let places = Arc::new(Semaphore::new(most));
    let shares = Shares::new((most / SHARE).max(1));
    let connections = TaskTracker::new();
    let accepting = async {
        loop {
            // Beyond the bound, connections wait in the system's queue.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let (stream, peer) = accept(&listener).await;
            let share = if trusted.contain(peer.ip()) {
                None
            } else if let Some(share) = shares.take(peer.ip()) {
                Some(share)
            } else {
                tracing::warn!("one client holds too many connections; another was closed");
                continue;
            };
            connections.spawn(Arc::clone(&host).attend(stream, peer, (place, share)));
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stopping.cancelled() => {}
    }
    // From now on nobody new is let in, not even into the system's queue.
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client has thought better of it.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                tracing::error!(%error, "connections cannot be accepted");
                tokio::time::sleep(WITHOUT_DESCRIPTORS).await;
            }
        }
    }
}

/// What every connection is served with.
struct Host {
    builder: Builder<TokioExecutor>,
    router: Router,
    stopping: CancellationToken,
}

impl Host {
    /// Serves one connection to its end.
    async fn attend(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        _place: (OwnedSemaphorePermit, Option<Share>),
    ) {
        let requests = Arc::<Requests>::default();
        let connection = Connection::new(stream, Arc::clone(&requests), self.stopping.clone());
        connection.is_kept_alive();
        let router = &self.router;
        let service = service_fn(move |request: Request<Incoming>| {
            let open = requests.begin();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            let answer = router.clone().oneshot(request);
            async move {
                let answer: Response = answer.await?;
                Ok::<_, Infallible>(answer.map(|body| AnswerBody { body, _open: open }))
            }
        });
        let serving = self
            .builder
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
            tracing::debug!(error = &*error, "a connection ended early");
        }
    }
}

/// The body of an answer; the request is open until it is written, or dropped.
struct AnswerBody {
    body: Body,
    _open: OpenRequest,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How many connections each client holds. Neighbouring IPv6 addresses are one client.
#[derive(Clone)]
struct Shares {
    most: usize,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection of a client, until it is dropped.
struct Share {
    shares: Shares,
    client: IpAddr,
}

impl Shares {
    fn new(most: usize) -> Self {
        Self {
            most,
            held: Arc::default(),
        }
    }

    /// One more connection for whoever has this address, if they may have it.
    fn take(&self, address: IpAddr) -> Option<Share> {
        let client = network_of(address);
        let mut held = self.lock();
        let count = held.entry(client).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(held);
        Some(Share {
            shares: self.clone(),
            client,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.lock();
        if let Some(count) = held.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_has_its_share_and_nothing_is_kept_of_who_has_gone() {
        let shares = Shares::new(2);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = shares.take(address("2001:db8:1:2::1")).unwrap();
        let second = shares.take(address("2001:db8:1:2::2")).unwrap();
        assert!(shares.take(address("2001:db8:1:2::3")).is_none());
        assert!(shares.take(address("2001:db8:1:3::1")).is_some());
        drop(first);
        let third = shares.take(address("2001:db8:1:2::3")).unwrap();
        drop((second, third));
        assert!(shares.lock().is_empty());
    }
}
