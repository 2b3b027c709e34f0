//! Workers that panic, that return too early and that are stopped, in paused time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::mpsc;

use super::*;

/// Randomness that is always the same byte.
struct Constant(u8);

impl Entropy for Constant {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

fn supervisor() -> Supervisor {
    Supervisor::new(Arc::new(Constant(0xff)))
}

/// Appends the numbers from a queue to a list, and panics at zero.
struct Adder {
    queue: mpsc::UnboundedReceiver<u32>,
    added: Arc<Mutex<Vec<u32>>>,
}

impl Adder {
    async fn run(&mut self) {
        while let Some(number) = self.queue.recv().await {
            assert_ne!(number, 0, "on purpose");
            self.added.lock().unwrap().push(number);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_panics_is_restarted_with_its_state() {
    let supervisor = supervisor();
    let stop = CancellationToken::new();
    let (sender, queue) = mpsc::unbounded_channel();
    let added = Arc::<Mutex<Vec<u32>>>::default();
    let adder = Adder {
        queue,
        added: Arc::clone(&added),
    };
    let task = supervisor.start("adder", &stop, adder, |it| it.run().boxed());
    for number in [1, 0, 2, 0, 3] {
        sender.send(number).unwrap();
    }
    stop.cancel();
    drop(sender);
    task.await.unwrap();
    assert_eq!(*added.lock().unwrap(), [1, 2, 3]);
    let workers = supervisor.workers().all();
    assert_eq!(workers[0].name(), "adder");
    assert_eq!(workers[0].restarts(), 2);
    assert!(!workers[0].is_up(), "it ended");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_returns_before_the_stop_is_restarted() {
    let supervisor = supervisor();
    let stop = CancellationToken::new();
    let runs = Arc::new(AtomicU32::new(0));
    let worker = (Arc::clone(&runs), stop.clone());
    let task = supervisor.start("returning", &stop, worker, |(runs, stop)| {
        async move {
            if runs.fetch_add(1, Ordering::Relaxed) == 2 {
                stop.cancel();
            }
        }
        .boxed()
    });
    task.await.unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 3);
    assert_eq!(supervisor.workers().all()[0].restarts(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_a_worker_waits_to_be_restarted_it_is_down() {
    let supervisor = supervisor();
    let stop = CancellationToken::new();
    let _task = supervisor.start("panicking", &stop, (), |()| {
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            panic!("on purpose");
        }
        .boxed()
    });
    let worker = Arc::clone(&supervisor.workers().all()[0]);
    assert!(worker.is_up());
    let restarts_once = async |up: bool| {
        while worker.is_up() != up {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        worker.restarts()
    };
    for restarts in 0..3 {
        assert_eq!(restarts_once(false).await, restarts);
        assert_eq!(restarts_once(true).await, restarts + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_up_to_a_bound_and_shrink_again_once_a_worker_has_recovered() {
    let supervisor = supervisor();
    let stop = CancellationToken::new();
    let starts = Arc::<Mutex<Vec<Instant>>>::default();
    let _task = supervisor.start("panicking", &stop, Arc::clone(&starts), |starts| {
        async {
            let run = {
                let mut starts = starts.lock().unwrap();
                starts.push(Instant::now());
                starts.len()
            };
            if run == 12 {
                tokio::time::sleep(RECOVERED_AFTER).await;
            }
            panic!("on purpose");
        }
        .boxed()
    });
    while starts.lock().unwrap().len() < 14 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let starts = starts.lock().unwrap();
    let pauses: Vec<u128> = starts
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_millis())
        .collect();
    // tokio's timer counts whole milliseconds and rounds up.
    let expected = [
        200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000, 60_200, 400,
    ];
    for (pause, expected) in pauses.iter().zip(expected) {
        assert!(pause.abs_diff(expected) <= 2, "{pauses:?}");
    }
}

#[test]
fn half_of_a_pause_is_random() {
    let pauses = |byte| {
        let mut backoff = Backoff::new(Arc::new(Constant(byte)));
        [backoff.next_pause(), backoff.next_pause()]
    };
    let [shortest, longest] = [pauses(0), pauses(0xff)];
    assert_eq!(shortest, [100, 200].map(Duration::from_millis));
    assert_eq!(longest, [200, 400].map(Duration::from_millis));
}
