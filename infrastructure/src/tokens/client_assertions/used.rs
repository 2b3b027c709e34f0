//! The memory of used assertions. Only assertions with a valid signature get here, so only clients can fill it.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use authlog_application::ports::AssertionRefusal;
use authlog_domain::{ClientId, Timestamp};
use aws_lc_rs::digest;

/// How many assertions are remembered: 330 a second for five minutes. They take 20 MB.
const CAPACITY: usize = 100_000;

/// A digest of the client and the id of an assertion. So a long id takes no more memory than a short one.
type Name = [u8; 32];

#[derive(Default)]
pub(super) struct UsedAssertions(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    names: HashSet<Name>,
    by_end: BTreeSet<(Timestamp, Name)>,
}

impl UsedAssertions {
    /// Notes that the assertion `id` of `client` is used, until it expires.
    ///
    /// # Errors
    /// It was used before, or too many are remembered. None is forgotten before its time, because it could be used again.
    pub(super) fn note(
        &self,
        client: &ClientId,
        id: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), AssertionRefusal> {
        let name = name(client, id);
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.forget_expired(now);
        if memory.names.contains(&name) {
            return Err(AssertionRefusal::Used);
        }
        if memory.names.len() >= CAPACITY {
            return Err(AssertionRefusal::TooMany);
        }
        memory.names.insert(name);
        memory.by_end.insert((expires_at, name));
        Ok(())
    }
}

impl Memory {
    fn forget_expired(&mut self, now: Timestamp) {
        while let Some((expires_at, name)) = self.by_end.first().copied() {
            if now < expires_at {
                return;
            }
            self.by_end.pop_first();
            self.names.remove(&name);
        }
    }
}

/// An id of a client has no NUL, so no two pairs have one name.
fn name(client: &ClientId, id: &str) -> Name {
    let mut digest = digest::Context::new(&digest::SHA256);
    for part in [client.as_str(), "\0", id] {
        digest.update(part.as_bytes());
    }
    let mut name = [0; 32];
    name.copy_from_slice(digest.finish().as_ref());
    name
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_assertion_is_used_once_until_it_expires_and_no_more_are_remembered_than_fit() {
        let used = UsedAssertions::default();
        let now = Timestamp::from_unix_millis(1_700_000_000_000);
        let [ours, other] = ["web-app", "web-app-2"].map(|id| ClientId::parse(id).unwrap());
        let end = now.plus(Duration::from_secs(60));
        assert_eq!(used.note(&ours, "1", end, now), Ok(()));
        assert_eq!(used.note(&ours, "1", end, now), Err(AssertionRefusal::Used));
        assert_eq!(used.note(&ours, "2", end, now), Ok(()));
        assert_eq!(used.note(&other, "1", end, now), Ok(()));
        for number in 3..CAPACITY {
            assert_eq!(used.note(&other, &number.to_string(), end, now), Ok(()));
        }
        let full = used.note(&ours, "3", end, now);
        assert_eq!(full, Err(AssertionRefusal::TooMany));
        let last = end.minus(Duration::from_millis(1));
        assert_eq!(
            used.note(&ours, "1", end, last),
            Err(AssertionRefusal::Used)
        );
        let later = end.plus(Duration::from_secs(60));
        assert_eq!(used.note(&ours, "1", later, end), Ok(()));
        assert_eq!(used.0.lock().unwrap().names.len(), 1);
    }
}
