//! A connection to a mail server that may send so much and no more.
//!
//! lettre bounds the lines and the length of an answer, but only once a line has ended: a server, or an attacker on the path
//! before encryption begins, who sends a line without an end would fill the memory.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much a server may send over one connection, which takes one message: the answers to a dozen commands, each of which
/// lettre bounds, and the certificates of a server.
pub(super) const MOST_RECEIVED: usize = 256 * 1024;

/// The server has sent more than its answers can be.
#[derive(Debug, thiserror::Error)]
#[error("the mail server sent more than {MOST_RECEIVED} bytes")]
struct TooMuch;

/// A stream out of which so many bytes can be read.
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
    async fn so_much_is_read_and_no_more() {
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
