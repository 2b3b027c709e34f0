//! Polling until a condition holds.

use std::time::Duration;

/// The time limit of a wait. Passing tests never reach it.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Polls until `ask` returns a value, and returns it.
pub async fn eventually<T, F>(what: &str, ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    within(TIME_LIMIT, what, ask).await
}

/// Like [`eventually`], with this time limit.
pub async fn within<T, F>(time_limit: Duration, what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(time_limit, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("{what}: not within {time_limit:?}"),
    }
}
