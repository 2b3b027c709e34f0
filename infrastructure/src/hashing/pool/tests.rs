//! The pool under load, abandoned and stopped.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use super::*;

const LONG: Duration = Duration::from_secs(30);

fn pool(threads: usize, capacity: usize, deadline: Duration) -> Arc<Pool<usize>> {
    Arc::new(Pool::start("test", threads, capacity, deadline, || 0).unwrap())
}

/// Keeps the only thread of `pool` busy until the answer is dropped or sent to.
async fn occupy(pool: &Arc<Pool<usize>>) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel();
    let (begun, has_begun) = oneshot::channel();
    let busy = Arc::clone(pool);
    tokio::spawn(async move {
        busy.run(anyone(), pending(), move |_| {
            let _ = begun.send(());
            let _ = released.recv();
        })
        .await
    });
    has_begun.await.unwrap();
    release
}

/// Lets `count` callers wait for a job that adds one to `done`.
async fn queue_up(
    pool: &Arc<Pool<usize>>,
    count: usize,
    done: &Arc<AtomicUsize>,
) -> Vec<tokio::task::JoinHandle<Result<(), PoolError>>> {
    let callers = (0..count)
        .map(|_| {
            let (pool, done) = (Arc::clone(pool), Arc::clone(done));
            tokio::spawn(async move {
                pool.run(anyone(), pending(), move |_| {
                    done.fetch_add(1, Ordering::SeqCst);
                })
                .await
            })
        })
        .collect();
    while pool.shared.lock().jobs.len() < count {
        tokio::task::yield_now().await;
    }
    callers
}

#[tokio::test]
async fn a_thread_keeps_its_state_from_job_to_job() {
    let pool = pool(1, 8, LONG);
    for expected in 1..=3 {
        let seen = pool.run(anyone(), pending(), |count| {
            *count += 1;
            *count
        });
        assert_eq!(seen.await, Ok(expected));
    }
}

#[tokio::test]
async fn when_the_queue_is_full_the_answer_comes_at_once() {
    let pool = pool(1, 3, LONG);
    let done = Arc::default();
    let release = occupy(&pool).await;
    let callers = queue_up(&pool, 3, &done).await;
    let asked = Instant::now();
    assert_eq!(
        pool.run(anyone(), pending(), |_| ()).await,
        Err(PoolError::Overloaded)
    );
    assert!(asked.elapsed() < LONG / 2);
    drop(release);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(()));
    }
}

impl Pool<usize> {
    /// Reserves a place and uses it at once.
    async fn run<T: Send + 'static>(
        &self,
        client: Network,
        gone: impl Future<Output = ()>,
        work: impl FnOnce(&mut usize) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        self.reserve(client)?.run(gone, work).await
    }

    /// Why no place can be reserved now; `None` if one can.
    fn refusal(&self, client: Network) -> Option<PoolError> {
        self.reserve(client).err()
    }
}

/// The client of all jobs that do not say another.
fn anyone() -> Network {
    Network::of(None)
}

fn client(number: u8) -> Network {
    Network::of(Some([198, 51, 100, number].into()))
}

/// Has the only thread of `pool`, which is busy, measure jobs that took so much processor time.
fn note(pool: &Pool<usize>, jobs: usize, took: Duration) {
    let usage = Usage {
        ran: took,
        elapsed: took,
    };
    for _ in 0..jobs {
        pool.shared.ended(anyone(), Duration::ZERO, usage);
    }
}

#[tokio::test]
async fn no_more_jobs_wait_than_the_processors_can_do_in_half_of_the_deadline() {
    let pool = pool(2, 1000, Duration::from_secs(60));
    note(&pool, 100, Duration::from_secs(1));
    assert_eq!(pool.shared.places(&pool.shared.lock()), 60);
    note(&pool, 100, Duration::from_millis(10));
    assert_eq!(pool.shared.places(&pool.shared.lock()), 1000);
}

#[tokio::test]
async fn a_few_costly_jobs_leave_room_for_ten_jobs_a_thread() {
    let pool = pool(2, 1000, Duration::from_secs(60));
    note(&pool, 100, Duration::from_secs(3600));
    assert_eq!(pool.shared.places(&pool.shared.lock()), 20);
}

