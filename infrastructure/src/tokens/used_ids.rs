//! The memory of the ids of used tokens that clients signed. Only tokens with a valid signature get here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use authlog_domain::Timestamp;
use aws_lc_rs::digest;

/// How many ids are remembered: 330 a second for five minutes, or 830 a second for two. They take 20 MB.
///
/// An owner has room for as many as are free, which is half of all if it is alone. So there is always room for others.
const CAPACITY: usize = 100_000;

/// A digest of the owner and the id of a token. So a long id takes no more memory than a short one.
type Name = [u8; 32];

/// The ids that were used on this node.
#[derive(Default)]
pub(super) struct UsedIds(Mutex<Memory>);

/// Why an id is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdRefusal {
    /// It was used before.
    Used,
    /// Too many ids of its owner are remembered.
    TooMany,
}

#[derive(Default)]
struct Memory {
    names: HashSet<Name>,
    /// The owner of each, in the order in which they expire.
    by_end: BTreeMap<(Timestamp, Name), Arc<str>>,
    /// How many each owner has, if it has any.
    counts: HashMap<Arc<str>, usize>,
}

impl UsedIds {
    /// Notes that the id of `owner` is used, until it expires. The name of an owner has no NUL.
    ///
    /// # Errors
    /// See [`IdRefusal`]. No id is forgotten before its time, because it could be used again.
    pub(super) fn note(
        &self,
        owner: &str,
        id: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), IdRefusal> {
        let name = name(owner, id);
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.forget_expired(now);
        if memory.names.contains(&name) {
            return Err(IdRefusal::Used);
        }
        if !memory.has_room_for(owner) {
            return Err(IdRefusal::TooMany);
        }
        memory.remember(owner, name, expires_at);
        Ok(())
    }
}

impl Memory {
    fn has_room_for(&self, owner: &str) -> bool {
        let own = self.counts.get(owner).copied();
        let free = CAPACITY.saturating_sub(self.names.len());
        own.unwrap_or_default() < free
    }

    fn remember(&mut self, owner: &str, name: Name, expires_at: Timestamp) {
        let known = self.counts.get_key_value(owner);
        let owner = known.map_or_else(|| Arc::from(owner), |(owner, _)| Arc::clone(owner));
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

/// An owner has no NUL, so no two pairs have one name.
fn name(owner: &str, id: &str) -> Name {
    let mut digest = digest::Context::new(&digest::SHA256);
    for part in [owner, "\0", id] {
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
    fn an_id_of_an_owner_is_used_once_until_it_expires() {
        let used = UsedIds::default();
        let now = now();
        let [ours, other] = ["web-app", "web-app-2"];
        let end = now.plus(Duration::from_secs(60));
        assert_eq!(used.note(ours, "1", end, now), Ok(()));
        assert_eq!(used.note(ours, "1", end, now), Err(IdRefusal::Used));
        assert_eq!(used.note(ours, "2", end, now), Ok(()));
        assert_eq!(used.note(other, "1", end, now), Ok(()));
        let last = end.minus(Duration::from_millis(1));
        assert_eq!(used.note(ours, "1", end, last), Err(IdRefusal::Used));
        let later = end.plus(Duration::from_secs(60));
        assert_eq!(used.note(ours, "1", later, end), Ok(()));
        let memory = used.0.lock().unwrap();
        assert_eq!((memory.names.len(), memory.by_end.len()), (1, 1));
        assert_eq!(memory.counts.len(), 1);
    }

    #[test]
    fn an_owner_that_uses_all_of_its_room_leaves_room_for_others() {
        let used = UsedIds::default();
        let now = now();
        let end = now.plus(Duration::from_secs(60));
        let fill = |owner: &str| {
            let noted = |id: &usize| used.note(owner, &id.to_string(), end, now) == Ok(());
            let room = (0..CAPACITY).take_while(noted).count();
            let full = used.note(owner, "one more", end, now);
            assert_eq!(full, Err(IdRefusal::TooMany));
            room
        };
        assert_eq!(fill("greedy"), CAPACITY / 2);
        assert_eq!(fill("as-greedy"), CAPACITY / 4);
        assert_eq!(fill("third"), CAPACITY / 8);
        // What has expired counts no more.
        let later = end.plus(Duration::from_secs(60));
        assert_eq!(used.note("greedy", "one more", later, end), Ok(()));
        assert_eq!(used.0.lock().unwrap().counts.len(), 1);
    }
}
