//! Waiting for what will be so, without saying when.

use std::time::Duration;

/// How long anything may take before a test gives up. Passing tests never wait for it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again and again until `ask` has an answer, and returns it.
pub async fn eventually<T, F>(what: &str, ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    within(PATIENCE, what, ask).await
}

/// Asks again and again until `ask` has an answer, for as long as `patience`.
pub async fn within<T, F>(patience: Duration, what: &str, mut ask: impl FnMut() -> F) -> T
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
    match tokio::time::timeout(patience, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("{what}: not within {patience:?}"),
    }
}
