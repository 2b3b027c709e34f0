//! Connections that are given up when the other side takes nothing any more.
//!
//! Whoever stops reading in the middle of an answer would otherwise keep it in memory, its place among the readers of
//! the log, and the program from ending, for as long as they like.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How long a client may take nothing of what waits for it.
const STALLED: Duration = Duration::from_secs(30);

/// The same once the program is told to stop.
const STALLED_AT_THE_END: Duration = Duration::from_secs(2);

/// After how long a silent connection is asked whether the other machine is still there. Nothing else would tell of one
/// that lost its power while it followed a quiet log.
const ASK_AFTER: Duration = Duration::from_secs(60);

/// A listener for such connections.
pub(crate) struct Connections {
    listener: TcpListener,
    stopping: CancellationToken,
}

impl Connections {
    pub(crate) const fn new(listener: TcpListener, stopping: CancellationToken) -> Self {
        Self { listener, stopping }
    }
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let connection = Connection {
            stream,
            stall: None,
            stopping: self.stopping.clone(),
        };
        (connection, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with a client.
pub(crate) struct Connection {
    stream: TcpStream,
    stall: Option<Pin<Box<Stall>>>,
    stopping: CancellationToken,
}

/// The time since the client takes nothing.
struct Stall {
    patience: Pin<Box<Sleep>>,
    stopping: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Connection {
    /// Has the system ask now and then whether the other machine is still there. It is a courtesy that may fail.
    pub(crate) fn is_kept_alive(&mut self) {
        let asking = TcpKeepalive::new().with_time(ASK_AFTER);
        if let Err(error) = SockRef::from(&self.stream).set_tcp_keepalive(&asking) {
            tracing::debug!(%error, "a connection is not kept alive");
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
            .get_or_insert_with(|| Box::pin(Stall::begins(stopping)));
        ready!(stall.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Stall {
    fn begins(stopping: &CancellationToken) -> Self {
        Self {
            patience: Box::pin(sleep(STALLED)),
            stopping: Some(Box::pin(stopping.clone().cancelled_owned())),
        }
    }
}

impl Future for Stall {
    type Output = ();

    /// Ends when the client's time is up.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let stops = self
            .stopping
            .as_mut()
            .is_some_and(|stopping| stopping.as_mut().poll(context).is_ready());
        if stops {
            self.stopping = None;
            let at_the_end = tokio::time::Instant::now() + STALLED_AT_THE_END;
            let deadline = self.patience.deadline().min(at_the_end);
            self.patience.as_mut().reset(deadline);
        }
        self.patience.as_mut().poll(context)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
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
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Writes to a client who reads nothing until that fails.
    async fn write_in_vain(stopping: CancellationToken) -> io::Error {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut connections = Connections::new(listener, stopping);
        let (client, (mut connection, _)) =
            tokio::join!(TcpStream::connect(address), connections.accept());
        let _client = client.unwrap();
        loop {
            if let Err(error) = connection.write_all(&[0; 65536]).await {
                return error;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_who_takes_nothing_is_given_up() {
        let began = tokio::time::Instant::now();
        let error = write_in_vain(CancellationToken::new()).await;
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= STALLED);
    }

    #[tokio::test(start_paused = true)]
    async fn and_sooner_when_the_program_is_to_stop() {
        let stopping = CancellationToken::new();
        let began = tokio::time::Instant::now();
        let writing = tokio::spawn(write_in_vain(stopping.clone()));
        tokio::time::sleep(Duration::from_secs(10)).await;
        stopping.cancel();
        assert_eq!(writing.await.unwrap().kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < STALLED);
    }
}
