//! The socket of a connection. It ends a connection whose client neither sends nor reads in time.
//!
//! Otherwise a client that stops in the middle of a request or of a response would keep the memory and the place of its
//! connection, and would keep the program from stopping, for as long as it likes.

use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::capacity::{Lease, Place};

/// How long a client may take to read the next [`PIECE`] of the bytes that wait for it.
pub(crate) const STALLED: Duration = Duration::from_secs(30);

/// How many bytes a client must read within [`STALLED`], if as many are waiting. A byte now and then is not progress.
pub(crate) const PIECE: usize = 16 * 1024;

/// How long a client may take to send the head of a request, from its first byte.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// The limit for both once the program is stopping.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The keep-alive interval of an idle connection. Without it a node would not notice that the machine of a client lost its
/// power while that client follows the log and there are no new events.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How much of HTTP/1.1 is read at a time. If a read fills its 8 KiB, hyper doubles its buffer, up to the length of the
/// longest head, and keeps that buffer on a connection that is idle afterwards.
const MAX_READ: u64 = 8 * 1024 - 1;

/// The buffer that hyper may have for a connection without a lease from the byte budget. It suffices for a head of 8
/// KiB, and few heads are longer.
const SMALL_BUFFER: usize = 16 * 1024;

/// The connection preface of HTTP/2 (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The requests of one HTTP/1.1 connection.
#[derive(Default)]
pub(crate) struct Requests {
    begun: AtomicUsize,
    open: AtomicUsize,
    /// The length of the part of a response that was last passed to hyper.
    part: AtomicUsize,
    /// The client for which a proxy forwarded the last request. Never set on a direct connection.
    forwarded_for: Mutex<Option<IpAddr>>,
}

/// A request that is being answered, until it is dropped.
pub(crate) struct OpenRequest(Arc<Requests>);

impl Requests {
    /// Records that a request has begun.
    pub fn begin(self: &Arc<Self>) -> OpenRequest {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.begun.fetch_add(1, Ordering::SeqCst);
        OpenRequest(Arc::clone(self))
    }

