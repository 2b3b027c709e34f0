//! Tests of the buckets: their bounds, and properties for overlapping attempts.

use proptest::prelude::*;

use super::*;

const QUOTA: Quota = Quota {
    at_once: 3,
    then_one_per: Duration::from_secs(10),
};

#[test]
fn a_burst_is_admitted_and_then_one_attempt_a_step() {
    let buckets = Buckets::new(QUOTA);
    for _ in 0..3 {
        assert_eq!(buckets.take(1, 0), Ok(()));
    }
    assert_eq!(buckets.take(1, 0), Err(Duration::from_secs(10)));
    assert_eq!(buckets.take(1, 9_999), Err(Duration::from_millis(1)));
    assert_eq!(buckets.take(1, 10_000), Ok(()));
    assert_eq!(buckets.take(1, 10_000), Err(Duration::from_secs(10)));
    assert_eq!(buckets.take(2, 0), Ok(()), "another key is another bucket");
}

#[test]
fn an_attempt_in_progress_takes_a_place_until_it_is_given_back() {
    let buckets = Buckets::new(QUOTA);
    assert_eq!(buckets.hold(1, 0), Ok(false));
    assert_eq!(buckets.hold(1, 0), Ok(true));
    assert_eq!(buckets.hold(1, 0), Ok(true));
    // A reserved attempt does not leak.
    assert_eq!(buckets.hold(1, 1_000_000), Err(UNTIL_SETTLED));
    buckets.give_back(1, 1_000_000);
    assert_eq!(buckets.hold(1, 1_000_000), Ok(true));
    for _ in 0..3 {
        buckets.give_back(1, 1_000_000);
    }
    assert_eq!(buckets.len(), 0, "an empty bucket is none");
}

#[test]
fn giving_back_does_not_free_a_place_that_has_leaked() {
    let buckets = Buckets::new(QUOTA);
    for _ in 0..3 {
        assert!(buckets.hold(1, 0).is_ok());
    }
    buckets.settle(1, 0);
    // The counted one has leaked; those that are given back free their own places and no more.
    buckets.give_back(1, 10_000);
    buckets.give_back(1, 10_000);
    let taken = (0..10).filter(|_| buckets.take(1, 10_000).is_ok()).count();
    assert_eq!(taken, 3);
}

#[test]
fn attempts_beyond_the_quota_have_to_leak_in_full() {
    let buckets = Buckets::new(QUOTA);
    for _ in 0..1_000 {
        buckets.count(1, 0);
    }
    assert_eq!(buckets.take(1, 0), Err(Duration::from_secs(998 * 10)));
    assert!(buckets.take(1, 998 * 10_000 - 1).is_err());
    assert_eq!(buckets.take(1, 998 * 10_000), Ok(()));
}

#[test]
fn only_what_has_not_leaked_is_taken_back() {
    let buckets = Buckets::new(QUOTA);
    for _ in 0..3 {
        buckets.count(1, 0);
    }
    buckets.take_back(1, Duration::ZERO, 0);
    assert_eq!(buckets.take(1, 0), Ok(()));
    buckets.take_back(1, Duration::from_secs(9), 9_000);
    assert_eq!(
        buckets.take(1, 9_000),
        Ok(()),
        "one leaked, but for a second"
    );
    assert_eq!(buckets.take(1, 9_000), Err(Duration::from_secs(10)));
    buckets.take_back(1, Duration::from_secs(60), 9_000);
    assert_eq!(buckets.take(1, 9_000), Err(Duration::from_secs(10)));
}

#[test]
fn a_closed_bucket_opens_after_its_wait() {
    let buckets = Buckets::new(QUOTA);
    buckets.close(1, Duration::from_secs(100), 0);
    assert_eq!(buckets.take(1, 0), Err(Duration::from_secs(100)));
    buckets.close(1, Duration::from_secs(1), 0);
    assert!(buckets.take(1, 99_999).is_err());
    assert_eq!(buckets.take(1, 100_000), Ok(()));
}

#[test]
fn a_flood_of_keys_neither_grows_the_memory_nor_hides_the_guesser() {
    let buckets = Buckets::new(QUOTA);
    for _ in 0..3 {
        buckets.count(u64::MAX, 0);
    }
    for _ in 0..3 {
        assert!(buckets.hold(u64::MAX - 1, 0).is_ok());
    }
    for key in 0..3 * Buckets::MOST as u64 {
        buckets.count(key, 0);
        // Whether it is full is the same for all tables at once.
        assert!(!key.is_multiple_of(1_000) || buckets.len() <= Buckets::MOST);
    }
    assert_eq!(
        buckets.take(u64::MAX, 0),
        Err(Duration::from_secs(10)),
        "the key that was over its quota is remembered"
    );
    assert_eq!(
        buckets.take(u64::MAX - 1, 0),
        Err(UNTIL_SETTLED),
        "as is the one with guesses under way"
    );
}

