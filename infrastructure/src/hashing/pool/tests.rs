//! The pool under load, abandoned and stopped.

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
        busy.run(move |_| {
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
                pool.run(move |_| {
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
        let seen = pool.run(|count| {
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
    assert_eq!(pool.run(|_| ()).await, Err(PoolError::Overloaded));
    assert!(asked.elapsed() < LONG / 2);
    drop(release);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(()));
    }
}

#[tokio::test]
async fn a_job_that_would_wait_for_too_long_is_answered_at_once() {
    let pool = pool(1, 100, Duration::from_secs(60));
    let done = Arc::default();
    let release = occupy(&pool).await;
    pool.shared.lock().pace = Duration::from_secs(10);
    // The last of them waits for thirty seconds, if those before it take as long as the others have.
    let callers = queue_up(&pool, 4, &done).await;
    assert_eq!(pool.has_room(), Err(PoolError::Overloaded));
    assert_eq!(pool.run(|_| ()).await, Err(PoolError::Overloaded));
    drop(release);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(()));
    }
    assert_eq!(pool.has_room(), Ok(()));
    // They were faster than that.
    assert!(pool.shared.lock().pace < Duration::from_secs(10));
}

#[tokio::test]
async fn whose_turn_will_not_come_in_time_is_told_as_soon_as_that_is_known() {
    let pool = pool(1, 100, Duration::from_secs(100));
    let done = Arc::default();
    let release = occupy(&pool).await;
    let callers = queue_up(&pool, 10, &done).await;
    // By then it is 280 seconds a job. Were it four times as fast, the first's turn would be now, the second's in seventy
    // seconds, and the third's after the ninety for which anybody waits.
    pool.shared.lock().pace = Duration::from_secs(320);
    drop(release);
    let mut answers = Vec::new();
    for caller in callers {
        answers.push(caller.await.unwrap());
    }
    let (first, others) = answers.split_at(2);
    assert_eq!(first, [Ok(()), Ok(())]);
    assert!(others.iter().all(|it| *it == Err(PoolError::Overloaded)));
    assert_eq!(done.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn while_threads_pause_nobody_waits_for_them_to_become_faster() {
    let second = Duration::from_secs(1);
    for (paused, left) in [(Duration::ZERO, 10), (second, 3)] {
        let pool = pool(1, 100, 100 * second);
        let release = occupy(&pool).await;
        let callers = queue_up(&pool, 10, &Arc::default()).await;
        // Two and a quarter in the ninety seconds for which anybody waits, and nine if they become four times as fast.
        pool.shared.lock().pace = 40 * second;
        pool.shared.note(40 * second, paused);
        assert_eq!(pool.shared.lock().jobs.len(), left);
        pool.shared.lock().pace = Duration::ZERO;
        drop(release);
        for (number, caller) in callers.into_iter().enumerate() {
            let answer = caller.await.unwrap();
            assert_eq!(answer.is_ok(), number < left, "{number}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_job_that_took_no_time_costs_nobody_their_turn() {
    let pool = pool(1, 100, LONG);
    let release = occupy(&pool).await;
    let callers = queue_up(&pool, 10, &Arc::default()).await;
    pool.shared.note(Duration::ZERO, Duration::ZERO);
    drop(release);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(()));
    }
}

#[tokio::test]
async fn what_was_slow_while_many_waited_is_not_held_against_the_next() {
    let pool = pool(1, 100, LONG);
    let release = occupy(&pool).await;
    pool.shared.lock().pace = Duration::from_secs(1000);
    drop(release);
    let forgotten = async {
        while !pool.shared.lock().pace.is_zero() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, forgotten).await.unwrap();
    let release = occupy(&pool).await;
    let callers = queue_up(&pool, 99, &Arc::default()).await;
    assert_eq!(pool.has_room(), Ok(()));
    drop(release);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(()));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_threads_give_way_to_all_others() {
    let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
    let of_others = nice();
    let of_the_pool = pool(1, 1, LONG).run(move |_| nice()).await;
    assert!(of_the_pool.unwrap() > of_others);
}

#[tokio::test]
async fn a_job_that_waits_for_too_long_is_answered_by_the_deadline_and_never_done() {
    let pool = pool(1, 8, Duration::from_millis(50));
    let done = Arc::<AtomicUsize>::default();
    let release = occupy(&pool).await;
    let asked = Instant::now();
    let late = Arc::clone(&done);
    let answer = pool.run(move |_| late.fetch_add(1, Ordering::SeqCst)).await;
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
    let slow = pool.run(|_| std::thread::sleep(Duration::from_millis(100)));
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
async fn stopping_finishes_what_was_accepted_and_takes_nothing_new() {
    let pool = pool(1, 8, LONG);
    let done = Arc::default();
    let release = occupy(&pool).await;
    let callers = queue_up(&pool, 5, &done).await;
    let stopping = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.stop().await }
    });
    while !pool.shared.lock().is_stopped {
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.run(|_| ()).await, Err(PoolError::Stopped));
    drop(release);
    stopping.await.unwrap();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(()));
    }
    assert_eq!(done.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_panic_costs_its_own_job_alone() {
    let pool = pool(1, 8, LONG);
    let answer = pool.run(|_| panic!("on purpose")).await;
    assert_eq!(answer, Err::<(), _>(PoolError::Panicked));
    assert_eq!(pool.run(|_| 7).await, Ok(7));
}

#[tokio::test]
async fn a_dropped_pool_lets_its_threads_end() {
    let pool = pool(2, 8, LONG);
    let threads = pool.threads.clone();
    drop(pool);
    tokio::time::timeout(LONG, threads.wait()).await.unwrap();
}
