//! The history of a client, and its state at an earlier moment.

use authlog_domain::client::RegisteredClient;
use authlog_domain::{ClientId, Timestamp};
use authlog_projections::{ClientRecord, client};

use crate::ports::{HistoryFilter, Moment, PastEvent, StoreError};
use crate::{Authlog, ClientRegistryRefusal, ReadsHistories, Refusal};

/// Events that are read at a time.
const PAGE: u32 = 1000;

/// A page of a client's history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientHistoryPage {
    /// The events in their order.
    pub events: Vec<PastEvent>,
    /// The sequence of the last event that was examined, after which the next page begins; `None` on the last page.
    pub next: Option<u64>,
}

/// The state of a client at a moment: the fold of its events up to then, by the same fold as the read model.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientState {
    /// The number of these events.
    pub events: u64,
    /// The log index of the last of them, if it has one.
    pub log_index: Option<u64>,
    /// When the last of them was recorded.
    pub recorded_at: Timestamp,
    /// The client; `None` if it was removed.
    pub client: Option<RegisteredClient>,
    /// The requested instant, the recording time of the event at the requested index, or now.
    pub evaluated_at: Timestamp,
}

/// The result of a query for a moment.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientStateAt {
    /// The state of the client.
    Found(Box<ClientState>),
    /// The client was not registered yet.
    NotYetRegistered,
    /// The log ends at this index, before the requested one.
    LogEndsAt(u64),
    /// The instant is in the future.
    InTheFuture,
}

impl Authlog {
    /// Up to `limit` events of the client after the event with the sequence `after`. A client that was removed has a history.
    ///
    /// # Errors
    /// [`ClientRegistryRefusal::Unknown`], or [`Refusal::Unavailable`].
    pub async fn client_history(
        &self,
        _by: &impl ReadsHistories,
        client: &ClientId,
        after: u64,
        limit: u32,
        filter: &HistoryFilter,
    ) -> Result<ClientHistoryPage, Refusal> {
        let looks_at = filter.looks_at(limit);
        let history = &self.parts.history;
        let examined = history.client_events(client, after, looks_at).await?;
        if examined.is_empty() && history.client_events(client, 0, 1).await?.is_empty() {
            return Err(ClientRegistryRefusal::Unknown.into());
        }
        let is_last = examined.len() < looks_at as usize;
        let mut page = ClientHistoryPage::default();
        let mut last = None;
        for past in examined {
            if page.events.len() == limit as usize {
                page.next = last;
                return Ok(page);
            }
            last = Some(past.event.sequence);
            if filter.passes_event_of_client(&past) {
                page.events.push(past);
            }
        }
        page.next = last.filter(|_| !is_last);
        Ok(page)
    }

    /// The state of the client at `moment`, or now.
    ///
    /// # Errors
    /// As for [`Self::client_history`].
    pub async fn client_state_at(
        &self,
        _by: &impl ReadsHistories,
        client: &ClientId,
        moment: Option<Moment>,
    ) -> Result<ClientStateAt, Refusal> {
        let now = self.parts.clock.now();
        let evaluated_at = match moment {
            None => now,
            Some(Moment::Instant(at)) if at > now => return Ok(ClientStateAt::InTheFuture),
            Some(Moment::Instant(at)) => at,
            Some(Moment::Index(index)) => match self.recorded_at(index).await? {
                Ok(at) => at,
                Err(last) => return Ok(ClientStateAt::LogEndsAt(last)),
            },
        };
        let mut events = self.all_events_of(client).await?;
        if events.is_empty() {
            return Err(ClientRegistryRefusal::Unknown.into());
        }
        events.truncate(number_until(&events, moment));
        let Some(last) = events.last() else {
            return Ok(ClientStateAt::NotYetRegistered);
        };
        let row = client_after(&events)?;
        Ok(ClientStateAt::Found(Box::new(ClientState {
            events: events.len() as u64,
            log_index: last.log_index,
            recorded_at: last.recorded_at,
            client: row.and_then(ClientRecord::registered),
            evaluated_at,
        })))
    }

    async fn all_events_of(&self, client: &ClientId) -> Result<Vec<PastEvent>, StoreError> {
        let mut events: Vec<PastEvent> = Vec::new();
        loop {
            let after = events.last().map_or(0, |past| past.event.sequence);
            let page = self
                .parts
                .history
                .client_events(client, after, PAGE)
                .await?;
            let is_last = page.len() < PAGE as usize;
            events.extend(page);
            if is_last {
                return Ok(events);
            }
        }
    }
}

/// The number of events up to the moment. If a clock was set back, events before the last one may have a later time; they had
/// happened by then all the same.
fn number_until(events: &[PastEvent], moment: Option<Moment>) -> usize {
    let belongs = |past: &PastEvent| match moment {
        None => true,
        Some(Moment::Index(index)) => past.log_index.is_some_and(|place| place <= index),
        Some(Moment::Instant(at)) => past.recorded_at <= at,
    };
    events.iter().rposition(belongs).map_or(0, |last| last + 1)
}

fn client_after(events: &[PastEvent]) -> Result<Option<ClientRecord>, StoreError> {
    client(events.iter().map(|past| &past.event))
        .map_err(|error| StoreError::Unreadable(Box::new(error)))
}
