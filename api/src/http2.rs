//! HTTP/2: every answer has a deadline of its own, and what a connection may buffer is bounded.
//!
//! hyper hands an answer over to the `h2` library as soon as the client's window has room for one byte of it, and cannot
//! take it back. So the streams are served here: no byte is handed over before the window has room for it, and a client
//! that does not take its answer loses the stream.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, DATE, HeaderValue};
use axum::response::Response;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http_body_util::BodyExt as _;
use hyper::body::{Buf, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::capacity::{Exhausted, Lease, Place, UnderWay};
use crate::connection::{AT_THE_END, HEAD_WITHIN, PIECE, STALLED};
use crate::serving::{Host, LONGEST_HEAD, arrived};

/// How many requests one connection may have open at a time.
const STREAMS: u32 = 100;

/// How much of request bodies a client may send before it is read: what the protocol starts with, which is no less than
/// a whole body. A connection cannot have more unread, on all its streams together.
const WINDOW: u32 = 65_535;

/// Answers of a connection that are not written yet and are not taken from the budget: a few short ones, which leave
/// at once.
const UNLEASED: usize = 8 * 1024;

/// Serves a connection that began as in HTTP/2, to its end.
///
/// # Errors
/// The client broke the protocol, or went away.
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
    let streams = Arc::new(Streams::of(host, peer));
    let mut silence = pin!(sleep(HEAD_WITHIN));
    let mut stopping = pin!(streams.stopping.cancelled());
    let mut ending = false;
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, mut respond))) => match place.begin_request() {
                    Some(under_way) => {
                        let stream = Stream::open(&streams, Arc::new(under_way), &request);
                        tokio::spawn(stream.answer(request, respond));
                    }
                    // RFC 9113 §8.7: nothing was done, and the client may send it again.
                    None => respond.send_reset(Reason::REFUSED_STREAM),
                },
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
            () = streams.quiet.notified() => {
                if streams.given_up.load(Ordering::Relaxed) && streams.are_closed() {
                    // The reset goes out first.
                    _ = poll_fn(|context| Poll::Ready(connection.poll_closed(context))).await;
                    connection.abrupt_shutdown(Reason::NO_ERROR);
                    ending = true;
                }
                let patience = if ending { AT_THE_END } else { place.idle_time() };
                silence.as_mut().reset(Instant::now() + patience);
            }
            () = silence.as_mut() => {
                if !streams.are_closed() {
                    // It begins anew when the last of them is.
                    silence.as_mut().reset(Instant::now() + HEAD_WITHIN);
                } else if ending {
                    return Ok(());
                } else {
                    connection.graceful_shutdown();
                    ending = true;
                    silence.as_mut().reset(Instant::now() + AT_THE_END);
                }
            }
            () = stopping.as_mut(), if !ending => {
                connection.graceful_shutdown();
                ending = true;
                silence.as_mut().reset(Instant::now() + AT_THE_END);
            }
        }
    }
}

/// The streams of one connection.
struct Streams {
    host: Arc<Host>,
    peer: SocketAddr,
    open: AtomicUsize,
    /// Whether one was reset because its answer was not taken.
    given_up: AtomicBool,
    /// Bytes of answers that are not written yet.
    unwritten: AtomicUsize,
    /// Told when the last open stream is closed.
    quiet: Notify,
    stopping: CancellationToken,
}

