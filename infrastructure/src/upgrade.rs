//! Shared parts of the workers that upgrade the data of a store while the service runs.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// The interval for checking whether another node has finished the upgrade, and for repeating a step that failed.
const EVERY: Duration = Duration::from_secs(5);

/// Waits for the next step. A node that is elected meanwhile does not wait for its turn.
pub(crate) async fn next_step(leads: &mut watch::Receiver<bool>) {
    if let Ok(Err(_)) = timeout(EVERY, leads.changed()).await {
        sleep(EVERY).await;
    }
}

/// Whether every node of the previous version must have stopped: `window` has passed since the schema was migrated
/// (`since`), or since this node `started`. The second condition keeps a changed migration time in the store from
/// delaying the upgrade. `None` stands for a store that one program serves at a time: there is nothing to wait for.
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
