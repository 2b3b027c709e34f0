//! Request bodies: received within bounds, then parsed as JSON.

use std::future::ready;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;

use authlog_application::RequestContext;
use axum::Extension;
use axum::RequestExt as _;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http_body_util::{BodyExt, Collected};
use serde::de::DeserializeOwned;

use super::{RequestError, Surface};
use crate::Api;
use crate::capacity::{ByteBudget, Lease};
use crate::poll_twice::poll_twice;

/// Bytes that a request head may occupy while its body arrives, without a lease from the byte budget. Few heads are
/// longer.
const SHORT_HEAD: usize = 4 * 1024;

/// Header fields that are not charged individually. Requests of browsers through proxies seldom have more.
const FEW_FIELDS: usize = 32;

/// Memory of a header field in addition to its name and its value: its entry in a map that doubles when it is full.
const FIELD_OVERHEAD: usize = 128;

/// The first buffer, in bytes, for a body that arrives in pieces. Most bodies are shorter.
const FIRST_ROOM: usize = 4 * 1024;

/// How much of a body is read off the connection, as a multiple of the body limit. A client that is still sending when
/// the connection closes may never see the response.
const DRAINED: u64 = 64;

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A JSON object in the request body. Any other body is answered in the format of the surface.
pub(crate) struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for JsonBody<T> {
    type Rejection = Response;

    async fn from_request(mut request: Request, api: &Arc<Api>) -> Result<Self, Response> {
        let surface = request.extract_parts::<Extension<&'static Surface>>().await;
        let Extension(surface) = surface.map_err(|missing| missing.into_response())?;
        read_body(request, "application/json")
            .await
            .and_then(|bytes| parse_object(&bytes))
            .map(Self)
            .map_err(|failure| surface.fail(failure, api.now()))
    }
}

/// Returns `request` once its body has arrived, even if no handler will read it. A response that is sent before the
/// body has arrived costs the client its connection, on which only the rest of that body could be read.
///
/// # Errors
/// The body was incomplete or too slow, and an incomplete request must not be processed (RFC 9112 §8); or too much is
/// buffered for its client or for all clients. A body over the limit is not an error here but where it is read, because
/// its path may not exist.
pub(super) async fn with_body_arrived(
    request: Request,
    api: &Api,
) -> Result<Request, RequestError> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let body = match arriving(&parts, body, api).await {
        Ok(bytes) => Body::from(bytes),
        Err(RequestError::BodyTooLarge) => too_large(),
        Err(failure) => return Err(failure),
    };
    Ok(Request::from_parts(parts, body))
}

/// Receives the body of a request. A body that is already complete needs neither a timer nor a lease.
async fn arriving(parts: &Parts, body: Body, api: &Api) -> Result<Bytes, RequestError> {
    let settings = &api.settings;
    let mut room = BodyRoom {
        parts,
        budget: &api.capacity.bytes,
        lease: None,
    };
    let mut reading = pin!(read_bounded(body, settings.body_limit, &mut room));
    if let Some(read) = poll_twice(&mut reading).await {
        return read;
    }
    let mut head = None;
    let size = size_of_head(parts);
    if size > SHORT_HEAD {
        let lease = head.insert(api.capacity.bytes.lease(client_of(parts)));
        lease
            .grow_to(size)
            .map_err(|_| RequestError::LimitExceeded)?;
    }
    let read = tokio::time::timeout(settings.request_timeout, reading).await;
    read.unwrap_or(Err(RequestError::BodyTooSlow))
}

/// The buffer of a body that arrives in pieces.
struct BodyRoom<'a> {
    parts: &'a Parts,
    budget: &'a Arc<ByteBudget>,
    lease: Option<Lease>,
}

impl BodyRoom<'_> {
    /// Extends the lease to `bytes`.
    fn grow_to(&mut self, bytes: usize) -> Result<(), RequestError> {
        let Self { parts, budget, .. } = *self;
        let lease = self
            .lease
            .get_or_insert_with(|| budget.lease(client_of(parts)));
        lease
            .grow_to(bytes)
            .map_err(|_| RequestError::LimitExceeded)
    }
}