    fn forwarded_for(&self) -> Option<IpAddr> {
        let client = self.forwarded_for.lock();
        *client.unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenRequest {
    /// Records that a proxy forwarded the request for this client.
    pub fn set_client(&self, client: IpAddr) {
        let noted = self.0.forwarded_for.lock();
        *noted.unwrap_or_else(PoisonError::into_inner) = Some(client);
    }

    /// Records that `bytes` of the response were passed to hyper.
    pub fn record_part(&self, bytes: usize) {
        self.0.part.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What the client has to do next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// To send the rest of a request head that it has begun; at first the whole of it.
    Head,
    /// Nothing: its request is being answered.
    Nothing,
    /// To send another request, or to close the connection.
    Request,
    /// Anything: the connection uses HTTP/2, whose streams have deadlines of their own.
    Frames,
}

/// A connection with a client.
pub(crate) struct Connection {
    stream: Take<TcpStream>,
    /// Bytes that were read to detect the protocol, and that its implementation has still to read.
    preface: Bytes,
    requests: Arc<Requests>,
    place: Arc<Place>,
    expected: Expected,
    /// How many requests had begun when `expected` was last updated.
    begun: usize,
    /// How many bytes of a head have arrived.
    head: usize,
    /// For the read buffer, if it is larger than [`SMALL_BUFFER`].
    large_buffer: Lease,
    /// The time limit for what is expected.
    silence: Pin<Box<Wait>>,
    /// Set while a write waits for the client.
    stall: Option<Stall>,
    /// For the bytes of responses that wait for the client.
    untaken: Lease,
    stopping: CancellationToken,
}

/// A wait for the client to read something.
struct Stall {
    wait: Pin<Box<Wait>>,
    /// How many more bytes must be read before the wait ends.
    owed: usize,
}

impl Connection {
    /// The connection at `place`, whose requests are counted in `requests`. `lease` makes the empty leases to which its
    /// buffers are charged.
    pub fn new(
        stream: TcpStream,
        requests: Arc<Requests>,
        place: Arc<Place>,
        lease: impl Fn() -> Lease,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            stream: stream.take(MAX_READ),
            preface: Bytes::new(),
            requests,
            place,
            expected: Expected::Head,
            begun: 0,
            head: 0,
            large_buffer: lease(),
            silence: Box::pin(Wait::begins(HEAD_TIMEOUT, &stopping)),
            stall: None,
            untaken: lease(),
            stopping,
        }
    }

    /// Whether the client speaks HTTP/2. The bytes that were read to find out are kept for the implementation.
    ///
    /// # Errors
    /// The client sends nothing, or sends too slowly.
    pub async fn is_http2(&mut self) -> io::Result<bool> {
        let mut preface = Vec::with_capacity(HTTP2_PREFACE.len());
        while preface.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&preface) {
            let mut bytes = [0; HTTP2_PREFACE.len()];
            let mut buffer = ReadBuf::new(&mut bytes[preface.len()..]);
            poll_fn(|context| Pin::new(&mut *self).poll_read(context, &mut buffer)).await?;
            if buffer.filled().is_empty() {
                break;
            }
            preface.extend_from_slice(buffer.filled());
        }
        let is_http2 = preface == HTTP2_PREFACE;
        if is_http2 {
            self.expected = Expected::Frames;
        }
        self.preface = preface.into();
        Ok(is_http2)
    }

    /// Sets the options of the socket: the end of a response is sent without waiting for the acknowledgement of its
    /// beginning, and an idle connection is probed. Both are best effort.
    pub fn set_socket_options(&self) {
        if let Err(error) = self.stream.get_ref().set_nodelay(true) {
            tracing::debug!(%error, "could not set TCP_NODELAY");
        }
        let asking = TcpKeepalive::new().with_time(KEEPALIVE);
        if let Err(error) = SockRef::from(self.stream.get_ref()).set_tcp_keepalive(&asking) {
            tracing::debug!(%error, "could not enable TCP keep-alive");
        }
    }

    /// Updates the expectation after the client has sent `received` bytes. A change starts a new wait.
    fn expect(&mut self, received: usize) {
        let begun = self.requests.begun.load(Ordering::SeqCst);
        let is_answered = self.requests.open.load(Ordering::SeqCst) == 0;
        let expected = match self.expected {
            _ if !is_answered => Expected::Nothing,
            // The response has been sent in the meantime.
            Expected::Nothing => Expected::Request,
            _ if begun != self.begun => Expected::Request,
            Expected::Request if received > 0 => Expected::Head,
            same => same,
        };
        if expected != self.expected || begun != self.begun {
            self.expected = expected;
            self.begun = begun;
            self.head = 0;
            self.restart_wait();
        }
        if expected == Expected::Head {
            self.head += received;
        }
    }

    /// Charges the buffer to the budget if it is large. `empty` is the part of it that was not filled.
    ///
    /// # Errors
    /// The budget has no room for it.
    fn lease_buffer(&mut self, empty: usize) -> io::Result<()> {
        let size = self.head + empty;
        if size <= SMALL_BUFFER {
            self.large_buffer.release();
            return Ok(());
        }
        let leased = self.large_buffer.grow_to(size);
        leased.map_err(|_| io::ErrorKind::QuotaExceeded.into())
    }

    fn restart_wait(&mut self) {
        let limit = match self.expected {
            // Nothing signals that the response has been sent, so this is checked again after that time.
            Expected::Head | Expected::Nothing | Expected::Frames => HEAD_TIMEOUT,
            Expected::Request => self.place.idle_time(),
        };
        self.silence.restart(limit);
    }

    /// Waits for the client to send something, within its time limit.
    fn poll_client_timeout(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.silence.as_mut().poll(context));
            if self.expected != Expected::Nothing {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.restart_wait();
            self.expect(0);
        }
    }

    /// Passes on the result of a write, unless it has waited for too long or the budget has no room for the waiting
    /// bytes.
    fn check_write(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            let taken = written.as_ref().copied().unwrap_or(0);
            if let Some(stall) = &mut self.stall {
                stall.owed = stall.owed.saturating_sub(taken);
                if stall.owed == 0 {
                    self.all_taken();
                }
            }
            return Poll::Ready(written);
        }
        let stall = match &mut self.stall {
            Some(stall) => stall,
            none => {
                let part = self.requests.part.load(Ordering::Relaxed);
                if let Some(client) = self.requests.forwarded_for() {
                    self.untaken.charge_to(client);
                }
                if self.untaken.grow_to(part.max(PIECE)).is_err() {
                    return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
                }
                none.insert(Stall {
                    wait: Box::pin(Wait::begins(STALLED, &self.stopping)),
                    owed: PIECE,
                })
            }
        };
        ready!(stall.wait.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn all_taken(&mut self) {
        self.stall = None;
        self.untaken.release();
    }
}

/// A time limit for the client, which is shorter once the program is stopping.
///
/// Every request starts a new wait, and most end long before their limit. So the timer is seldom reset: if it fires too
/// early, it is set again.
struct Wait {
    until: Instant,
    timer: Pin<Box<Sleep>>,
    stopping: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Wait {
    fn begins(limit: Duration, stopping: &CancellationToken) -> Self {
        let until = Instant::now() + limit;
        Self {
            until,
            timer: Box::pin(sleep_until(until)),
            stopping: Some(Box::pin(stopping.clone().cancelled_owned())),
        }
    }

    /// Starts a new wait.
    fn restart(&mut self, limit: Duration) {
        let limit = match self.stopping {
            Some(_) => limit,
            None => limit.min(SHUTDOWN_TIMEOUT),
        };
        self.until = Instant::now() + limit;
    }
}

impl Future for Wait {
    type Output = ();