#[test]
fn empty_buckets_make_room_for_full_ones() {
    let buckets = Buckets::new(QUOTA);
    for key in 0..Buckets::MOST as u64 {
        buckets.count(key, 0);
    }
    let new = u64::MAX - SHARDS as u64..u64::MAX;
    for key in new {
        buckets.count(key, 10_000);
    }
    assert_eq!(buckets.len(), SHARDS);
}

#[test]
fn one_new_key_displaces_only_a_small_part_of_a_full_table() {
    let buckets = Buckets::new(QUOTA);
    for key in 0..Buckets::MOST as u64 {
        buckets.count(key, 0);
    }
    let mut before = buckets.len();
    let forgotten = (1..=1_000).map(|number| {
        buckets.count(u64::MAX - number, 0);
        let forgotten = before + 1 - buckets.len();
        before = buckets.len();
        forgotten
    });
    let most = forgotten.max();
    // The number of dropped buckets shows how many were examined at once.
    assert!((1..=2_000).contains(&most.unwrap()), "{most:?}");
}

/// What may happen next.
#[derive(Clone, Debug)]
enum Step {
    Start,
    /// One of the attempts in progress ends.
    End {
        which: prop::sample::Index,
        counts: bool,
    },
    Pass(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Start),
        3 => (any::<prop::sample::Index>(), any::<bool>())
            .prop_map(|(which, counts)| Step::End { which, counts }),
        2 => (0_i64..20_000).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..200)
}

/// Whether no interval between two of these instants contains more attempts than the quota allows.
fn keeps_the_quota(instants: &[i64]) -> bool {
    let enough = |(first, start): (usize, &i64)| {
        instants.iter().enumerate().skip(first).all(|(last, end)| {
            let most = i64::from(QUOTA.at_once) + (end - start) / QUOTA.step();
            i64::try_from(last - first + 1).unwrap() <= most
        })
    };
    instants.iter().enumerate().all(enough)
}

proptest! {
    #[test]
    fn however_the_attempts_are_spaced_no_window_holds_more_than_the_quota(
        pauses in prop::collection::vec(0_i64..20_000, 1..200),
    ) {
        let buckets = Buckets::new(QUOTA);
        let mut now = 0;
        let mut taken = Vec::new();
        for pause in pauses {
            now += pause;
            if buckets.take(1, now).is_ok() {
                taken.push(now);
            }
        }
        prop_assert!(keeps_the_quota(&taken));
    }

    #[test]
    fn however_the_attempts_overlap_no_window_holds_more_than_the_quota(steps in steps()) {
        let buckets = Buckets::new(QUOTA);
        let mut now = 0;
        let mut under_way = Vec::new();
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Start => if buckets.hold(1, now).is_ok() {
                    under_way.push(now);
                },
                Step::End { which, counts } => if !under_way.is_empty() {
                    let start = under_way.swap_remove(which.index(under_way.len()));
                    if counts {
                        buckets.settle(1, now);
                        starts.push(start);
                        ends.push(now);
                    } else {
                        buckets.give_back(1, now);
                    }
                },
                Step::Pass(millis) => now += millis,
            }
        }
        starts.sort_unstable();
        prop_assert!(keeps_the_quota(&ends), "{ends:?}");
        prop_assert!(keeps_the_quota(&starts), "{starts:?}");
    }

    #[test]
    fn an_attempt_after_the_returned_wait_is_admitted(counted in 0_usize..50, now in 0_i64..1_000_000) {
        let buckets = Buckets::new(QUOTA);
        for _ in 0..counted {
            buckets.count(1, now);
        }
        let wait = buckets.hold(1, now).err().unwrap_or_default();
        if wait.is_zero() {
            buckets.give_back(1, now);
        }
        prop_assert_eq!(buckets.take(1, now + millis(wait)), Ok(()));
    }

    #[test]
    fn attempts_that_are_given_back_leave_no_trace(steps in steps()) {
        let buckets = Buckets::new(QUOTA);
        let (mut now, mut under_way) = (0, 0);
        for step in steps {
            match step {
                Step::Start => under_way += u32::from(buckets.hold(1, now).is_ok()),
                Step::End { .. } if under_way > 0 => {
                    buckets.give_back(1, now);
                    under_way -= 1;
                }
                Step::End { .. } => {}
                Step::Pass(millis) => now += millis,
            }
            prop_assert!(under_way == QUOTA.at_once || buckets.hold(1, now).is_ok());
            if under_way < QUOTA.at_once {
                buckets.give_back(1, now);
            }
        }
    }
}