#[tokio::test]
async fn a_slow_machine_admits_as_many_jobs_as_a_fast_one() {
    let pool = pool(1, 100, Duration::from_secs(10));
    for _ in 0..40 {
        // It takes long and needs no processor, as if others had all of them.
        let slow = pool.run(anyone(), pending(), |_| {
            std::thread::sleep(Duration::from_millis(50));
        });
        assert_eq!(slow.await, Ok(()));
    }
    assert_eq!(pool.shared.places(&pool.shared.lock()), 100);
}

#[tokio::test]
async fn refused_jobs_change_nothing_for_those_that_come_later() {
    let pool = pool(1, 3, LONG);
    let release = occupy(&pool).await;
    let callers = queue_up(&pool, 3, &Arc::default()).await;
    for _ in 0..10_000 {
        assert_eq!(pool.refusal(anyone()), Some(PoolError::Overloaded));
        let refused = pool.run(anyone(), pending(), |_| ()).await;
        assert_eq!(refused, Err(PoolError::Overloaded));
    }
    drop(release);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(()));
    }
    assert_eq!(pool.shared.places(&pool.shared.lock()), 3);
    assert_eq!(pool.run(anyone(), pending(), |_| 7).await, Ok(7));
}

#[tokio::test]
async fn a_client_with_few_jobs_is_served_before_one_with_many() {
    let pool = pool(1, 600, LONG);
    let served = Arc::new(Mutex::new(Vec::new()));
    let release = occupy(&pool).await;
    let mut callers = Vec::new();
    for number in std::iter::repeat_n(1, 500).chain([2, 3, 2]) {
        let waiting = pool.shared.lock().jobs.len();
        let (pool, served) = (Arc::clone(&pool), Arc::clone(&served));
        let note = move |_: &mut usize| served.lock().unwrap().push(number);
        let shared = Arc::clone(&pool.shared);
        callers.push(tokio::spawn(async move {
            pool.run(client(number), pending(), note).await
        }));
        while shared.lock().jobs.len() == waiting {
            tokio::task::yield_now().await;
        }
    }
    drop(release);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(()));
    }
    let served = served.lock().unwrap();
    let few: Vec<usize> = (0..503).filter(|at| served[*at] != 1).collect();
    assert!(few.iter().all(|at| *at < 8), "{few:?}");
}

#[tokio::test]
async fn in_a_full_queue_a_client_with_fewer_jobs_takes_the_place_of_one_with_more() {
    let pool = pool(1, 10, LONG);
    let release = occupy(&pool).await;
    let done = Arc::default();
    let callers = queue_up(&pool, 10, &done).await;
    assert_eq!(pool.refusal(anyone()), Some(PoolError::Overloaded));
    let newcomer = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.run(client(1), pending(), |_| ()).await }
    });
    let mut answers = Vec::new();
    let mut release = Some(release);
    for caller in callers.into_iter().rev() {
        answers.push(caller.await.unwrap());
        // The first answer is the refusal of the newest job, while no thread is free.
        drop(release.take());
    }
    assert_eq!(answers[0], Err(PoolError::Overloaded));
    assert!(answers[1..].iter().all(|it| *it == Ok(())));
    assert_eq!(newcomer.await.unwrap(), Ok(()));
    assert_eq!(done.load(Ordering::SeqCst), 9);
}

#[tokio::test]
async fn a_free_place_is_reserved_for_one_caller() {
    let pool = pool(1, 3, LONG);
    let release = occupy(&pool).await;
    let done = Arc::default();
    let callers = queue_up(&pool, 2, &done).await;
    // While the holder of the place looks up its data, no other caller gets the place.
    let place = pool.reserve(anyone()).unwrap();
    for _ in 0..100 {
        assert_eq!(pool.refusal(anyone()), Some(PoolError::Overloaded));
    }
    let last = tokio::spawn(place.run(pending(), |_| 7));
    drop(release);
    assert_eq!(last.await.unwrap(), Ok(7));
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(()));
    }
}

#[tokio::test]
async fn a_place_that_is_not_used_is_free_again() {
    let pool = pool(1, 1, LONG);
    let place = pool.reserve(anyone()).unwrap();
    assert_eq!(pool.refusal(anyone()), Some(PoolError::Overloaded));
    drop(place);
    assert_eq!(pool.run(anyone(), pending(), |_| 7).await, Ok(7));
}

