//! Passes parts of responses to the `h2` library: only what the client's window and the byte budget have room for.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::{Poll, ready};

use axum::body::Bytes;
use h2::{Reason, SendStream};
use hyper::body::Buf;
use tokio::sync::oneshot;

use super::Streams;
use super::stream::Stream;
use crate::capacity::{Exhausted, Lease};

/// Unwritten bytes of a connection's responses that are not charged to the budget: a few short responses, which are
/// sent immediately.
const UNLEASED: usize = 8 * 1024;

/// Passes a piece on when the client's window has room for it. The returned receiver resolves when the piece is written
/// or dropped.
pub(super) async fn hand_over(
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

/// Waits for room in the client's window, and returns how many of `wanted` bytes fit.
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

/// A part of a response that has not been written yet. Bytes that are not sent immediately are charged to the client's
/// budget.
pub(super) struct Unwritten<'a> {
    streams: &'a Streams,
    bytes: usize,
    _lease: Option<Lease>,
}

impl<'a> Unwritten<'a> {
    #[expect(
        clippy::used_underscore_binding,
        reason = "the lease is kept for its drop alone"
    )]
    pub fn of(stream: &'a Stream, bytes: usize) -> Result<Self, Exhausted> {
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

/// Bytes of a response. The library drops them when they are written or their stream is reset.
pub(super) struct Piece {
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