/// Memory of a request head, in bytes. Nearly all of it may be overhead.
fn size_of_head(parts: &Parts) -> usize {
    let fields = parts.headers.iter();
    let lengths = fields.map(|(name, value)| name.as_str().len() + value.len());
    let target = parts.uri.path_and_query();
    lengths.sum::<usize>()
        + parts.headers.len().saturating_sub(FEW_FIELDS) * FIELD_OVERHEAD
        + target.map_or(0, |target| target.as_str().len())
}

fn client_of(parts: &Parts) -> IpAddr {
    let context = parts.extensions.get::<RequestContext>();
    let address = context.and_then(|context| context.address);
    address.unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}

/// A body whose first frame is an error.
fn too_large() -> Body {
    Body::from_stream(stream::once(ready(Err::<Bytes, _>(
        "the body is too large",
    ))))
}

async fn read_bounded(
    mut body: Body,
    limit: usize,
    space: &mut BodyRoom<'_>,
) -> Result<Bytes, RequestError> {
    let limit = limit as u64;
    if body.size_hint().lower() > limit * DRAINED {
        return Err(RequestError::BodyTooLarge);
    }
    let (mut bytes, mut length) = (Vec::new(), 0_u64);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| RequestError::UnreadableBody)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len() as u64;
        if length <= limit {
            // Most bodies arrive in one piece, which is not copied.
            if bytes.is_empty() && body.is_end_stream() {
                return Ok(data);
            }
            let needed = bytes.len() + data.len();
            if needed > bytes.capacity() {
                let room = needed.next_power_of_two().max(FIRST_ROOM);
                space.grow_to(room)?;
                bytes.reserve_exact(room - bytes.len());
            }
            bytes.extend_from_slice(&data);
        } else if length > limit * DRAINED {
            break;
        }
    }
    if length > limit {
        return Err(RequestError::BodyTooLarge);
    }
    Ok(bytes.into())
}

/// Reads a body of this media type.
///
/// # Errors
/// The body has another media type, has a content coding, or is too large.
pub(crate) async fn read_body(request: Request, media_type: &str) -> Result<Bytes, RequestError> {
    if !is_of_type(request.headers(), media_type) {
        return Err(RequestError::WrongMediaType);
    }
    if is_encoded(request.headers()) {
        return Err(RequestError::EncodedBody);
    }
    let body = request.into_body().collect().await;
    body.map(Collected::to_bytes)
        .map_err(|_| RequestError::BodyTooLarge)
}

/// Whether `Content-Type` names this media type, with any parameters.
fn is_of_type(headers: &HeaderMap, media_type: &str) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(media_type))
}