#[tokio::test]
async fn a_reserved_place_is_lost_to_a_client_with_fewer() {
    let pool = pool(1, 2, LONG);
    let [first, second] = [(); 2].map(|()| pool.reserve(anyone()).unwrap());
    let newcomer = pool.reserve(client(1)).unwrap();
    let answer = second.run(pending(), |_| 7).await;
    assert_eq!(answer, Err(PoolError::Overloaded));
    assert_eq!(newcomer.run(pending(), |_| 7).await, Ok(7));
    assert_eq!(first.run(pending(), |_| 7).await, Ok(7));
}

#[tokio::test]
async fn a_job_that_waits_for_too_long_is_answered_by_the_deadline_and_never_done() {
    let pool = pool(1, 8, Duration::from_millis(50));
    let done = Arc::<AtomicUsize>::default();
    let release = occupy(&pool).await;
    let asked = Instant::now();
    let late = Arc::clone(&done);
    let answer = pool
        .run(anyone(), pending(), move |_| {
            late.fetch_add(1, Ordering::SeqCst)
        })
        .await;
    assert_eq!(answer, Err(PoolError::Overloaded));
    assert!(asked.elapsed() >= Duration::from_millis(45));
    assert!(asked.elapsed() < LONG);
    drop(release);
    pool.stop().await;
    assert_eq!(done.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_job_that_was_begun_in_time_may_take_longer_than_the_deadline() {
    let pool = pool(1, 8, Duration::from_millis(20));
    let slow = pool.run(anyone(), pending(), |_| {
        std::thread::sleep(Duration::from_millis(100));
    });
    assert_eq!(slow.await, Ok(()));
}

#[tokio::test]
async fn jobs_whose_callers_have_gone_away_are_skipped_and_make_room() {
    let pool = pool(1, 4, LONG);
    let abandoned = Arc::default();
    let release = occupy(&pool).await;
    for caller in queue_up(&pool, 4, &abandoned).await {
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
    }
    let wanted = Arc::default();
    let callers = queue_up(&pool, 1, &wanted).await;
    drop(release);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(()));
    }
    pool.stop().await;
    assert_eq!(abandoned.load(Ordering::SeqCst), 0);
    assert_eq!(wanted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_job_whose_client_has_gone_before_its_turn_is_not_done() {
    let pool = pool(1, 1, LONG);
    let release = occupy(&pool).await;
    let done = Arc::<AtomicUsize>::default();
    let late = Arc::clone(&done);
    let gone = std::future::ready(());
    let answer = pool.run(anyone(), gone, move |_| late.fetch_add(1, Ordering::SeqCst));
    assert_eq!(answer.await, Err(PoolError::Overloaded));
    assert_eq!(pool.refusal(anyone()), None);
    drop(release);
    pool.stop().await;
    assert_eq!(done.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn stopping_finishes_what_was_accepted_and_takes_nothing_new() {
    let pool = pool(1, 8, LONG);
    let done = Arc::default();
    let release = occupy(&pool).await;
    let callers = queue_up(&pool, 5, &done).await;
    let place = pool.reserve(anyone()).unwrap();
    let stopping = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.stop().await }
    });
    while !pool.shared.lock().is_stopped {
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.refusal(anyone()), Some(PoolError::Stopped));
    assert_eq!(place.run(pending(), |_| ()).await, Err(PoolError::Stopped));
    drop(release);
    stopping.await.unwrap();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(()));
    }
    assert_eq!(done.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_panic_fails_only_its_own_job() {
    let pool = pool(1, 8, LONG);
    let answer = pool
        .run(anyone(), pending(), |_| panic!("on purpose"))
        .await;
    assert_eq!(answer, Err::<(), _>(PoolError::Panicked));
    assert_eq!(pool.run(anyone(), pending(), |_| 7).await, Ok(7));
}

#[tokio::test]
async fn a_dropped_pool_lets_its_threads_end() {
    let pool = pool(2, 8, LONG);
    let threads = pool.threads.clone();
    drop(pool);
    tokio::time::timeout(LONG, threads.wait()).await.unwrap();
}
