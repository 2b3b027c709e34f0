//! The ledger of signing keys: the state of the whole set, sealed together (`docs/adr/0019`). So no row can be changed or
//! restored on its own.
//!
//! The ledger is written in the transaction that changes the rows, and holds the times of each key. Only the private halves
//! are read from the rows. Earlier versions have no ledger and change only the rows of access keys. For a limited time after
//! the first ledger was written, such a change is accepted and added to the ledger.

use std::collections::BTreeMap;
use std::time::Duration;

use authlog_domain::Timestamp;
use serde::{Deserialize, Serialize};

use super::{KeyPurpose, KeyRecord};

/// How long after the first ledger nodes of the previous version may still run and change keys.
const ROLLING_UPGRADE: Duration = Duration::from_secs(60 * 60);

/// The upper limit of key times, in milliseconds since 1970-01-01T00:00:00Z. This program writes no later ones.
const LAST_INSTANT: i64 = 4_102_444_800_000; // 2100-01-01T00:00:00Z

/// The signing keys of one purpose in the store.
pub struct SigningKeys {
    /// The intact keys, including retired ones.
    pub keys: Vec<KeyRecord>,
    /// The number of the last change.
    pub number: i64,
    /// The faults of the other keys.
    pub faults: Vec<KeyFault>,
    /// Whether the ledger does not contain all of this yet, because a version without a ledger wrote it.
    pub is_unconfirmed: bool,
}

/// A stored key that is not used as stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyFault {
    /// The name of the key.
    pub kid: String,
    /// The fault, in words for an operator.
    pub detail: &'static str,
}

impl KeyFault {
    fn new(kid: &str, detail: &'static str) -> Self {
        Self {
            kid: kid.to_owned(),
            detail,
        }
    }
}

/// A row of a table of signing keys.
#[derive(Clone)]
pub(crate) struct KeyRow {
    pub(crate) kid: String,
    pub(crate) algorithm: String,
    /// `None` if one of the times is out of range.
    pub(crate) times: Option<KeyTimes>,
    /// Whether this is the row of the newest key.
    pub(crate) is_newest: bool,
    /// The private half, sealed.
    pub(crate) sealed: Option<Vec<u8>>,
}

/// When a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyTimes {
    pub(crate) signs_from: Timestamp,
    pub(crate) signs_until: Option<Timestamp>,
    pub(crate) retired_at: Option<Timestamp>,
}

impl KeyTimes {
    pub(crate) fn of(key: &KeyRecord) -> Self {
        Self {
            signs_from: key.signs_from,
            signs_until: key.signs_until,
            retired_at: key.retired_at,
        }
    }

    /// `None` if one of the times is out of range.
    pub(crate) fn from_unix_millis(
        signs_from: i64,
        signs_until: Option<i64>,
        retired_at: Option<i64>,
    ) -> Option<Self> {
        let range = 0..LAST_INSTANT;
        let is_in_range = |at: Option<i64>| at.is_none_or(|at| range.contains(&at));
        let all =
            is_in_range(Some(signs_from)) && is_in_range(signs_until) && is_in_range(retired_at);
        all.then(|| Self {
            signs_from: Timestamp::from_unix_millis(signs_from),
            signs_until: signs_until.map(Timestamp::from_unix_millis),
            retired_at: retired_at.map(Timestamp::from_unix_millis),
        })
    }

    fn are_in_range(self) -> bool {
        let range = 0..LAST_INSTANT;
        [Some(self.signs_from), self.signs_until, self.retired_at]
            .into_iter()
            .flatten()
            .all(|at| range.contains(&at.unix_millis()))
    }

    /// These times for a key that must not be used.
    fn given_up(self, now: Timestamp) -> Self {
        Self {
            signs_from: self.signs_from,
            signs_until: Some(self.signs_until.unwrap_or(self.signs_from)),
            retired_at: Some(self.retired_at.unwrap_or(now)),
        }
    }
}

/// The content of the ledger, which is sealed.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeyLedger {
    /// The number of the change that wrote the ledger.
    number: i64,
    /// When the first ledger was written.
    since: Timestamp,
    keys: BTreeMap<String, LedgerKey>,
}

#[derive(Serialize, Deserialize)]
struct LedgerKey {
    algorithm: String,
    #[serde(flatten)]
    times: KeyTimes,
}

