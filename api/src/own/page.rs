//! A page of what happened to an account, or of its sessions: what reading it may take of the node.

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
use crate::exchange::retry_later;

/// What an entry takes in memory while a page is read and made an answer of, in bytes.
const ENTRY: usize = 3072;

/// When it is worth asking for a place again.
const AFTER_CROWDING: Duration = Duration::from_secs(1);

/// A place among those who read pages, and room for the page. It is taken before the store is asked.
pub(super) struct Page {
    _place: PagePlace,
    room: Lease,
}

impl Page {
    /// Takes the place for a request of `reader`, for so many entries.
    ///
    /// # Errors
    /// The answer to a request for which there is no place or no room.
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

    /// The answer. Its text keeps the room that it takes until it is written; the place is free from now on.
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

/// Text that is taken from the budget for as long as it is in memory.
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
            "This account already reads as many pages at once as one account may.",
        ),
        NoPlace::Node => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "As many pages as this node reads at once are being read.",
        ),
    };
    retry_later(response, AFTER_CROWDING)
}

fn no_room() -> Response {
    let response = problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "Too much is buffered for you, or for all clients together: ask for a smaller page.",
    );
    retry_later(response, AFTER_CROWDING)
}
