//! The memory of used assertions. Only assertions with a valid signature get here, so only clients can fill it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use authlog_application::ports::AssertionRefusal;
use authlog_domain::{ClientId, Timestamp};
use aws_lc_rs::digest;

/// How many assertions are remembered: 330 a second for five minutes. They take 20 MB.
///
/// A client has room for as many as are free, which is half of all if it is alone. So there is always room for others.
const CAPACITY: usize = 100_000;

/// A digest of the client and the id of an assertion. So a long id takes no more memory than a short one.
type Name = [u8; 32];

#[derive(Default)]
pub(super) struct UsedAssertions(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    names: HashSet<Name>,
    /// The client of each, in the order in which they expire.
    by_end: BTreeMap<(Timestamp, Name), Arc<str>>,
    /// How many each client has, if it has any.
    counts: HashMap<Arc<str>, usize>,
}

impl UsedAssertions {
    /// Notes that the assertion `id` of `client` is used, until it expires.
    ///
    /// # Errors
    /// It was used before, or too many of the client are remembered. None is forgotten before its time, because it could be used
    /// again.
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
        if !memory.has_room_for(client) {
            return Err(AssertionRefusal::TooMany);
        }
        memory.remember(client, name, expires_at);
        Ok(())
    }
}

impl Memory {
    fn has_room_for(&self, client: &ClientId) -> bool {
        let own = self.counts.get(client.as_str()).copied();
        let free = CAPACITY.saturating_sub(self.names.len());
        own.unwrap_or_default() < free
    }

    fn remember(&mut self, client: &ClientId, name: Name, expires_at: Timestamp) {
        let known = self.counts.get_key_value(client.as_str());
        let owner = known.map_or_else(|| Arc::from(client.as_str()), |(id, _)| Arc::clone(id));
        *self.counts.entry(Arc::clone(&owner)).or_default() += 1;
        self.names.insert(name);
        self.by_end.insert((expires_at, name), owner);
    }

    fn forget_expired(&mut self, now: Timestamp) {
        while let Some(first) = self.by_end.first_entry() {
            let (expires_at, name) = *first.key();
            if now < expires_at {
                return;
            }
            let owner = first.remove();
            self.names.remove(&name);
            self.forget_one_of(&owner);
        }
    }

    fn forget_one_of(&mut self, owner: &str) {
        if let Some(count) = self.counts.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(owner);
            }
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

    fn now() -> Timestamp {
        Timestamp::from_unix_millis(1_700_000_000_000)
    }

    #[test]
    fn an_assertion_of_a_client_is_used_once_until_it_expires() {
        let used = UsedAssertions::default();
        let now = now();
        let [ours, other] = ["web-app", "web-app-2"].map(|id| ClientId::parse(id).unwrap());
        let end = now.plus(Duration::from_secs(60));
        assert_eq!(used.note(&ours, "1", end, now), Ok(()));
        assert_eq!(used.note(&ours, "1", end, now), Err(AssertionRefusal::Used));
        assert_eq!(used.note(&ours, "2", end, now), Ok(()));
        assert_eq!(used.note(&other, "1", end, now), Ok(()));
        let last = end.minus(Duration::from_millis(1));
        assert_eq!(
            used.note(&ours, "1", end, last),
            Err(AssertionRefusal::Used)
        );
        let later = end.plus(Duration::from_secs(60));
        assert_eq!(used.note(&ours, "1", later, end), Ok(()));
        let memory = used.0.lock().unwrap();
        assert_eq!((memory.names.len(), memory.by_end.len()), (1, 1));
        assert_eq!(memory.counts.len(), 1);
    }

    #[test]
    fn a_client_that_uses_all_of_its_room_leaves_room_for_others() {
        let used = UsedAssertions::default();
        let now = now();
        let end = now.plus(Duration::from_secs(60));
        let fill = |client: &str| {
            let client = ClientId::parse(client).unwrap();
            let noted = |id: &usize| used.note(&client, &id.to_string(), end, now) == Ok(());
            let room = (0..CAPACITY).take_while(noted).count();
            let full = used.note(&client, "one more", end, now);
            assert_eq!(full, Err(AssertionRefusal::TooMany));
            room
        };
        assert_eq!(fill("greedy"), CAPACITY / 2);
        assert_eq!(fill("as-greedy"), CAPACITY / 4);
        assert_eq!(fill("third"), CAPACITY / 8);
        // What has expired counts no more.
        let client = ClientId::parse("greedy").unwrap();
        let later = end.plus(Duration::from_secs(60));
        assert_eq!(used.note(&client, "one more", later, end), Ok(()));
        assert_eq!(used.0.lock().unwrap().counts.len(), 1);
    }
}
