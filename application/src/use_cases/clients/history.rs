//! The history of a client, and its state at an earlier moment.

use authlog_domain::client::RegisteredClient;
use authlog_domain::{ClientId, Timestamp};
use authlog_projections::{ClientRecord, client_after};

use crate::ports::{History, HistoryFilter, Moment, PastEvent, StoreError};
use crate::{Authlog, ClientRegistryRefusal, ReadsHistories, Refusal};

/// A page of a client's history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientHistoryPage {
    /// The events in their order.
    pub events: Vec<PastEvent>,
    /// The sequence of the last event that was examined, after which the next page begins; `None` on the last page.
    pub next: Option<u64>,
}

impl ClientHistoryPage {
    /// How many events are read from the store at a time. An event of a client may have 40 KiB, many times more than one of an
    /// account.
    pub const READ_AT_ONCE: u32 = 50;
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
        self.known_client(client).await?;
        let looks_at = u64::from(filter.looks_at(limit));
        let mut page = ClientHistoryPage::default();
        let (mut last, mut examined) = (after, 0);
        let mut events = self.events_of(client, after);
        while let Some(read) = events.next().await? {
            for past in read {
                if page.events.len() == limit as usize || examined == looks_at {
                    page.next = Some(last);
                    return Ok(page);
                }
                last = past.event.sequence;
                examined += 1;
                if filter.passes_event_of_client(&past) {
                    page.events.push(past);
                }
            }
        }
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
        self.known_client(client).await?;
        let Some(last) = self.last_event_of(client, moment).await? else {
            return Ok(ClientStateAt::NotYetRegistered);
        };
        let row = self.client_until(client, last.event.sequence).await?;
        Ok(ClientStateAt::Found(Box::new(ClientState {
            events: last.event.sequence,
            log_index: last.log_index,
            recorded_at: last.recorded_at,
            client: row.and_then(ClientRecord::registered),
            evaluated_at,
        })))
    }

    /// # Errors
    /// [`ClientRegistryRefusal::Unknown`] for a client without events, or [`Refusal::Unavailable`].
    async fn known_client(&self, client: &ClientId) -> Result<(), Refusal> {
        let first = self.parts.history.client_events(client, 0, 1).await?;
        if first.is_empty() {
            return Err(ClientRegistryRefusal::Unknown.into());
        }
        Ok(())
    }

    /// The last event up to the moment. If a clock was set back, events before it may have a later time; they had happened by
    /// then all the same.
    async fn last_event_of(
        &self,
        client: &ClientId,
        moment: Option<Moment>,
    ) -> Result<Option<PastEvent>, StoreError> {
        let belongs = |past: &PastEvent| match moment {
            None => true,
            Some(Moment::Index(index)) => past.log_index.is_some_and(|place| place <= index),
            Some(Moment::Instant(at)) => past.recorded_at <= at,
        };
        let mut last = None;
        let mut events = self.events_of(client, 0);
        while let Some(read) = events.next().await? {
            last = read.into_iter().rfind(belongs).or(last);
        }
        Ok(last)
    }

    /// The row of the client after its event with the sequence `last`.
    async fn client_until(
        &self,
        client: &ClientId,
        last: u64,
    ) -> Result<Option<ClientRecord>, StoreError> {
        let mut row = None;
        let mut events = self.events_of(client, 0);
        while let Some(read) = events.next().await? {
            let until = read.iter().take_while(|past| past.event.sequence <= last);
            row = client_after(row, until.map(|past| &past.event))
                .map_err(|error| StoreError::Unreadable(Box::new(error)))?;
            if read.last().is_some_and(|past| past.event.sequence >= last) {
                break;
            }
        }
        Ok(row)
    }

    fn events_of<'a>(&'a self, client: &'a ClientId, after: u64) -> EventsOfClient<'a> {
        EventsOfClient {
            history: &*self.parts.history,
            client,
            after: Some(after),
        }
    }
}

/// The events of a client after one of them, a few at a time.
struct EventsOfClient<'a> {
    history: &'a dyn History,
    client: &'a ClientId,
    /// The sequence after which to continue; `None` at the end.
    after: Option<u64>,
}

impl EventsOfClient<'_> {
    /// The next events; `None` if there are no more.
    async fn next(&mut self) -> Result<Option<Vec<PastEvent>>, StoreError> {
        let Some(after) = self.after else {
            return Ok(None);
        };
        let limit = ClientHistoryPage::READ_AT_ONCE;
        let events = self.history.client_events(self.client, after, limit);
        let events = events.await?;
        let is_full = events.len() == limit as usize;
        let last = events.last().map(|past| past.event.sequence);
        self.after = last.filter(|_| is_full);
        Ok(Some(events))
    }
}
