//! The body of a request while it arrives.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Bytes, HttpBody};
use h2::RecvStream;
use hyper::body::{Frame, SizeHint};

/// The body of a request. The client's flow-control window is extended as it is read.
pub(super) struct Arriving {
    pub stream: RecvStream,
    /// The length that the client announced, if any.
    pub length: Option<u64>,
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = h2::Error;

    /// A reset stream is an error, regardless of the client's reason: the body is incomplete.
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
