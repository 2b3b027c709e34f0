//! One account's events and states, as both stores read them: all but the statements.

use authlog_application::ports::RecordedEvent;
use authlog_application::ports::{
    HistoryFilter, HistoryPage, Moment, PastEvent, PastState, StoreError,
};
use authlog_domain::{AggregateKind, Timestamp, UserId};
use authlog_projections::Replay;
use serde_json::json;

use crate::sealing::{SubjectKey, open_metadata, open_payload};
use crate::store::{WrappedKeys, unreadable};

/// Events that a replay reads at a time: a megabyte or two. Other reads have their turn between two pages.
const PAGE: u32 = 1000;

/// Reads stored events of one account.
pub(crate) trait SealedHistory: WrappedKeys {
    /// As [`History::history`](authlog_application::ports::History::history), with the events as they are stored. All that
    /// is on a page is of one moment: no event can get its place while the page is read and be missed.
    fn sealed_history(
        &self,
        user: UserId,
        after: u64,
        limit: u32,
        filter: &HistoryFilter,
    ) -> impl Future<Output = Result<HistoryPage, StoreError>> + Send;

    /// The master key's answer to a wrapped key.
    fn unwrap_key(&self, user: UserId, wrapped: &[u8]) -> Result<SubjectKey, StoreError>;

    /// The key of `user`, as the store has it now: what is remembered in memory could have been erased since.
    fn current_key(
        &self,
        user: UserId,
    ) -> impl Future<Output = Result<Option<SubjectKey>, StoreError>> + Send {
        async move {
            let wrapped = self.wrapped_key(user).await?;
            wrapped
                .map(|wrapped| self.unwrap_key(user, &wrapped))
                .transpose()
        }
    }
}

/// A page with its personal fields opened.
pub(crate) async fn opened_history(
    store: &impl SealedHistory,
    user: UserId,
    after: u64,
    limit: u32,
    filter: &HistoryFilter,
) -> Result<HistoryPage, StoreError> {
    let HistoryPage { events, next } = store.sealed_history(user, after, limit, filter).await?;
    let events = opened(store, user, events).await?;
    Ok(HistoryPage { events, next })
}

/// Events of one account with their personal fields opened.
pub(crate) async fn opened(
    store: &impl SealedHistory,
    user: UserId,
    mut events: Vec<PastEvent>,
) -> Result<Vec<PastEvent>, StoreError> {
    let key = store.current_key(user).await?;
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

/// Shows an event that this program cannot read as one of which only the name is known: it does not hide the others.
pub(crate) fn make_unreadable(event: &mut RecordedEvent) {
    event.payload = json!({ "unreadable": true });
    event.metadata = json!({});
}

fn open(event: &mut RecordedEvent, key: Option<&SubjectKey>) -> Result<(), StoreError> {
    match AggregateKind::from_stored(&event.aggregate_type) {
        Some(kind) => open_payload(kind, event, key).map_err(unreadable),
        // A newer program wrote it; what it seals stays sealed.
        None => Ok(()),
    }
}

/// The account at a moment, by replay.
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
    let key = store.current_key(user).await?;
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

/// How many of the account's events, in order of the log, there are up to the last one that was recorded by `at`. Where a
/// clock was set back, events that were recorded "later" come before it: they had happened, or it could not have.
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
