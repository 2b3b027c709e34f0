//! The history of one account, and its state at a moment: the part that both stores share.

use authlog_application::ports::RecordedEvent;
use authlog_application::ports::{
    HistoryFilter, HistoryPage, Moment, PastEvent, PastState, StoreError,
};
use authlog_domain::{AggregateKind, ClientId, SessionId, Timestamp, UserId};
use authlog_projections::Replay;
use serde_json::json;

use crate::sealing::{SubjectKey, open_metadata, open_payload};
use crate::store::{KeyVault, WrappedKeys, unreadable};

/// The number of events that a replay reads at a time: a megabyte or two. Other reads run between two pages.
const PAGE: u32 = 1000;

/// What a store must provide so that [`impl_history`] can implement [`History`](authlog_application::ports::History).
pub(crate) trait SealedHistory: WrappedKeys + Sized {
    /// [`History::history`](authlog_application::ports::History::history) with events as they are stored. A page is read
    /// in one snapshot, so that it misses no event that gets its log index meanwhile.
    fn sealed_history(
        &self,
        user: UserId,
        after: u64,
        limit: u32,
        filter: &HistoryFilter,
    ) -> impl Future<Output = Result<HistoryPage, StoreError>> + Send;

    /// [`History::origins`](authlog_application::ports::History::origins) with events as they are stored.
    fn sealed_origins(
        &self,
        user: UserId,
        sessions: &[SessionId],
    ) -> impl Future<Output = Result<Vec<PastEvent>, StoreError>> + Send;

