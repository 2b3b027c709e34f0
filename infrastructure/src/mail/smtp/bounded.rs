//! A connection with a limit on the bytes that the mail server may send.
//!
//! lettre limits the lines and the length of an answer, but only after a line has ended. Without this limit, a server, or an
//! attacker on the path before encryption begins, could fill the memory with an endless line.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The maximum number of bytes that a server may send over one connection for one message: the answers to a dozen commands,
/// which lettre limits, and the certificates of the server.
pub(super) const MOST_RECEIVED: usize = 256 * 1024;

/// The server has sent more than [`MOST_RECEIVED`] bytes.
#[derive(Debug, thiserror::Error)]
#[error("the mail server sent more than {MOST_RECEIVED} bytes")]
struct TooMuch;

/// A stream from which a limited number of bytes can be read.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    stream: S,
    left: usize,
}

impl<S> Bounded<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self {
            stream,
            left: MOST_RECEIVED,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        match self.left.checked_sub(read) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Ok(()))
            }
            None => {
                buffer.set_filled(before);
                Poll::Ready(Err(io::Error::other(TooMuch)))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncTokioStream> AsyncTokioStream for Bounded<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn reading_stops_at_the_limit() {
        let answers = vec![b'2'; MOST_RECEIVED];
        let mut read = Vec::new();
        Bounded::new(answers.as_slice())
            .read_to_end(&mut read)
            .await
            .unwrap();
        assert_eq!(read.len(), MOST_RECEIVED);

        let answers = vec![b'2'; 10 * MOST_RECEIVED];
        let mut read = Vec::new();
        let refused = Bounded::new(answers.as_slice())
            .read_to_end(&mut read)
            .await;
        assert!(refused.is_err());
        assert!(read.len() <= 2 * MOST_RECEIVED, "{}", read.len());
    }
}
