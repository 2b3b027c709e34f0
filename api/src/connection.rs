//! The socket of a connection: it ends when the client neither says nor takes anything any more.
//!
//! A client who stops in the middle of a request, or of reading an answer, would otherwise keep it in memory, its place
//! among the connections, and the program from ending, for as long as it likes.

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

/// How long a client may take for the next [`PIECE`] of what waits for it.
pub(crate) const STALLED: Duration = Duration::from_secs(30);

/// What a client must take within [`STALLED`], or all that is left: a byte now and then is no progress.
pub(crate) const PIECE: usize = 16 * 1024;

/// How long a client may take to say what it wants, from its first byte to the end of the head of its request.
pub(crate) const HEAD_WITHIN: Duration = Duration::from_secs(15);

/// How long either may last once the program is told to stop.
pub(crate) const AT_THE_END: Duration = Duration::from_secs(2);

/// After how long a silent connection is asked whether the other machine is still there. Nothing else would tell of one
/// that lost its power while it followed a quiet log.
const ASK_AFTER: Duration = Duration::from_secs(60);

/// As much of HTTP/1.1 as is read at once. After a read that fills its 8 KiB hyper doubles its buffer, up to the length of
/// the longest head, and never lets go of it on a connection that goes silent then.
const MOST_AT_ONCE: u64 = 8 * 1024 - 1;

/// As large a buffer as hyper may have for a connection without asking the budget: what it takes for a head of 8 KiB, and
/// few heads are longer.
const SMALL_BUFFER: usize = 16 * 1024;

/// With these bytes a client begins a connection in HTTP/2 (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The requests of one HTTP/1.1 connection.
#[derive(Default)]
pub(crate) struct Requests {
    begun: AtomicUsize,
    open: AtomicUsize,
    /// The length of the part of an answer that was handed over last.
    part: AtomicUsize,
    /// For whom a proxy sent the last one. Never set on a direct connection.
    forwarded_for: Mutex<Option<IpAddr>>,
}

/// A request that is being answered, until it is dropped.
pub(crate) struct OpenRequest(Arc<Requests>);

impl Requests {
    /// Notes that one has begun.
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
    /// Notes that a proxy sent the request for this client.
    pub fn is_for(&self, client: IpAddr) {
        let noted = self.0.forwarded_for.lock();
        *noted.unwrap_or_else(PoisonError::into_inner) = Some(client);
    }

    /// Notes that so many bytes of the answer are handed over.
    pub fn hands_over(&self, bytes: usize) {
        self.0.part.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What is expected of the client now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// The rest of a head that it has begun; at first all of it.
    Head,
    /// Nothing: its request is being answered.
    Nothing,
    /// Another request, some time.
    Request,
    /// Anything: frames of HTTP/2, whose streams have deadlines of their own.
    Frames,
}

/// A connection with a client.
pub(crate) struct Connection {
    stream: Take<TcpStream>,
    /// What was read to find out the protocol, and is still to be read by its implementation.
    preface: Bytes,
    requests: Arc<Requests>,
    place: Arc<Place>,
    expected: Expected,
    begun: usize,
    /// How much of a head has come.
    head: usize,
    large_buffer: Lease,
    silence: Pin<Box<Wait>>,
    stall: Option<Stall>,
    untaken: Lease,
    stopping: CancellationToken,
}

/// A wait for the client to take something.
struct Stall {
    wait: Pin<Box<Wait>>,
    /// How many bytes must be taken before it ends.
    owed: usize,
}

impl Connection {
    /// The connection at `place`, whose requests are counted in `requests`. What is buffered for it is taken from two
    /// leases like `lease`.
    pub fn new(
        stream: TcpStream,
        requests: Arc<Requests>,
        place: Arc<Place>,
        lease: impl Fn() -> Lease,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            stream: stream.take(MOST_AT_ONCE),
            preface: Bytes::new(),
            requests,
            place,
            expected: Expected::Head,
            begun: 0,
            head: 0,
            large_buffer: lease(),
            silence: Box::pin(Wait::begins(HEAD_WITHIN, &stopping)),
            stall: None,
            untaken: lease(),
            stopping,
        }
    }

