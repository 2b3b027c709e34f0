//! What the workers share that upgrade the data of a store while the service runs.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// How long another node may be done before this one knows it, and how soon a step that failed is tried again.
const EVERY: Duration = Duration::from_secs(5);

/// Waits for the next step. A node that is elected meanwhile does not wait for its turn.
pub(crate) async fn next_step(leads: &mut watch::Receiver<bool>) {
    if let Ok(Err(_)) = timeout(EVERY, leads.changed()).await {
        sleep(EVERY).await;
    }
}

/// Whether no node of the version before can run any more: `window` has passed `since` the schema was brought up, or where
/// only one program serves a store at a time (`None`). To change the time of the migration in the store delays nothing: the
/// time since this node `started` counts as well.
pub(crate) fn has_window_passed(
    window: Duration,
    since: Option<Duration>,
    started: Instant,
) -> bool {
    since.is_none_or(|since| since.max(started.elapsed()) >= window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_window_passes_by_the_time_of_the_migration_or_of_the_node() {
        let (hour, started) = (Duration::from_secs(3600), Instant::now());
        let passed = |since| has_window_passed(hour, since, started);
        assert!(passed(None) && passed(Some(hour)));
        assert!(!passed(Some(Duration::ZERO)));
        tokio::time::advance(hour).await;
        assert!(passed(Some(Duration::ZERO)));
    }
}