impl KeyLedger {
    /// The ledger after `before`, if there was one, with the state of `keys`.
    pub(crate) fn following(
        before: Option<&Self>,
        number: i64,
        keys: &[KeyRecord],
        now: Timestamp,
    ) -> Self {
        let entry = |key: &KeyRecord| {
            let known = LedgerKey {
                algorithm: key.algorithm.to_string(),
                times: KeyTimes::of(key),
            };
            (key.kid.clone(), known)
        };
        Self {
            number,
            since: before.map_or(now, |before| before.since),
            keys: keys.iter().map(entry).collect(),
        }
    }

    fn permits_other_versions(&self, now: Timestamp) -> bool {
        now.is_within(ROLLING_UPGRADE, self.since)
    }
}

/// Compares the rows with the ledger, and returns the keys and their faults. `open` opens the private half of a row.
/// `was_retired` says whether this program has ever seen the key with this name as retired.
pub(crate) fn judge(
    purpose: KeyPurpose,
    rows: &[KeyRow],
    number: i64,
    ledger: Option<&KeyLedger>,
    now: Timestamp,
    open: impl Fn(&KeyRow) -> Option<zeroize::Zeroizing<Vec<u8>>>,
    was_retired: impl Fn(&str) -> bool,
) -> SigningKeys {
    let is_current = ledger.is_some_and(|ledger| ledger.number == number);
    let is_unconfirmed = !is_current
        && purpose.was_stored_without_a_ledger()
        && ledger.is_none_or(|ledger| ledger.permits_other_versions(now));
    let mut found = SigningKeys {
        keys: vec![],
        number,
        faults: vec![],
        is_unconfirmed,
    };
    for row in rows {
        let known = ledger.and_then(|ledger| ledger.keys.get(&row.kid));
        let (Ok(algorithm), Some(times)) = (
            known
                .map_or(&row.algorithm, |known| &known.algorithm)
                .parse(),
            known
                .filter(|_| !is_unconfirmed)
                .map(|known| known.times)
                .or(row.times.filter(|times| times.are_in_range()))
                .or(known.map(|known| known.times)),
        ) else {
            let detail = "its algorithm or its times cannot be read";
            found.faults.push(KeyFault::new(&row.kid, detail));
            continue;
        };
        if known.is_none() && !is_unconfirmed {
            let detail = "it was not stored by this service";
            found.faults.push(KeyFault::new(&row.kid, detail));
            continue;
        }
        if row.times != Some(times) {
            let detail = "its times are not those with which it was stored";
            found.faults.push(KeyFault::new(&row.kid, detail));
        }
        let retired_in_ledger = known.is_some_and(|known| known.times.retired_at.is_some());
        let mut times = times;
        if times.retired_at.is_none() && (retired_in_ledger || was_retired(&row.kid)) {
            let detail = "it was retired, and is stored as if it were not";
            found.faults.push(KeyFault::new(&row.kid, detail));
            times = times.given_up(now);
        }
        let opened = row.sealed.as_ref().map(|_| open(row));
        if matches!(opened, Some(None)) && times.retired_at.is_none() {
            let detail = "its private half cannot be opened";
            found.faults.push(KeyFault::new(&row.kid, detail));
            if known.is_none() {
                continue;
            }
            times = times.given_up(now);
        }
        found.keys.push(KeyRecord {
            kid: row.kid.clone(),
            algorithm,
            signs_from: times.signs_from,
            signs_until: times.signs_until,
            retired_at: times.retired_at,
            private: opened.flatten().filter(|_| times.retired_at.is_none()),
        });
    }
    for (kid, known) in ledger.iter().flat_map(|ledger| &ledger.keys) {
        let (false, Ok(algorithm)) = (
            rows.iter().any(|row| row.kid == *kid),
            known.algorithm.parse(),
        ) else {
            continue;
        };
        found.faults.push(KeyFault::new(kid, "its row was removed"));
        let times = known.times.given_up(now);
        found.keys.push(KeyRecord {
            kid: kid.clone(),
            algorithm,
            signs_from: times.signs_from,
            signs_until: times.signs_until,
            retired_at: times.retired_at,
            private: None,
        });
    }
    found
        .keys
        .sort_by(|a, b| (a.signs_from, &a.kid).cmp(&(b.signs_from, &b.kid)));
    found
}
