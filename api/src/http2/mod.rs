//! HTTP/2: every response has a deadline of its own, and a connection buffers a bounded number of bytes.
//!
//! hyper passes a response to the `h2` library as soon as the client's window has room for one byte of it, and cannot
//! take it back. So the streams are served here: no byte is passed on before the window has room for it, and a client
//! that does not read its response loses the stream.

mod arriving;
mod date;
mod sending;
mod stream;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use h2::Reason;
use h2::server::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::capacity::Place;
use crate::connection::{HEAD_TIMEOUT, PIECE, SHUTDOWN_TIMEOUT};
use crate::serving::{Host, LONGEST_HEAD};
use sending::Piece;
use stream::Stream;

/// How many requests one connection may have open at a time.
const STREAMS: u32 = 100;

/// The flow-control window for request bodies. It is the initial window of the protocol, which is no less than a whole
/// body. It also bounds the unread bytes of a connection, over all its streams.
const WINDOW: u32 = 65_535;

/// Serves an HTTP/2 connection until it ends.
///
/// # Errors
/// The client violated the protocol, or the connection was lost.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &Arc<Host>,
    peer: SocketAddr,
    place: &Arc<Place>,
) -> Result<(), h2::Error> {
    let mut connection = Builder::new()
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(LONGEST_HEAD).unwrap_or(u32::MAX))
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buffer_size(PIECE)
        .handshake::<_, Piece>(stream)
        .await?;
    let streams = Arc::new(Streams::of(host));
    let mut silence = pin!(sleep(HEAD_TIMEOUT));
    let mut stopping = pin!(streams.stopping.cancelled());
    // The time until which a closing connection accepts requests that were already on their way. A client that never
    // acknowledges the shutdown could otherwise keep the connection open with one request after another.
    let mut ending: Option<Instant> = None;
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, mut respond))) => {
                    if ending.is_some_and(|until| Instant::now() >= until) {
                        respond.send_reset(Reason::REFUSED_STREAM);
                        continue;
                    }
                    let client = host.trusted.client_of(peer.ip(), request.headers());
                    match place.begin_stream(client) {
                        Some(under_way) => {
                            let stream = Stream::open(&streams, client, under_way);
                            tokio::spawn(stream.answer(request, respond));
                        }
                        // RFC 9113 §8.7: nothing was done, and the client may send it again.
                        None => respond.send_reset(Reason::REFUSED_STREAM),
                    }
                }
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
            () = streams.quiet.notified() => {
                if streams.given_up.load(Ordering::Relaxed) && streams.are_closed() && ending.is_none() {
                    // Requests that arrived in the meantime are still served.
                    connection.graceful_shutdown();
                    ending = Some(Instant::now() + SHUTDOWN_TIMEOUT);
                }
                let patience = ending.map_or_else(|| place.idle_time(), |_| SHUTDOWN_TIMEOUT);
                silence.as_mut().reset(Instant::now() + patience);
            }
            () = silence.as_mut() => {
                if !streams.are_closed() {
                    // It is reset when the last stream closes.
                    silence.as_mut().reset(Instant::now() + HEAD_TIMEOUT);
                } else if ending.is_some() {
                    return Ok(());
                } else {
                    connection.graceful_shutdown();
                    let until = Instant::now() + SHUTDOWN_TIMEOUT;
                    ending = Some(until);
                    silence.as_mut().reset(until);
                }
            }
            () = stopping.as_mut(), if ending.is_none() => {
                connection.graceful_shutdown();
                let until = Instant::now() + SHUTDOWN_TIMEOUT;
                ending = Some(until);
                silence.as_mut().reset(until);
            }
        }
    }
}

/// The streams of one connection.
struct Streams {
    host: Arc<Host>,
    open: AtomicUsize,
    /// Whether a stream was reset because its response was not read.
    given_up: AtomicBool,
    /// Bytes of responses that have not been written yet.
    unwritten: AtomicUsize,
    /// Notified when the last open stream closes.
    quiet: Notify,
    stopping: CancellationToken,
}

impl Streams {
    fn of(host: &Arc<Host>) -> Self {
        Self {
            host: Arc::clone(host),
            open: AtomicUsize::new(0),
            given_up: AtomicBool::new(false),
            unwritten: AtomicUsize::new(0),
            quiet: Notify::new(),
            stopping: host.stopping.child_token(),
        }
    }

    fn are_closed(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }
}
