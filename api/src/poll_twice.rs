//! Distinguishes work that completes immediately, as most does, from work that needs a deadline.

use std::future::{Future, poll_fn};
use std::task::Poll;

/// Polls `future`, and once more after other work of the same task has had a turn. Returns its output, or `None` if it
/// has to wait. Only then does the caller need a timer.
///
/// In the turn between, another part of the same connection finishes its work, for example a body that was read
/// together with its head is passed on.
pub(crate) async fn poll_twice<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut is_second = false;
    poll_fn(
        |context| match std::pin::Pin::new(&mut *future).poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if is_second => Poll::Ready(None),
            Poll::Pending => {
                is_second = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        },
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_future_is_polled_twice_and_can_continue_afterwards() {
        for (polls, is_ready) in [(1, true), (2, true), (3, false)] {
            let mut left = polls;
            let mut future = poll_fn(|context| {
                left -= 1;
                if left == 0 {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            });
            let came = poll_twice(&mut future).await;
            assert_eq!(came.is_some(), is_ready, "{polls}");
            if came.is_none() {
                future.await;
            }
        }
    }
}