impl Streams {
    fn of(host: &Arc<Host>, peer: SocketAddr) -> Self {
        Self {
            host: Arc::clone(host),
            peer,
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

/// One stream, until its answer is written or nobody takes it.
struct Stream {
    streams: Arc<Streams>,
    client: IpAddr,
    under_way: Arc<UnderWay>,
}

/// Why an answer ends before its end.
enum CutShort {
    /// The client did not take it in time, or has too much waiting.
    Untaken,
    /// The client has reset the stream, or the connection is gone.
    Gone,
}

impl From<Exhausted> for CutShort {
    fn from(_: Exhausted) -> Self {
        Self::Untaken
    }
}

impl From<h2::Error> for CutShort {
    fn from(_: h2::Error) -> Self {
        Self::Gone
    }
}

impl Stream {
    fn open<B>(
        streams: &Arc<Streams>,
        under_way: Arc<UnderWay>,
        request: &axum::http::Request<B>,
    ) -> Self {
        streams.open.fetch_add(1, Ordering::AcqRel);
        let trusted = &streams.host.trusted;
        Self {
            streams: Arc::clone(streams),
            client: trusted.client_of(streams.peer.ip(), request.headers()),
            under_way,
        }
    }

    /// Answers a request, unless the client does not want it any more.
    async fn answer(
        self,
        request: axum::http::Request<RecvStream>,
        mut respond: SendResponse<Piece>,
    ) {
        let length = request.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let request = request.map(|stream| Body::new(Arriving { stream, length }));
        let request = arrived(request, self.streams.peer, &self.under_way);
        let Some(response) = self.response(request, &mut respond).await else {
            return;
        };
        let (head, body) = self.head_of(response);
        let Ok(mut stream) = respond.send_response(head, false) else {
            return respond.send_reset(Reason::INTERNAL_ERROR);
        };
        match self.send(&mut stream, body).await {
            Ok(()) | Err(CutShort::Gone) => {}
            Err(CutShort::Untaken) => {
                self.streams.given_up.store(true, Ordering::Relaxed);
                tracing::debug!("an answer was not taken; its stream is reset");
                stream.send_reset(Reason::CANCEL);
            }
        }
    }

    /// What the router says to a request, unless the client resets it before.
    async fn response(
        &self,
        request: Request,
        respond: &mut SendResponse<Piece>,
    ) -> Option<Response> {
        let router: Router = self.streams.host.router.clone();
        let response = pin!(router.oneshot(request));
        tokio::select! {
            biased;
            response = response => response.map_err(|never: Infallible| match never {}).ok(),
            _ = poll_fn(|context| respond.poll_reset(context)) => None,
        }
    }

    /// The head of a response, with what HTTP/1.1 has of hyper, and its body.
    fn head_of(&self, response: Response) -> (Response<()>, Body) {
        let (mut head, body) = response.into_parts();
        if !body.is_end_stream()
            && let Some(length) = body.size_hint().exact()
        {
            head.headers.entry(CONTENT_LENGTH).or_insert(length.into());
        }
        head.headers
            .entry(DATE)
            .or_insert_with(|| date(self.streams.host.clock.now().unix_seconds()));
        (Response::from_parts(head, ()), body)
    }

    /// Sends a body, each part when the one before is written.
    async fn send(&self, stream: &mut SendStream<Piece>, mut body: Body) -> Result<(), CutShort> {
        loop {
            if body.is_end_stream() {
                return self.send_part(stream, Bytes::new(), true).await;
            }
            // There is no deadline here: a client that takes all that there is may wait for more.
            let frame = tokio::select! {
                biased;
                frame = body.frame() => frame,
                _ = poll_fn(|context| stream.poll_reset(context)) => return Err(CutShort::Gone),
            };
            match frame {
                Some(Ok(frame)) => {
                    let Ok(part) = frame.into_data() else {
                        continue;
                    };
                    let ends = body.is_end_stream();
                    if ends || !part.is_empty() {
                        self.send_part(stream, part, ends).await?;
                    }
                    if ends {
                        return Ok(());
                    }
                }
                Some(Err(_)) => {
                    stream.send_reset(Reason::INTERNAL_ERROR);
                    return Ok(());
                }
                None => return self.send_part(stream, Bytes::new(), true).await,
            }
        }
    }

    /// Sends a part of a body and waits until it is written: of each [`PIECE`] for [`STALLED`] at most.
    async fn send_part(
        &self,
        stream: &mut SendStream<Piece>,
        mut part: Bytes,
        ends: bool,
    ) -> Result<(), CutShort> {
        let _unwritten = Unwritten::of(self, part.len())?;
        loop {
            let piece = part.split_to(part.len().min(PIECE));
            let is_last = part.is_empty();
            let written = self
                .in_time(hand_over(stream, piece, ends && is_last))
                .await??;
            // What was written meanwhile is not waited for.
            if is_last {
                self.in_time(written).await?.ok();
                return Ok(());
            }
        }
    }

    /// What becomes of something that the client has to allow, if it does so in time.
    async fn in_time<F: Future>(&self, taken: F) -> Result<F::Output, CutShort> {
        let too_late = async {
            let until = Instant::now() + STALLED;
            tokio::select! {
                () = sleep_until(until) => {}
                () = self.streams.stopping.cancelled() => sleep(AT_THE_END).await,
            }
        };
        tokio::select! {
            biased;
            taken = taken => Ok(taken),
            () = too_late => Err(CutShort::Untaken),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.streams.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.streams.quiet.notify_one();
        }
    }
}

/// Hands a piece over as the client's window has room for it; what comes back resolves when it is written, or dropped.
async fn hand_over(
    stream: &mut SendStream<Piece>,
    mut piece: Bytes,
    ends: bool,
) -> Result<oneshot::Receiver<Infallible>, h2::Error> {
    let (unwritten, written) = oneshot::channel();
    let mut unwritten = Some(unwritten);
    loop {
        let room = match piece.len() {
            0 => 0,
            length => room_for(stream, length).await?,
        };
        let bytes = piece.split_to(room.min(piece.len()));
        let is_last = piece.is_empty();
        let unwritten = unwritten.take_if(|_| is_last);
        stream.send_data(
            Piece {
                bytes,
                _unwritten: unwritten,
            },
            ends && is_last,
        )?;
        if is_last {
            return Ok(written);
        }
    }
}

/// Waits for the client's window to have room, and says for how many of `wanted` bytes.
async fn room_for(stream: &mut SendStream<Piece>, wanted: usize) -> Result<usize, h2::Error> {
    stream.reserve_capacity(wanted);
    poll_fn(|context| {
        loop {
            match stream.capacity() {
                0 => {}
                room => return Poll::Ready(Ok(room)),
            }
            match ready!(stream.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Err(Reason::STREAM_CLOSED.into())),
            }
        }
    })
    .await
}

/// Part of an answer that is not written yet. Beyond what leaves at once it is taken from the client's budget.
struct Unwritten<'a> {
    streams: &'a Streams,
    bytes: usize,
    _lease: Option<Lease>,
}

impl<'a> Unwritten<'a> {
    fn of(stream: &'a Stream, bytes: usize) -> Result<Self, Exhausted> {
        let streams = &stream.streams;
        let others = streams.unwritten.fetch_add(bytes, Ordering::Relaxed);
        let mut unwritten = Self {
            streams,
            bytes,
            _lease: None,
        };
        if others + bytes > UNLEASED {
            let mut lease = streams.host.bytes.lease(stream.client);
            lease.grow_to(bytes)?;
            unwritten._lease = Some(lease);
        }
        Ok(unwritten)
    }
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        let unwritten = &self.streams.unwritten;
        unwritten.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes of an answer. The library drops them when they are written or their stream is reset.
struct Piece {
    bytes: Bytes,
    _unwritten: Option<oneshot::Sender<Infallible>>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

/// The body of a request. Its client may send on as it is read.
struct Arriving {
    stream: RecvStream,
    /// How long it will be, as far as the client says.
    length: Option<u64>,
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = h2::Error;

    /// A stream that the client resets is an error, whatever it says of the reason: the body is not whole.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Some(data) = ready!(self.stream.poll_data(context)) else {
            return Poll::Ready(None);
        };
        let data = data?;
        self.stream.flow_control().release_capacity(data.len())?;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.length
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

thread_local! {
    /// The second that was written last, and how.
    static WRITTEN: RefCell<(i64, HeaderValue)> = RefCell::new((i64::MIN, HeaderValue::from_static("")));
}

/// The second as a date (RFC 9110 §5.6.7). It is written once for all answers of a second.
fn date(second: i64) -> HeaderValue {
    WRITTEN.with_borrow_mut(|(written, value)| {
        if *written != second {
            let since_epoch = Duration::from_secs(u64::try_from(second).unwrap_or(0));
            let text = httpdate::fmt_http_date(UNIX_EPOCH + since_epoch);
            if let Ok(date) = HeaderValue::from_str(&text) {
                (*written, *value) = (second, date);
            }
        }
        value.clone()
    })
}
