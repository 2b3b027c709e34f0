//! Resources of a request that reads a page of an account's history or sessions.

use std::net::Ipv4Addr;
use std::time::Duration;

use authlog_application::RequestContext;
use authlog_domain::UserId;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::{problem, refused};
use crate::Api;
use crate::capacity::{Lease, NoPlace, PagePlace};
use crate::http::retry_later;

/// Memory of an entry while a page is read and serialised, in bytes.
const ENTRY: usize = 3072;

/// `Retry-After` of a request that found no place.
const AFTER_CROWDING: Duration = Duration::from_secs(1);

/// A place among the requests that read pages, and a lease for the memory of the page. Both are taken before the store
/// is queried.
pub(super) struct Page {
    _place: PagePlace,
    room: Lease,
}

impl Page {
    /// Takes the place for a request of `reader` that reads up to `entries` entries.
    ///
    /// # Errors
    /// The response to a request for which there is no place or no memory.
    pub async fn of(
        api: &Api,
        reader: UserId,
        entries: u32,
        context: &RequestContext,
    ) -> Result<Self, Response> {
        let place = api.capacity.pages.take(reader).await.map_err(crowded)?;
        let address = context.address.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let mut room = api.capacity.bytes.lease(address);
        room.grow_to(ENTRY.saturating_mul(entries as usize))
            .map_err(|_| no_room())?;
        Ok(Self {
            _place: place,
            room,
        })
    }

    /// Serialises the response. Its text stays charged to the budget until it is written; the place is free from now
    /// on.
    pub fn answer(self, out: &impl Serialize) -> Response {
        let Self { mut room, .. } = self;
        let text = match serde_json::to_vec(out) {
            Ok(text) => text,
            Err(error) => return refused(authlog_application::Refusal::Unavailable(error.into())),
        };
        room.shrink_to(text.len());
        let body = Bytes::from_owner(Charged { text, _room: room });
        ([(CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
    }
}

/// Text that is charged to the budget while it is in memory.
struct Charged {
    text: Vec<u8>,
    _room: Lease,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

fn crowded(reason: NoPlace) -> Response {
    let response = match reason {
        NoPlace::Account => problem(
            StatusCode::TOO_MANY_REQUESTS,
            "This account has reached its limit of concurrent requests for pages.",
        ),
        NoPlace::Node => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "This node has reached its limit of concurrent requests for pages.",
        ),
    };
    retry_later(response, AFTER_CROWDING)
}

fn no_room() -> Response {
    let response = problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "Too much is buffered for this client or for all clients together. Ask for a smaller page.",
    );
    retry_later(response, AFTER_CROWDING)
}
