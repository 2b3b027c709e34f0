//! One stream: a request is answered, and the response is sent as long as its client reads it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, COOKIE, DATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http_body_util::BodyExt as _;
use tokio::time::sleep;
use tower::ServiceExt as _;

use super::Streams;
use super::arriving::Arriving;
use super::date::date;
use super::sending::{Piece, Unwritten, hand_over};
use crate::capacity::{Exhausted, UnderWay};
use crate::connection::{PIECE, SHUTDOWN_TIMEOUT, STALLED};
use crate::http::with_cors_headers;
use crate::poll_twice::poll_twice;
use crate::serving::with_arrival;

/// How many header fields a request may have, as over HTTP/1.1 (hyper's default).
const FIELDS: usize = 100;

/// One stream, until its response is written or abandoned.
pub(super) struct Stream {
    pub streams: Arc<Streams>,
    pub client: IpAddr,
    under_way: UnderWay,
}

/// Why a response is abandoned.
enum CutShort {
    /// The client did not read it in time, or has too many bytes waiting.
    Untaken,
    /// The client has reset the stream, or the connection is lost.
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
    pub fn open(streams: &Arc<Streams>, client: IpAddr, under_way: UnderWay) -> Self {
        streams.open.fetch_add(1, Ordering::AcqRel);
        Self {
            streams: Arc::clone(streams),
            client,
            under_way,
        }
    }

    /// Answers a request, unless the client resets the stream.
    pub async fn answer(
        self,
        request: axum::http::Request<RecvStream>,
        mut respond: SendResponse<Piece>,
    ) {
        let response = if has_too_many_fields(request.headers()) {
            let page = self.streams.host.origins.page_of(&request);
            drop(request);
            let refused = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response();
            with_cors_headers(page, refused).await
        } else {
            let length = request.headers().get(CONTENT_LENGTH);
            let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
            let request = request.map(|stream| Body::new(Arriving { stream, length }));
            let request = with_arrival(request, self.client, Some(self.under_way.clone()));
            match self.response(request, &mut respond).await {
                Some(response) => response,
                None => return,
            }
        };
        let (head, body) = self.head_of(response);
        let Ok(mut stream) = respond.send_response(head, false) else {
            return respond.send_reset(Reason::INTERNAL_ERROR);
        };
        match self.send(&mut stream, body).await {
            Ok(()) | Err(CutShort::Gone) => {}
            Err(CutShort::Untaken) => {
                self.streams.given_up.store(true, Ordering::Relaxed);
                tracing::debug!("the response was not read in time; the stream is reset");
                stream.send_reset(Reason::CANCEL);
            }
        }
    }

    /// The router's response to a request, unless the client resets the stream first.
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

    /// The head of a response, with the headers that hyper adds over HTTP/1.1, and its body.
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

    /// Sends a body. Each part is sent when the previous one is written.
    async fn send(&self, stream: &mut SendStream<Piece>, mut body: Body) -> Result<(), CutShort> {
        loop {
            if body.is_end_stream() {
                return self.send_part(stream, Bytes::new(), true).await;
            }
            // There is no deadline here: a client that has read everything may wait for more.
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

    /// Sends a part of a body and waits until it is written, at most [`STALLED`] for each [`PIECE`].
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
            // A piece that has been written already needs no wait.
            if is_last {
                self.in_time(written).await?.ok();
                return Ok(());
            }
        }
    }

    /// Waits for the client at most [`STALLED`], or [`SHUTDOWN_TIMEOUT`] once the program is stopping. Returns the output of
    /// `taken`.
    ///
    /// # Errors
    /// `taken` was not ready in time.
    async fn in_time<F: Future>(&self, taken: F) -> Result<F::Output, CutShort> {
        let mut taken = pin!(taken);
        // Most responses are written when the connection is polled next, and need no timer.
        if let Some(taken) = poll_twice(&mut taken).await {
            return Ok(taken);
        }
        let too_late = async {
            tokio::select! {
                () = sleep(STALLED) => {}
                () = self.streams.stopping.cancelled() => sleep(SHUTDOWN_TIMEOUT).await,
            }
        };
        tokio::select! {
            biased;
            taken = taken => Ok(taken),
            () = too_late => Err(CutShort::Untaken),
        }
    }
}

/// Whether a request has more than [`FIELDS`] header fields. Over HTTP/2 each cookie may have a field of its own (RFC
/// 9113 §8.2.3); all cookies count as one, as over HTTP/1.1.
fn has_too_many_fields(headers: &HeaderMap) -> bool {
    headers.len() > FIELDS && {
        let cookies = headers.get_all(COOKIE).iter().count();
        headers.len() - cookies.saturating_sub(1) > FIELDS
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.streams.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.streams.quiet.notify_one();
        }
    }
}