/// Whether the body has a content coding. No body here is long enough for that to pay.
fn is_encoded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Parses a JSON object. A byte order mark before it is ignored (RFC 8259 §8.1), because some clients on Windows write
/// one.
///
/// # Errors
/// The text is not a JSON object, or its fields do not fit `T`.
pub(crate) fn parse_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RequestError> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    // serde would accept an array for a struct, element by element.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(RequestError::UnreadableBody);
    }
    serde_json::from_slice(bytes).map_err(|_| RequestError::UnreadableBody)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::JsonField;
    use axum::http::HeaderValue;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct NameIn {
        #[serde(default)]
        name: JsonField,
    }

    #[test]
    fn unknown_fields_of_an_object_are_ignored() {
        let json = br#" {"name": "Jo", "more": {"big": 1e9999, "deep": [[[]]]}} "#;
        let read: NameIn = parse_object(json).unwrap();
        assert_eq!(read.name.text(), Some("Jo"));
        assert!(!parse_object::<NameIn>(b"{}").unwrap().name.was_sent());
    }

    #[test]
    fn one_byte_order_mark_is_ignored() {
        let read: NameIn = parse_object("\u{feff} {\"name\": \"Jo\"}".as_bytes()).unwrap();
        assert_eq!(read.name.text(), Some("Jo"));
        for text in ["\u{feff}", "\u{feff}\u{feff}{}", " \u{feff}{}"] {
            assert!(parse_object::<NameIn>(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_content_coding_is_recognised() {
        for (codings, is_coded) in [
            (&[][..], false),
            (&["identity"], false),
            (&["Identity"], false),
            (&["gzip"], true),
            (&["identity", "br"], true),
            (&["gzip, identity"], true),
            (&[""], true),
        ] {
            let headers = codings
                .iter()
                .map(|coding| (CONTENT_ENCODING, HeaderValue::from_static(coding)));
            assert_eq!(is_encoded(&headers.collect()), is_coded, "{codings:?}");
        }
    }

    #[test]
    fn anything_but_a_json_object_is_refused() {
        let deep = format!(r#"{{"name": {}"#, "[".repeat(60_000));
        for json in [
            &b""[..],
            b"null",
            b"[\"Jo\"]",
            b"\"Jo\"",
            b"{",
            b"{} {}",
            b"name=Jo",
            b"{\"name\": \"\xff\"}",
            br#"{"name": "\ud800"}"#,
            br#"{"name": 1e9999}"#,
            br#"{"name": "Jo", "name": "Al"}"#,
            deep.as_bytes(),
        ] {
            assert!(
                parse_object::<NameIn>(json).is_err(),
                "{}",
                String::from_utf8_lossy(json)
            );
        }
    }

    #[test]
    fn a_media_type_is_compared_without_its_parameters() {
        for (value, is_json) in [
            ("application/json", true),
            ("Application/JSON ; charset=utf-8", true),
            ("application/jsonp", false),
            ("text/plain", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(is_of_type(&headers, "application/json"), is_json, "{value}");
        }
        assert!(!is_of_type(&HeaderMap::new(), "application/json"));
    }

    async fn read(body: Body, limit: usize) -> Result<Bytes, RequestError> {
        read_with(body, limit, 1 << 20).await
    }

    async fn read_with(body: Body, limit: usize, budget: usize) -> Result<Bytes, RequestError> {
        let (parts, ()) = axum::http::Request::new(()).into_parts();
        let budget = Arc::new(ByteBudget::of(budget));
        let mut room = BodyRoom {
            parts: &parts,
            budget: &budget,
            lease: None,
        };
        read_bounded(body, limit, &mut room).await
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_refused_when_its_budget_is_used_up() {
        // A client may have a quarter of the budget.
        for (budget, length, expected) in [
            (80_000, 16_384, Ok(16_384)),
            (80_000, 16_385, Err(RequestError::LimitExceeded)),
            // A body in one piece needs no buffer.
            (0, 1, Ok(1)),
        ] {
            let pieces = vec![b' '; length];
            let pieces = pieces.chunks(1000).map(Bytes::copy_from_slice);
            let frames: Vec<_> = pieces.map(Ok::<_, axum::Error>).collect();
            let body = match <[_; 1]>::try_from(frames) {
                Ok([whole]) => Body::from(whole.unwrap()),
                Err(frames) => Body::from_stream(stream::iter(frames)),
            };
            let read = read_with(body, 65_536, budget).await;
            assert_eq!(read.map(|bytes| bytes.len()), expected, "{length}");
        }
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_refused() {
        for (length, fits) in [(0, true), (8, true), (9, false), (1000, false)] {
            let body = Body::from(vec![b' '; length]);
            assert_eq!(read(body, 8).await.is_ok(), fits, "{length}");
        }
    }

    #[tokio::test]
    async fn pieces_of_a_body_are_joined_up_to_the_limit() {
        for (pieces, whole) in [
            (&[][..], Some("")),
            (&["1234"][..], Some("1234")),
            (&["1234", "5678"][..], Some("12345678")),
            (&["", "1234", ""][..], Some("1234")),
            (&["1234", "5678", "9"][..], None),
        ] {
            let frames = pieces.iter().copied().map(Ok::<_, axum::Error>);
            let read = read(Body::from_stream(stream::iter(frames)), 8).await;
            assert_eq!(read.ok().as_deref(), whole.map(str::as_bytes), "{pieces:?}");
        }
    }
}
