//! The reports that nodes of one database send each other, authenticated by a MAC.
//!
//! Every PostgreSQL role that may connect to the database can listen on a channel and notify it. So each report has a
//! MAC under the key that the nodes share, and an increasing number, so that a replayed report is not counted twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use authlog_application::ports::{Clock, Entropy};
use aws_lc_rs::hmac;

use super::update::Update;

/// The maximum difference between the time of a report and this node's time. The clocks of nodes differ by less. It
/// also limits replay to a node that has just started and does not know which reports were received before.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// The maximum number of nodes whose last report is remembered. Each start of a node counts as another node.
const NODES: usize = 256;

/// The length of a MAC, in hexadecimal digits.
const MAC_DIGITS: usize = 64;
/// The length of the id of a node and of the number of a report, in hexadecimal digits.
const DIGITS: usize = 16;

/// The length of the part of a report before its updates, in bytes.
pub(crate) const HEAD_LENGTH: usize = MAC_DIGITS + 2 * DIGITS;

/// The beginning of every text that is signed. It tells reports apart from hashes of names under the same key, which
/// begin with a length.
const CONTEXT: &[u8] = b"report of attempts";

/// Writes and reads reports of one database.
pub(super) struct Reports {
    key: hmac::Key,
    clock: Arc<dyn Clock>,
    node: u64,
    last: AtomicI64,
    last_numbers: Mutex<HashMap<u64, i64>>,
}

impl Reports {
    pub fn new(key: &[u8], clock: Arc<dyn Clock>, entropy: &dyn Entropy) -> Self {
        let mut node = [0; 8];
        entropy.fill(&mut node);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            clock,
            node: u64::from_ne_bytes(node),
            last: AtomicI64::new(0),
            last_numbers: Mutex::default(),
        }
    }

    /// A report of these updates.
    pub fn write(&self, updates: &[Update]) -> String {
        let now = self.clock.now().unix_millis();
        let after = |last: i64| now.max(last.saturating_add(1));
        let (relaxed, next) = (Ordering::Relaxed, |last| Some(after(last)));
        let last = self.last.fetch_update(relaxed, relaxed, next);
        let number = after(last.unwrap_or_default());
        let node = self.node;
        let signed = format!("{node:016x}{number:016x}{}", Update::write_all(updates));
        let mac = self.context(&signed).sign();
        let mut report = hex::encode(mac);
        report.push_str(&signed);
        report
    }

    /// The updates in a report; none for this node's own reports. `None` if no node wrote it, or if it is too old or
    /// was received before.
    pub fn read(&self, report: &str) -> Option<Vec<Update>> {
        let (mac, signed) = report.split_at_checked(MAC_DIGITS)?;
        let written = self.context(signed).sign();
        aws_lc_rs::constant_time::verify_slices_are_equal(
            written.as_ref(),
            &hex::decode(mac).ok()?,
        )
        .ok()?;
        let (node, rest) = signed.split_at_checked(DIGITS)?;
        let (number, updates) = rest.split_at_checked(DIGITS)?;
        let node = u64::from_str_radix(node, 16).ok()?;
        if node == self.node {
            return Some(vec![]);
        }
        let number = i64::from_str_radix(number, 16).ok()?;
        let now = self.clock.now().unix_millis();
        if u128::from(now.abs_diff(number)) > MAX_AGE.as_millis() {
            return None;
        }
        self.is_new(node, number).then_some(())?;
        Update::read_all(updates)
    }

    /// Remembers the report, and returns whether it is newer than those received from the node so far.
    fn is_new(&self, node: u64, number: i64) -> bool {
        let mut known = self
            .last_numbers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.get(&node).is_some_and(|last| *last >= number) {
            return false;
        }
        if known.len() >= NODES && !known.contains_key(&node) {
            let oldest = known.iter().min_by_key(|(_, number)| **number);
            if let Some(oldest) = oldest.map(|(node, _)| *node) {
                known.remove(&oldest);
            }
        }
        known.insert(node, number);
        true
    }

    fn context(&self, signed: &str) -> hmac::Context {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(CONTEXT);
        context.update(signed.as_bytes());
        context
    }
}

#[cfg(test)]
mod tests {
    use authlog_domain::Timestamp;

    use super::super::update::UpdateKind;
    use super::*;
    use crate::system::SystemEntropy;

    struct SetClock(AtomicI64);

    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_millis(self.0.load(Ordering::Relaxed))
        }
    }

    fn node(key: &[u8], millis: i64) -> (Arc<SetClock>, Reports) {
        let clock = Arc::new(SetClock(AtomicI64::new(millis)));
        (Arc::clone(&clock), Reports::new(key, clock, &SystemEntropy))
    }

    const NOW: i64 = 1_700_000_000_000;

    fn failed() -> Vec<Update> {
        vec![Update::new(UpdateKind::FailedFromNetwork, 7)]
    }

    #[test]
    fn a_report_counts_once_and_not_at_its_own_node() {
        let ((_, one), (_, other)) = (node(&[1; 32], NOW), node(&[1; 32], NOW));
        let (first, second) = (one.write(&failed()), one.write(&failed()));
        assert_eq!(one.read(&first), Some(vec![]));
        assert_eq!(other.read(&first), Some(failed()));
        assert_eq!(other.read(&first), None);
        assert_eq!(other.read(&second), Some(failed()));
        assert_eq!(other.read(&first), None);
    }

    #[test]
    fn a_report_that_no_node_wrote_is_refused() {
        let ((_, one), (_, stranger)) = (node(&[1; 32], NOW), node(&[2; 32], NOW));
        assert_eq!(one.read(&stranger.write(&failed())), None);
        let (_, other) = node(&[1; 32], NOW);
        let report = other.write(&failed());
        for changed in [
            report.replace("N0000000000000007", "N0000000000000008"),
            report[1..].to_owned(),
            format!("{report}{}", &Update::write_all(&failed())),
            String::new(),
            "é".repeat(100),
        ] {
            assert_eq!(one.read(&changed), None, "{changed}");
        }
        assert_eq!(one.read(&report), Some(failed()));
    }

    #[test]
    fn a_node_that_has_just_started_counts_no_old_report() {
        let (_, one) = node(&[1; 32], NOW);
        let old = one.write(&failed());
        let (_, started) = node(&[1; 32], NOW + 6 * 60 * 1000);
        assert_eq!(started.read(&old), None);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_silence_a_node() {
        let ((clock, one), (_, other)) = (node(&[1; 32], NOW), node(&[1; 32], NOW));
        assert_eq!(other.read(&one.write(&failed())), Some(failed()));
        clock.0.fetch_sub(60_000, Ordering::Relaxed);
        assert_eq!(other.read(&one.write(&failed())), Some(failed()));
    }

    #[test]
    fn the_memory_of_nodes_is_bounded() {
        let (_, other) = node(&[1; 32], NOW);
        for start in 0..2 * NODES as i64 {
            let (_, one) = node(&[1; 32], NOW + start);
            assert_eq!(other.read(&one.write(&failed())), Some(failed()));
        }
        assert_eq!(other.last_numbers.lock().unwrap().len(), NODES);
    }
}
