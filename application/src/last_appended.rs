//! The last event that a request has appended, for the header of its answer.
//!
//! It is a task-local value of the request's future, like its [`Deadline`](crate::Deadline). So what a request leaves to the
//! background, such as the record of a refused login, is not part of it: the header would show it in the answer to the login.

use std::cell::RefCell;

use crate::ports::{Appended, EventId};

tokio::task_local! {
    static LAST: RefCell<Option<LastAppended>>;
}

/// The last event that a request has appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastAppended {
    /// The event.
    pub event: EventId,
    /// Its log index, if the append has assigned it.
    pub log_index: Option<u64>,
}

impl LastAppended {
    /// Runs `work`. Also returns the last event that it has appended, if it has appended any.
    pub async fn by<F: Future>(work: F) -> (F::Output, Option<Self>) {
        let work = async { (work.await, LAST.with(RefCell::take)) };
        LAST.scope(RefCell::default(), work).await
    }

    /// Whether this task runs [`Self::by`].
    pub(crate) fn is_wanted() -> bool {
        LAST.try_with(|_| ()).is_ok()
    }

    /// Notes an event that this task has appended. Its index is higher than those of events that it has appended before.
    pub(crate) fn note(event: EventId, appended: Appended) {
        let noted = Self {
            event,
            log_index: appended.log_index,
        };
        let _ = LAST.try_with(|last| last.replace(Some(noted)));
    }
}

#[cfg(test)]
mod tests {
    use authlog_domain::AggregateKind;

    use super::*;
    use crate::ports::StreamId;

    fn event(sequence: u64) -> EventId {
        let stream = StreamId {
            kind: AggregateKind::Session,
            id: "session".to_owned(),
        };
        EventId { stream, sequence }
    }

    #[tokio::test]
    async fn the_last_event_counts_and_those_of_other_tasks_do_not() {
        assert!(!LastAppended::is_wanted());
        let ((), none) = LastAppended::by(async {}).await;
        assert_eq!(none, None);
        let (wanted, last) = LastAppended::by(async {
            for (sequence, log_index) in [(1, 7), (2, 9)] {
                let log_index = Some(log_index);
                LastAppended::note(event(sequence), Appended { log_index });
            }
            let background = tokio::spawn(async {
                LastAppended::note(event(3), Appended::default());
                LastAppended::is_wanted()
            });
            background.await.unwrap()
        })
        .await;
        assert!(!wanted);
        let last = last.unwrap();
        assert_eq!((last.event, last.log_index), (event(2), Some(9)));
    }
}