    /// [`History::client_events`](authlog_application::ports::History::client_events). Nothing in them is sealed.
    fn events_of_client(
        &self,
        client: &ClientId,
        after: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<PastEvent>, StoreError>> + Send;

    /// The keys of the store.
    fn vault(&self) -> &KeyVault;
}

/// Implements [`History`](authlog_application::ports::History) for a type that implements [`SealedHistory`]. It is a macro
/// because a blanket implementation of a trait from another crate is not allowed.
macro_rules! impl_history {
    ($store:ty) => {
        #[async_trait::async_trait]
        impl authlog_application::ports::History for $store {
            async fn history(
                &self,
                user: authlog_domain::UserId,
                after: u64,
                limit: u32,
                filter: &authlog_application::ports::HistoryFilter,
            ) -> Result<
                authlog_application::ports::HistoryPage,
                authlog_application::ports::StoreError,
            > {
                crate::history::history(self, user, after, limit, filter).await
            }

            async fn origins(
                &self,
                user: authlog_domain::UserId,
                sessions: &[authlog_domain::SessionId],
            ) -> Result<
                Vec<authlog_application::ports::PastEvent>,
                authlog_application::ports::StoreError,
            > {
                crate::history::origins(self, user, sessions).await
            }

            async fn client_events(
                &self,
                client: &authlog_domain::ClientId,
                after: u64,
                limit: u32,
            ) -> Result<
                Vec<authlog_application::ports::PastEvent>,
                authlog_application::ports::StoreError,
            > {
                crate::history::SealedHistory::events_of_client(self, client, after, limit).await
            }

            async fn state_at(
                &self,
                user: authlog_domain::UserId,
                moment: Option<authlog_application::ports::Moment>,
            ) -> Result<
                authlog_application::ports::PastState,
                authlog_application::ports::StoreError,
            > {
                crate::history::state_at(self, user, moment).await
            }
        }
    };
}
pub(crate) use impl_history;

/// A page with its personal fields opened.
pub(crate) async fn history(
    store: &impl SealedHistory,
    user: UserId,
    after: u64,
    limit: u32,
    filter: &HistoryFilter,
) -> Result<HistoryPage, StoreError> {
    let page = if filter.below.is_some() {
        let looks_at = filter.looks_at(limit);
        let page = store.sealed_history(user, after, looks_at, filter).await?;
        below(page, limit as usize, filter)
    } else {
        store.sealed_history(user, after, limit, filter).await?
    };
    let HistoryPage { events, next } = page;
    let events = opened(store, user, events).await?;
    Ok(HistoryPage { events, next })
}

/// Up to `limit` events of the page whose actors were below a level. The level is in the metadata, which is not sealed. Events
/// without a log index are never cut off, because the next page cannot begin after one of them.
fn below(page: HistoryPage, limit: usize, filter: &HistoryFilter) -> HistoryPage {
    let HistoryPage {
        mut events,
        mut next,
    } = page;
    events.retain(|past| filter.passes_level(&past.event));
    if events.len() > limit
        && let Some(index) = events
            .get(limit.saturating_sub(1))
            .and_then(|it| it.log_index)
    {
        events.truncate(limit);
        next = Some(index);
    }
    HistoryPage { events, next }
}

/// The first events of sessions with their personal fields opened.
pub(crate) async fn origins(
    store: &impl SealedHistory,
    user: UserId,
    sessions: &[SessionId],
) -> Result<Vec<PastEvent>, StoreError> {
    let events = store.sealed_origins(user, sessions).await?;
    opened(store, user, events).await
}

/// Events of one account with their personal fields opened.
async fn opened(
    store: &impl SealedHistory,
    user: UserId,
    mut events: Vec<PastEvent>,
) -> Result<Vec<PastEvent>, StoreError> {
    let key = store.vault().subject_key(user, store).await?;
    for past in &mut events {
        let opened = open(&mut past.event, key.as_ref())
            .and_then(|()| open_metadata(&mut past.event, key.as_ref()).map_err(unreadable));
        if let Err(error) = opened {
            tracing::error!(%error, log_index = past.log_index, "an event of an account's history cannot be decrypted; run `authlog doctor`");
            make_unreadable(&mut past.event);
        }
    }
    Ok(events)
}

/// Shows an event that this program cannot read by its name only, so that it does not hide the others.
pub(crate) fn make_unreadable(event: &mut RecordedEvent) {
    event.payload = json!({ "unreadable": true });
    event.metadata = json!({});
}

fn open(event: &mut RecordedEvent, key: Option<&SubjectKey>) -> Result<(), StoreError> {
    match AggregateKind::from_stored(&event.aggregate_type) {
        Some(kind) => open_payload(kind, event, key).map_err(unreadable),
        // A newer program wrote it. Its sealed fields stay sealed.
        None => Ok(()),
    }
}

/// The state of the account at a moment, by replay.
pub(crate) async fn state_at(
    store: &impl SealedHistory,
    user: UserId,
    moment: Option<Moment>,
) -> Result<PastState, StoreError> {
    let last = match moment {
        None => u64::MAX,
        Some(Moment::Instant(at)) => events_by(store, user, at).await?,
        Some(Moment::Index(_)) => u64::MAX,
    };
    let belongs = |past: &PastEvent| match moment {
        Some(Moment::Index(index)) => past.log_index.is_some_and(|place| place <= index),
        _ => true,
    };
    let key = store.vault().subject_key(user, store).await?;
    let (mut replay, mut state) = (Replay::default(), PastState::default());
    let mut pages = Pages::of(store, user);
    'pages: while let Some(events) = pages.next().await? {
        for mut past in events {
            if state.events == last || !belongs(&past) {
                break 'pages;
            }
            open(&mut past.event, key.as_ref())?;
            replay.apply(&past.event).map_err(unreadable)?;
            state.events += 1;
            state.log_index = past.log_index;
            state.recorded_at = Some(past.recorded_at);
        }
    }
    (state.account, state.sessions) = replay.finish();
    Ok(state)
}

/// The number of the account's events, in order of the log, up to the last one that was recorded by `at`. If a clock
/// was set back, events before it may have a later time; they had happened by then all the same.
async fn events_by(
    store: &impl SealedHistory,
    user: UserId,
    at: Timestamp,
) -> Result<u64, StoreError> {
    let (mut seen, mut last) = (0, 0);
    let mut pages = Pages::of(store, user);
    while let Some(events) = pages.next().await? {
        for past in events {
            seen += 1;
            if past.recorded_at <= at {
                last = seen;
            }
        }
    }
    Ok(last)
}

/// All of an account's events, page by page.
struct Pages<'a, S> {
    store: &'a S,
    user: UserId,
    after: Option<u64>,
}

impl<'a, S: SealedHistory> Pages<'a, S> {
    fn of(store: &'a S, user: UserId) -> Self {
        let after = Some(0);
        Self { store, user, after }
    }

    async fn next(&mut self) -> Result<Option<Vec<PastEvent>>, StoreError> {
        let Some(after) = self.after else {
            return Ok(None);
        };
        let everything = HistoryFilter::default();
        let page = self
            .store
            .sealed_history(self.user, after, PAGE, &everything)
            .await?;
        self.after = page.next;
        Ok(Some(page.events))
    }
}