    /// Whether the client begins as in HTTP/2. Nothing of what it says is lost.
    ///
    /// # Errors
    /// It says nothing, or too slowly.
    pub async fn begins_http2(&mut self) -> io::Result<bool> {
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

    /// Has the system send the end of an answer without waiting for the client to acknowledge its beginning, and ask now and
    /// then whether the other machine is still there. Either may fail.
    pub fn set_socket_options(&self) {
        if let Err(error) = self.stream.get_ref().set_nodelay(true) {
            tracing::debug!(%error, "a connection delays short writes");
        }
        let asking = TcpKeepalive::new().with_time(ASK_AFTER);
        if let Err(error) = SockRef::from(self.stream.get_ref()).set_tcp_keepalive(&asking) {
            tracing::debug!(%error, "a connection is not kept alive");
        }
    }

    /// What is expected of the client, who just said so many bytes; the wait for it begins when that changes.
    fn expect(&mut self, said: usize) {
        let begun = self.requests.begun.load(Ordering::SeqCst);
        let is_answered = self.requests.open.load(Ordering::SeqCst) == 0;
        let expected = match self.expected {
            _ if !is_answered => Expected::Nothing,
            // The answer went out since.
            Expected::Nothing => Expected::Request,
            _ if begun != self.begun => Expected::Request,
            Expected::Request if said > 0 => Expected::Head,
            same => same,
        };
        if expected != self.expected || begun != self.begun {
            self.expected = expected;
            self.begun = begun;
            self.head = 0;
            self.wait_anew();
        }
        if expected == Expected::Head {
            self.head += said;
        }
    }

    /// Takes the buffer into which was read from the budget if it is large; so much of it is still empty.
    ///
    /// # Errors
    /// There is no room for it.
    fn lease_buffer(&mut self, empty: usize) -> io::Result<()> {
        let size = self.head + empty;
        if size <= SMALL_BUFFER {
            self.large_buffer.release();
            return Ok(());
        }
        let leased = self.large_buffer.grow_to(size);
        leased.map_err(|_| io::ErrorKind::QuotaExceeded.into())
    }

    fn wait_anew(&mut self) {
        let patience = match self.expected {
            // Nobody tells when the answer is out: it is looked at again after that long.
            Expected::Head | Expected::Nothing | Expected::Frames => HEAD_WITHIN,
            Expected::Request => self.place.idle_time(),
        };
        self.silence.again(patience);
    }

    /// Waits for the client to say something, for as long as it may take.
    fn silent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.silence.as_mut().poll(context));
            if self.expected != Expected::Nothing {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.wait_anew();
            self.expect(0);
        }
    }

    /// Passes on what became of a write, unless it has been waiting for too long or there is no room for what waits.
    fn watched(
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

/// A wait for the client, which is shorter once the program is told to stop.
///
/// Every request begins another wait, and most end long before their time. So the alarm is seldom set: where it goes off
/// too early, it is set again.
struct Wait {
    until: Instant,
    alarm: Pin<Box<Sleep>>,
    stopping: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Wait {
    fn begins(patience: Duration, stopping: &CancellationToken) -> Self {
        let until = Instant::now() + patience;
        Self {
            until,
            alarm: Box::pin(sleep_until(until)),
            stopping: Some(Box::pin(stopping.clone().cancelled_owned())),
        }
    }

    /// Begins anew.
    fn again(&mut self, patience: Duration) {
        let patience = match self.stopping {
            Some(_) => patience,
            None => patience.min(AT_THE_END),
        };
        self.until = Instant::now() + patience;
    }
}

impl Future for Wait {
    type Output = ();

    /// Ends when the client's time is up.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let stops = self
            .stopping
            .as_mut()
            .is_some_and(|stopping| stopping.as_mut().poll(context).is_ready());
        if stops {
            self.stopping = None;
            self.until = self.until.min(Instant::now() + AT_THE_END);
        }
        let until = self.until;
        if until < self.alarm.deadline() {
            self.alarm.as_mut().reset(until);
        }
        loop {
            ready!(self.alarm.as_mut().poll(context));
            if self.alarm.deadline() >= until {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(until);
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
        self.stream.set_limit(MOST_AT_ONCE);
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.expect(buffer.filled().len() - filled);
        self.lease_buffer(buffer.remaining())?;
        // Byte by byte takes as long as not at all.
        match self.silent(context) {
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
        self.watched(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.stream.get_mut()).poll_write_vectored(context, slices);
        self.watched(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(self.stream.get_mut()).poll_flush(context))?;
        // Everything that was to be written is with the system.
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

    /// Enough for one answer that is not taken.
    const BUDGET: usize = 5 * PIECE;

    /// How long a connection is kept without a request.
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

    /// Writes to a client who reads nothing until that fails.
    async fn write_in_vain(stopping: CancellationToken) -> io::Error {
        let (_client, mut connection, _) = pair(stopping).await;
        loop {
            if let Err(error) = connection.write_all(&[0; 65536]).await {
                return error;
            }
        }
    }

    /// Reads until that fails, and says how long it took.
    async fn read_in_vain(connection: &mut Connection) -> Duration {
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
    async fn a_client_who_takes_nothing_is_given_up() {
        let began = Instant::now();
        let error = write_in_vain(CancellationToken::new()).await;
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= STALLED);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_who_takes_a_little_now_and_then_is_given_up_and_one_who_goes_on_is_not() {
        // The system passes bytes on in its own portions, so that the rule is tried without it.
        let (_client, mut connection, _) = pair(CancellationToken::new()).await;
        let began = Instant::now();
        let taken = async |connection: &mut Connection, bytes: usize| {
            tokio::time::sleep(STALLED / 2).await;
            poll_fn(|context| {
                let waits = connection.watched(context, Poll::Pending);
                if waits.is_pending() {
                    _ = connection.watched(context, Poll::Ready(Ok(bytes)));
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
    async fn what_waits_for_a_client_is_bounded() {
        let (_client, mut connection, requests) = pair(CancellationToken::new()).await;
        let request = requests.begin();
        request.hands_over(BUDGET);
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
    async fn what_waits_at_a_proxy_is_taken_from_the_share_of_its_client() {
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
            // It has another connection through the proxy, with as much waiting as it may have.
            ([192, 0, 2, 2], io::ErrorKind::QuotaExceeded),
        ] {
            let mut elsewhere = budget.lease([192, 0, 2, 2].into());
            elsewhere.grow_to(PIECE).unwrap();
            requests.begin().is_for(client.into());
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
    async fn a_long_head_is_taken_from_the_budget() {
        let (mut client, mut connection, _) = pair(CancellationToken::new()).await;
        client.write_all(&[b'x'; BUDGET / 2]).await.unwrap();
        let mut read = vec![0; BUDGET / 2];
        let error = connection.read_exact(&mut read).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    }

    #[tokio::test(start_paused = true)]
    async fn the_protocol_is_told_by_the_first_bytes_and_none_of_them_is_lost() {
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
                assert_eq!(connection.begins_http2().await.unwrap(), is_http2);
                let mut heard = Vec::new();
                connection.read_to_end(&mut heard).await.unwrap();
                assert_eq!(heard, said);
            };
            tokio::join!(saying, hearing);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn and_sooner_when_the_program_is_to_stop() {
        let stopping = CancellationToken::new();
        let began = Instant::now();
        let writing = tokio::spawn(write_in_vain(stopping.clone()));
        tokio::time::sleep(Duration::from_secs(10)).await;
        stopping.cancel();
        assert_eq!(writing.await.unwrap().kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < STALLED);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_who_says_nothing_or_a_byte_now_and_then_is_given_up() {
        let (_client, mut connection, _) = pair(CancellationToken::new()).await;
        assert!(read_in_vain(&mut connection).await < HEAD_WITHIN * 2);

        let (mut client, mut connection, _) = pair(CancellationToken::new()).await;
        let speaking = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        assert!(read_in_vain(&mut connection).await < HEAD_WITHIN * 2);
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
        let waited = read_in_vain(&mut connection).await;
        assert!(waited >= Duration::from_secs(1000) + IDLE, "{waited:?}");
        assert!(waited < Duration::from_secs(1000) + IDLE + HEAD_WITHIN * 2);

        let (mut second, mut connection, requests) = pair(CancellationToken::new()).await;
        drop(requests.begin());
        let speaking = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            second.write_all(b"GET").await.unwrap();
            tokio::time::sleep(IDLE).await;
        });
        // From its first byte on the client has as long as for its first request.
        let waited = read_in_vain(&mut connection).await;
        assert!(
            waited < Duration::from_secs(60) + HEAD_WITHIN * 2,
            "{waited:?}"
        );
        speaking.abort();
        client.shutdown().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_does_not_keep_the_program_from_ending() {
        let stopping = CancellationToken::new();
        let (_client, mut connection, _) = pair(stopping.clone()).await;
        stopping.cancel();
        assert!(read_in_vain(&mut connection).await < AT_THE_END * 2);
    }
}
