//! Rebuilding the read models from the log.

use std::pin::pin;

use futures_util::stream::{TryStreamExt as _, try_unfold};

use authlog_domain::Timestamp;

use crate::Refusal;
use crate::ports::{Clock, Rebuild, StoreError, StreamRange};

/// About how many events one step reads: few enough for short locks and little memory, and enough to keep the cost per
/// event low.
const STEP: u32 = 2000;

/// The number of concurrent steps: the events of one step are read while the rows of another are written. More would slow
/// down requests.
const CONCURRENT_STEPS: usize = 3;

/// The progress of a rebuild.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RebuildProgress {
    /// Streams whose rows have been rewritten.
    pub done: u64,
    /// The number of streams when the rebuild began. More may have been added since.
    pub total: u64,
    /// Removed rows of aggregates that have no events.
    pub removed: u64,
}

/// Rewrites every row of the read models while the service is running, and reports after each step.
///
/// # Errors
/// The store does not answer, or an event cannot be read. Finished steps stay valid, and a restart is safe.
pub async fn rebuild_read_models(
    store: &dyn Rebuild,
    clock: &dyn Clock,
    mut report: impl FnMut(RebuildProgress) + Send,
) -> Result<RebuildProgress, Refusal> {
    let mut progress = RebuildProgress {
        total: store.count_streams().await?,
        ..RebuildProgress::default()
    };
    report(progress);
    let stretches = try_unfold(None, |reached| async move {
        let stretch = store.range_after(reached.as_ref(), STEP).await?;
        Ok::<_, StoreError>(stretch.map(|it| (it.clone(), Some(it.end()))))
    });
    let rebuilt = stretches
        .map_ok(|stretch| rebuild(store, stretch, clock.now()))
        .try_buffer_unordered(CONCURRENT_STEPS);
    let mut rebuilt = pin!(rebuilt);
    while let Some(streams) = rebuilt.try_next().await? {
        progress.done += streams;
        report(progress);
    }
    progress.removed = store.remove_orphans().await?;
    report(progress);
    Ok(progress)
}

/// Rewrites the rows of these streams. Returns the number of streams.
async fn rebuild(
    store: &dyn Rebuild,
    stretch: StreamRange,
    now: Timestamp,
) -> Result<u64, StoreError> {
    store.rebuild(&stretch, now).await?;
    Ok(stretch.streams)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use authlog_domain::AggregateKind;
    use tokio::sync::Barrier;

    use super::*;
    use crate::ports::StreamId;

    /// A store with the streams `1`, `2` and so on, one per step. A step finishes only when as many steps wait as the barrier
    /// requires.
    struct Slow {
        streams: u64,
        together: Barrier,
        broken: Option<&'static str>,
    }

    struct Epoch;

    impl Clock for Epoch {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_millis(0)
        }
    }

    #[async_trait]
    impl Rebuild for Slow {
        async fn count_streams(&self) -> Result<u64, StoreError> {
            Ok(self.streams)
        }

        async fn range_after(
            &self,
            after: Option<&StreamId>,
            _events: u32,
        ) -> Result<Option<StreamRange>, StoreError> {
            let after = after.map_or("0", |it| it.id.as_str()).to_owned();
            let next = after.parse::<u64>().unwrap_or_default() + 1;
            Ok((next <= self.streams).then(|| StreamRange {
                kind: AggregateKind::User,
                after,
                last: next.to_string(),
                streams: 1,
            }))
        }

        async fn rebuild(&self, stretch: &StreamRange, _: Timestamp) -> Result<(), StoreError> {
            if self.broken == Some(stretch.last.as_str()) {
                return Err(StoreError::Unavailable("broken".into()));
            }
            self.together.wait().await;
            Ok(())
        }

        async fn remove_orphans(&self) -> Result<u64, StoreError> {
            Ok(1)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn steps_run_concurrently() {
        let streams = 2 * CONCURRENT_STEPS as u64;
        let store = Slow {
            streams,
            together: Barrier::new(CONCURRENT_STEPS),
            broken: None,
        };
        let mut reports = vec![];
        let rebuilt = rebuild_read_models(&store, &Epoch, |progress| reports.push(progress.done));
        let within = std::time::Duration::from_secs(60);
        let done = tokio::time::timeout(within, rebuilt).await.unwrap();
        let expected = RebuildProgress {
            done: streams,
            total: streams,
            removed: 1,
        };
        assert_eq!(done.unwrap(), expected);
        assert!(reports.is_sorted());
    }

    #[tokio::test]
    async fn a_step_that_fails_ends_the_rebuild() {
        let store = Slow {
            streams: 100,
            together: Barrier::new(1),
            broken: Some("5"),
        };
        let rebuilt = rebuild_read_models(&store, &Epoch, |_| {}).await;
        assert!(
            matches!(rebuilt, Err(Refusal::Unavailable(_))),
            "{rebuilt:?}"
        );
    }
}