    /// Completes when the client's time is up.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let stops = self
            .stopping
            .as_mut()
            .is_some_and(|stopping| stopping.as_mut().poll(context).is_ready());
        if stops {
            self.stopping = None;
            self.until = self.until.min(Instant::now() + SHUTDOWN_TIMEOUT);
        }
        let until = self.until;
        if until < self.timer.deadline() {
            self.timer.as_mut().reset(until);
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            if self.timer.deadline() >= until {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(until);
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.preface.is_empty() {
            let length = self.preface.len().min(buffer.remaining());
            buffer.put_slice(&self.preface.split_to(length));
            return Poll::Ready(Ok(()));
        }
        if self.expected == Expected::Frames {
            return Pin::new(self.stream.get_mut()).poll_read(context, buffer);
        }
        let filled = buffer.filled().len();
        self.stream.set_limit(MAX_READ);
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.expect(buffer.filled().len() - filled);
        self.lease_buffer(buffer.remaining())?;
        // A byte at a time does not extend the limit.
        match self.poll_client_timeout(context) {
            Poll::Ready(given_up) => Poll::Ready(given_up),
            Poll::Pending => read,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.stream.get_mut()).poll_write(context, bytes);
        self.check_write(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.stream.get_mut()).poll_write_vectored(context, slices);
        self.check_write(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(self.stream.get_mut()).poll_flush(context))?;
        // All bytes have been passed to the operating system.
        self.all_taken();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::capacity::{ByteBudget, Clients};

    /// Enough for one response that is not read.
    const BUDGET: usize = 5 * PIECE;

    /// How long an idle connection is kept.
    const IDLE: Duration = Duration::from_secs(75);

    async fn pair(stopping: CancellationToken) -> (TcpStream, Connection, Arc<Requests>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let requests = Arc::<Requests>::default();
        let budget = Arc::new(ByteBudget::of(BUDGET));
        let connection = Connection::new(
            accepted.unwrap().0,
            Arc::clone(&requests),
            Arc::new(Clients::new(100).connect(address.ip()).unwrap()),
            || budget.lease(address.ip()),
            stopping,
        );
        (client.unwrap(), connection, requests)
    }

    /// Writes to a client that reads nothing until a write fails.
    async fn write_until_error(stopping: CancellationToken) -> io::Error {
        let (_client, mut connection, _) = pair(stopping).await;
        loop {
            if let Err(error) = connection.write_all(&[0; 65536]).await {
                return error;
            }
        }
    }

    /// Reads until a read fails, and returns how long that took.
    async fn read_until_error(connection: &mut Connection) -> Duration {
        let began = Instant::now();
        loop {
            if let Err(error) = connection.read_u8().await {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                return began.elapsed();
            }
        }
    }

    #[tokio::test]
    async fn short_writes_are_not_delayed() {
        let (_client, connection, _) = pair(CancellationToken::new()).await;
        connection.set_socket_options();
        assert!(connection.stream.get_ref().nodelay().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_disconnected() {
        let began = Instant::now();
        let error = write_until_error(CancellationToken::new()).await;
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= STALLED);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_a_little_now_and_then_is_disconnected_and_one_that_reads_on_is_not()
     {
        // The operating system passes bytes on in portions of its own, so the rule is tested without it.
        let (_client, mut connection, _) = pair(CancellationToken::new()).await;
        let began = Instant::now();
        let taken = async |connection: &mut Connection, bytes: usize| {
            tokio::time::sleep(STALLED / 2).await;
            poll_fn(|context| {
                let waits = connection.check_write(context, Poll::Pending);
                if waits.is_pending() {
                    _ = connection.check_write(context, Poll::Ready(Ok(bytes)));
                }
                Poll::Ready(waits)
            })
            .await
        };
        for _ in 0..100 {
            assert!(taken(&mut connection, PIECE).await.is_pending());
        }
        assert!(began.elapsed() >= STALLED * 50);
        for _ in 0..2 {
            assert!(taken(&mut connection, 1).await.is_pending());
        }
        assert!(taken(&mut connection, 1).await.is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_wait_for_a_client_are_bounded() {
        let (_client, mut connection, requests) = pair(CancellationToken::new()).await;
        let request = requests.begin();
        request.record_part(BUDGET);
        let began = Instant::now();
        let error = loop {
            if let Err(error) = connection.write_all(&[0; 65536]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_wait_at_a_proxy_are_charged_to_their_client() {
        let (_client, mut connection, requests) = pair(CancellationToken::new()).await;
        let budget = Arc::new(ByteBudget::of(7 * PIECE));
        connection.untaken = budget.lease([127, 0, 0, 1].into());
        let _proxy_has_its_share = {
            let mut lease = budget.lease([127, 0, 0, 1].into());
            lease.grow_to(PIECE).unwrap();
            lease
        };
        for (client, kind) in [
            ([192, 0, 2, 1], io::ErrorKind::TimedOut),
            // The client has another connection through the proxy, with as many waiting bytes as it may have.
            ([192, 0, 2, 2], io::ErrorKind::QuotaExceeded),
        ] {
            let mut elsewhere = budget.lease([192, 0, 2, 2].into());
            elsewhere.grow_to(PIECE).unwrap();
            requests.begin().set_client(client.into());
            let error = loop {
                if let Err(error) = connection.write_all(&[0; 65536]).await {
                    break error;
                }
            };
            assert_eq!(error.kind(), kind);
            connection.all_taken();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_head_is_charged_to_the_budget() {
        let (mut client, mut connection, _) = pair(CancellationToken::new()).await;
        client.write_all(&[b'x'; BUDGET / 2]).await.unwrap();
        let mut read = vec![0; BUDGET / 2];
        let error = connection.read_exact(&mut read).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    }

    #[tokio::test(start_paused = true)]
    async fn the_protocol_is_detected_by_the_first_bytes_and_none_of_them_is_lost() {
        for (said, is_http2) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], false),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand more", true),
            (b"PRI * HTTP/2.0\r\n\r\nSM", false),
            (b"", false),
        ] {
            let (mut client, mut connection, _) = pair(CancellationToken::new()).await;
            let saying = async move {
                for byte in said.chunks(7) {
                    client.write_all(byte).await.unwrap();
                    tokio::task::yield_now().await;
                }
                client.shutdown().await.unwrap();
                client
            };
            let hearing = async {
                assert_eq!(connection.is_http2().await.unwrap(), is_http2);
                let mut heard = Vec::new();
                connection.read_to_end(&mut heard).await.unwrap();
                assert_eq!(heard, said);
            };
            tokio::join!(saying, hearing);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_disconnected_sooner_while_the_program_is_stopping() {
        let stopping = CancellationToken::new();
        let began = Instant::now();
        let writing = tokio::spawn(write_until_error(stopping.clone()));
        tokio::time::sleep(Duration::from_secs(10)).await;
        stopping.cancel();
        assert_eq!(writing.await.unwrap().kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < STALLED);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_nothing_or_a_byte_now_and_then_is_disconnected() {
        let (_client, mut connection, _) = pair(CancellationToken::new()).await;
        assert!(read_until_error(&mut connection).await < HEAD_TIMEOUT * 2);

        let (mut client, mut connection, _) = pair(CancellationToken::new()).await;
        let speaking = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        assert!(read_until_error(&mut connection).await < HEAD_TIMEOUT * 2);
        speaking.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_waits_for_its_answers_and_then_a_while_for_the_next_request() {
        let (mut client, mut connection, requests) = pair(CancellationToken::new()).await;
        let request = requests.begin();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1000)).await;
            drop(request);
        });
        let waited = read_until_error(&mut connection).await;
        assert!(waited >= Duration::from_secs(1000) + IDLE, "{waited:?}");
        assert!(waited < Duration::from_secs(1000) + IDLE + HEAD_TIMEOUT * 2);

        let (mut second, mut connection, requests) = pair(CancellationToken::new()).await;
        drop(requests.begin());
        let speaking = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            second.write_all(b"GET").await.unwrap();
            tokio::time::sleep(IDLE).await;
        });
        // From its first byte on, the client has as long as for its first request.
        let waited = read_until_error(&mut connection).await;
        assert!(
            waited < Duration::from_secs(60) + HEAD_TIMEOUT * 2,
            "{waited:?}"
        );
        speaking.abort();
        client.shutdown().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_does_not_keep_the_program_from_stopping() {
        let stopping = CancellationToken::new();
        let (_client, mut connection, _) = pair(stopping.clone()).await;
        stopping.cancel();
        assert!(read_until_error(&mut connection).await < SHUTDOWN_TIMEOUT * 2);
    }
}
