//! Work that is nearly always done at once, told from work that needs a deadline.

use std::future::{Future, poll_fn};
use std::task::Poll;

/// What comes of `future` by the time its task has had one more turn, or `None`: then it has to wait.
///
/// Only after that does a wait need a timer. In that turn another part of the same connection finishes its work: it passes on a
/// body that was read with its head, for example.
pub(crate) async fn at_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
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
    async fn a_future_has_two_polls_and_may_go_on_afterwards() {
        for (polls, comes_at_once) in [(1, true), (2, true), (3, false)] {
            let mut left = polls;
            let mut future = poll_fn(|context| {
                left -= 1;
                if left == 0 {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            });
            let came = at_once(&mut future).await;
            assert_eq!(came.is_some(), comes_at_once, "{polls}");
            if came.is_none() {
                future.await;
            }
        }
    }
}
