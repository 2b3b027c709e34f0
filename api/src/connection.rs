//! Connections that are given up when the other side neither says nor takes anything any more.
//!
//! Whoever stops in the middle of a request, or of reading an answer, would otherwise keep it in memory, its place among
//! the connections, and the program from ending, for as long as they like.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How long a client may take nothing of what waits for it.
const STALLED: Duration = Duration::from_secs(30);

/// How long a client may take to say what it wants, from its first byte to the end of the head of its request.
const HEAD_WITHIN: Duration = Duration::from_secs(15);

/// How long a connection may be kept without a request: longer than proxies keep theirs (60 seconds by most defaults),
/// so that none sends a request into a connection that we are closing.
const IDLE: Duration = Duration::from_secs(75);

/// How long either may last once the program is told to stop.
const AT_THE_END: Duration = Duration::from_secs(2);

/// After how long a silent connection is asked whether the other machine is still there. Nothing else would tell of one
/// that lost its power while it followed a quiet log.
const ASK_AFTER: Duration = Duration::from_secs(60);

/// The requests of one connection.
#[derive(Default)]
pub(crate) struct Requests {
    begun: AtomicUsize,
    open: AtomicUsize,
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
}

/// A connection with a client.
pub(crate) struct Connection {
    stream: TcpStream,
    requests: Arc<Requests>,
    expected: Expected,
    begun: usize,
    silence: Pin<Box<Wait>>,
    stall: Option<Pin<Box<Wait>>>,
    stopping: CancellationToken,
}

impl Connection {
    /// The connection whose requests are counted in `requests`.
    pub fn new(stream: TcpStream, requests: Arc<Requests>, stopping: CancellationToken) -> Self {
        Self {
            stream,
            requests,
            expected: Expected::Head,
            begun: 0,
            silence: Box::pin(Wait::begins(HEAD_WITHIN, &stopping)),
            stall: None,
            stopping,
        }
    }

    /// Has the system ask now and then whether the other machine is still there. It is a courtesy that may fail.
    pub fn is_kept_alive(&self) {
        let asking = TcpKeepalive::new().with_time(ASK_AFTER);
        if let Err(error) = SockRef::from(&self.stream).set_tcp_keepalive(&asking) {
            tracing::debug!(%error, "a connection is not kept alive");
        }
    }

    /// What is expected of the client, who just said something or nothing; the wait for it begins when that changes.
    fn expect(&mut self, said_something: bool) {
        let begun = self.requests.begun.load(Ordering::SeqCst);
        let is_answered = self.requests.open.load(Ordering::SeqCst) == 0;
        let expected = match self.expected {
            _ if !is_answered => Expected::Nothing,
            // The answer went out since.
            Expected::Nothing => Expected::Request,
            _ if begun != self.begun => Expected::Request,
            Expected::Request if said_something => Expected::Head,
            same => same,
        };
        if expected != self.expected || begun != self.begun {
            self.expected = expected;
            self.begun = begun;
            self.wait_anew();
        }
    }

    fn wait_anew(&mut self) {
        let patience = match self.expected {
            // Nobody tells when the answer is out: it is looked at again after that long.
            Expected::Head | Expected::Nothing => HEAD_WITHIN,
            Expected::Request => IDLE,
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
            self.expect(false);
        }
    }

    /// Passes on what became of a write, unless it has been waiting for too long.
    fn watched<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let stopping = &self.stopping;
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(Wait::begins(STALLED, stopping)));
        ready!(stall.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
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
        let filled = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let said_something = buffer.filled().len() > filled;
        self.expect(said_something);
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
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watched(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watched(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair(stopping: CancellationToken) -> (TcpStream, Connection, Arc<Requests>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let requests = Arc::<Requests>::default();
        let connection = Connection::new(accepted.unwrap().0, Arc::clone(&requests), stopping);
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

    #[tokio::test(start_paused = true)]
    async fn a_client_who_takes_nothing_is_given_up() {
        let began = Instant::now();
        let error = write_in_vain(CancellationToken::new()).await;
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= STALLED);
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
