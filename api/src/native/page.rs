//! Resources of a request that reads a page of a history or of an account's sessions.

use std::net::Ipv4Addr;
use std::time::Duration;

use authlog_application::{Actor, RequestContext};
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

/// As [`ENTRY`], for an event of a client: it may have sixty URIs of 512 characters and 8 KiB of keys, once as values and once
/// as text.
const EVENT_OF_CLIENT: usize = 80 * 1024;

/// A place among the requests that read pages, and a lease for the memory of the page. Both are taken before the store
/// is queried.
pub(crate) struct PageRoom {
    _place: PagePlace,
    room: Lease,
}

/// Why a request has to wait for its page.
#[derive(Clone, Copy)]
pub(crate) enum NoRoom {
    /// This account, this client or this node has its limit of concurrent requests.
    Place(NoPlace),
    /// Too much is buffered.
    Memory,
}

impl NoRoom {
    /// `Retry-After` of the response.
    pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

    /// The status of the response.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Place(NoPlace::Actor) => StatusCode::TOO_MANY_REQUESTS,
            Self::Place(NoPlace::Node) | Self::Memory => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl PageRoom {
    /// Takes the place for a request of `reader` that reads up to `entries` entries.
    ///
    /// # Errors
    /// There is no place or no memory.
    pub(crate) async fn take(
        api: &Api,
        reader: impl Into<Actor>,
        entries: u32,
        context: &RequestContext,
    ) -> Result<Self, NoRoom> {
        Self::take_bytes(api, reader, ENTRY.saturating_mul(entries as usize), context).await
    }

    async fn take_bytes(
        api: &Api,
        reader: impl Into<Actor>,
        bytes: usize,
        context: &RequestContext,
    ) -> Result<Self, NoRoom> {
        let place = api.capacity.pages.take(reader.into()).await;
        let place = place.map_err(NoRoom::Place)?;
        let address = context.address.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let mut room = api.capacity.bytes.lease(address);
        room.grow_to(bytes).map_err(|_| NoRoom::Memory)?;
        Ok(Self {
            _place: place,
            room,
        })
    }

    /// As [`Self::take`], with the response to a request that has to wait.
    pub(super) async fn of(
        api: &Api,
        reader: impl Into<Actor>,
        entries: u32,
        context: &RequestContext,
    ) -> Result<Self, Response> {
        let taken = Self::take(api, reader, entries, context).await;
        taken.map_err(crowded)
    }

    /// As [`Self::of`], for a request that reads up to `events` events of a client.
    pub(super) async fn of_client(
        api: &Api,
        reader: impl Into<Actor>,
        events: u32,
        context: &RequestContext,
    ) -> Result<Self, Response> {
        let bytes = EVENT_OF_CLIENT.saturating_mul(events as usize);
        let taken = Self::take_bytes(api, reader, bytes, context).await;
        taken.map_err(crowded)
    }

    /// Serialises the response. Its text stays charged to the budget until it is written; the place is free from now
    /// on.
    pub(super) fn answer(self, out: &impl Serialize) -> Response {
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

fn crowded(reason: NoRoom) -> Response {
    let detail = match reason {
        NoRoom::Place(NoPlace::Actor) => {
            "This account or client has reached its limit of concurrent requests for pages."
        }
        NoRoom::Place(NoPlace::Node) => {
            "This node has reached its limit of concurrent requests for pages."
        }
        NoRoom::Memory => {
            "Too much is buffered for this client or for all clients together. Ask for a smaller page."
        }
    };
    retry_later(problem(reason.status(), detail), NoRoom::RETRY_AFTER)
}
