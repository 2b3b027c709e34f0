//! Request bodies: taken in within bounds, then read as JSON.

use std::future::ready;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;

use authlog_application::RequestContext;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::Response;
use futures_util::stream;
use http_body_util::{BodyExt, Collected};
use serde::de::DeserializeOwned;

use super::{Failure, Surface};
use crate::Api;
use crate::at_once::at_once;
use crate::capacity::{ByteBudget, Lease};

/// As much of a head as a request may keep while its body arrives without asking the budget: few heads are longer.
const SHORT_HEAD: usize = 4 * 1024;

/// A head may have this many fields before their number counts: requests of browsers through proxies seldom have more.
const FEW_FIELDS: usize = 32;

/// What a field costs in memory besides its name and its value: its entry in a map that doubles when it is full.
const FIELD_OVERHEAD: usize = 128;

/// A body that comes in pieces gets this much room at first; most are shorter.
const FIRST_ROOM: usize = 4 * 1024;

/// How much of a body is taken off the wire, as a multiple of what is read: a client that is still writing when the
/// connection closes may never see why.
const DRAINED: u64 = 64;

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A JSON object that the client sent. Where it sent anything else, the surface says so.
pub(crate) struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for JsonBody<T> {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Response> {
        let surface = Surface::of(request.uri().path());
        read_body(request, "application/json")
            .await
            .and_then(|bytes| parse_object(&bytes))
            .map(Self)
            .map_err(|failure| surface.fail(failure, api.now()))
    }
}

/// `request` once its body has come, whether anybody will read it or not: answered before, it would cost the client its
/// connection, through which nothing could be read but the rest of that body.
///
/// # Errors
/// The body was broken off or took too long: a request that is not whole is not carried out (RFC 9112 §8). Or its client,
/// or all of them, have too much buffered here. A body that is too large is not refused here but where it is read: there
/// may be nothing at the path it was sent to.
pub(super) async fn with_body_arrived(request: Request, api: &Api) -> Result<Request, Failure> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let body = match arriving(&parts, body, api).await {
        Ok(bytes) => Body::from(bytes),
        Err(Failure::BodyTooLarge) => too_large(),
        Err(failure) => return Err(failure),
    };
    Ok(Request::from_parts(parts, body))
}

/// The body of a request with such a head, once it has come. One that is there already costs no timer and no lease.
async fn arriving(parts: &Parts, body: Body, api: &Api) -> Result<Bytes, Failure> {
    let settings = &api.settings;
    let mut room = BodyRoom {
        parts,
        budget: &api.capacity.bytes,
        lease: None,
    };
    let mut reading = pin!(read_bounded(body, settings.body_limit, &mut room));
    if let Some(read) = at_once(&mut reading).await {
        return read;
    }
    let mut head = None;
    let size = size_of_head(parts);
    if size > SHORT_HEAD {
        let lease = head.insert(api.capacity.bytes.lease(client_of(parts)));
        lease.grow_to(size).map_err(|_| Failure::Crowded)?;
    }
    let read = tokio::time::timeout(settings.request_timeout, reading).await;
    read.unwrap_or(Err(Failure::BodyTooSlow))
}

/// The room for a body that comes in pieces.
struct BodyRoom<'a> {
    parts: &'a Parts,
    budget: &'a Arc<ByteBudget>,
    lease: Option<Lease>,
}

impl BodyRoom<'_> {
    /// Takes room for so many bytes from the budget.
    fn grow_to(&mut self, bytes: usize) -> Result<(), Failure> {
        let Self { parts, budget, .. } = *self;
        let lease = self
            .lease
            .get_or_insert_with(|| budget.lease(client_of(parts)));
        lease.grow_to(bytes).map_err(|_| Failure::Crowded)
    }
}

/// What the head keeps in memory, in bytes: nearly nothing of it may be text.
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

/// A body that cannot be read.
fn too_large() -> Body {
    Body::from_stream(stream::once(ready(Err::<Bytes, _>(
        "the body is too large",
    ))))
}

async fn read_bounded(
    mut body: Body,
    limit: usize,
    space: &mut BodyRoom<'_>,
) -> Result<Bytes, Failure> {
    let limit = limit as u64;
    if body.size_hint().lower() > limit * DRAINED {
        return Err(Failure::BodyTooLarge);
    }
    let (mut bytes, mut length) = (Vec::new(), 0_u64);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::UnreadableBody)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len() as u64;
        if length <= limit {
            // What came in one piece, as most does, is not copied.
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
        return Err(Failure::BodyTooLarge);
    }
    Ok(bytes.into())
}

/// The bytes of a body of that media type.
///
/// # Errors
/// It is of another type, encoded, or too large.
pub(crate) async fn read_body(request: Request, media_type: &str) -> Result<Bytes, Failure> {
    if !is_of_type(request.headers(), media_type) {
        return Err(Failure::WrongMediaType);
    }
    if is_encoded(request.headers()) {
        return Err(Failure::EncodedBody);
    }
    let body = request.into_body().collect().await;
    body.map(Collected::to_bytes)
        .map_err(|_| Failure::BodyTooLarge)
}

/// Whether the body says that it is of that type, with whatever parameters.
fn is_of_type(headers: &HeaderMap, media_type: &str) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(media_type))
}

/// Whether the body is compressed, or encoded in another way. No body here is long enough to be worth that.
fn is_encoded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Reads an object. A byte order mark before it is passed over (RFC 8259 §8.1): some clients on Windows write one.
///
/// # Errors
/// It is none, or not of that form.
pub(crate) fn parse_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    // serde would take an array for a struct, member by member.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Failure::UnreadableBody);
    }
    serde_json::from_slice(bytes).map_err(|_| Failure::UnreadableBody)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Member;
    use axum::http::HeaderValue;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct NameIn {
        #[serde(default)]
        name: Member,
    }

    #[test]
    fn an_object_is_read_and_unknown_members_are_passed_over() {
        let json = br#" {"name": "Jo", "more": {"big": 1e9999, "deep": [[[]]]}} "#;
        let read: NameIn = parse_object(json).unwrap();
        assert_eq!(read.name.text(), Some("Jo"));
        assert!(!parse_object::<NameIn>(b"{}").unwrap().name.was_sent());
    }

    #[test]
    fn one_byte_order_mark_is_passed_over() {
        let read: NameIn = parse_object("\u{feff} {\"name\": \"Jo\"}".as_bytes()).unwrap();
        assert_eq!(read.name.text(), Some("Jo"));
        for text in ["\u{feff}", "\u{feff}\u{feff}{}", " \u{feff}{}"] {
            assert!(parse_object::<NameIn>(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_body_in_a_content_coding_is_recognised() {
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
    fn whatever_is_no_object_is_refused() {
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

    async fn read(body: Body, limit: usize) -> Result<Bytes, Failure> {
        read_with(body, limit, 1 << 20).await
    }

    async fn read_with(body: Body, limit: usize, budget: usize) -> Result<Bytes, Failure> {
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
    async fn a_body_that_comes_in_pieces_is_refused_where_there_is_no_room_for_it() {
        // A client may have a quarter of the budget.
        for (budget, length, expected) in [
            (80_000, 16_384, Ok(16_384)),
            (80_000, 16_385, Err(Failure::Crowded)),
            // One whole piece is there already and takes no room.
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
    async fn a_body_is_its_pieces_together_as_far_as_the_limit() {
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
