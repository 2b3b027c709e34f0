//! Handing parts of answers over to the library: only what the client has room for, and only what there is room for here.

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

/// Answers of a connection that are not written yet and are not taken from the budget: a few short ones, which leave
/// at once.
const UNLEASED: usize = 8 * 1024;

/// Hands a piece over as the client's window has room for it; what comes back resolves when it is written, or dropped.
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
pub(super) struct Unwritten<'a> {
    streams: &'a Streams,
    bytes: usize,
    _lease: Option<Lease>,
}

impl<'a> Unwritten<'a> {
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

/// Bytes of an answer. The library drops them when they are written or their stream is reset.
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
