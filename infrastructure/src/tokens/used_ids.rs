//! The memory of the ids of used tokens that clients signed. Only tokens with a valid signature get here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use authlog_domain::Timestamp;
use aws_lc_rs::digest;

/// A digest of the signer and the id of a token. So a long id takes no more memory than a short one.
type Name = [u8; 16];

/// The ids that were used on this node. Each takes about 80 bytes.
///
/// An owner has room for as many as are free, which is half of all if it is alone. So one owner leaves room for others. Owners of whom
/// a person can have many need a limit of their own ([`Owner::most`]).
pub(super) struct UsedIds {
    capacity: usize,
    memory: Mutex<Memory>,
}

/// Who takes memory for an id.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) name: &'a str,
    /// How many it has at most.
    pub(super) most: usize,
}

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
    /// A memory of `capacity` ids.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            capacity,
            memory: Mutex::default(),
        }
    }

    /// Notes that the id of a token of `signer` is used, until it expires. The name of a signer has no NUL.
    ///
    /// # Errors
    /// See [`IdRefusal`]. No id is forgotten before its time, because it could be used again.
    pub(super) fn note(
        &self,
        owner: Owner<'_>,
        signer: &str,
        id: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), IdRefusal> {
        let name = name(signer, id);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.forget_expired(now);
        if memory.names.contains(&name) {
            return Err(IdRefusal::Used);
        }
        if !memory.has_room_for(owner, self.capacity) {
            return Err(IdRefusal::TooMany);
        }
        memory.remember(owner.name, name, expires_at);
        Ok(())
    }
}

impl Memory {
    fn has_room_for(&self, owner: Owner<'_>, capacity: usize) -> bool {
        let own = self.counts.get(owner.name).copied();
        let free = capacity.saturating_sub(self.names.len());
        own.unwrap_or_default() < free.min(owner.most)
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

/// A signer has no NUL, so no two pairs have one name.
fn name(signer: &str, id: &str) -> Name {
    let mut digest = digest::Context::new(&digest::SHA256);
    for part in [signer, "\0", id] {
        digest.update(part.as_bytes());
    }
    let mut name = Name::default();
    let length = name.len();
    name.copy_from_slice(&digest.finish().as_ref()[..length]);
    name
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_unix_millis(1_700_000_000_000)
    }

    const CAPACITY: usize = 1_000;

    fn owner(name: &str) -> Owner<'_> {
        Owner {
            name,
            most: usize::MAX,
        }
    }

    #[test]
    fn an_id_of_an_owner_is_used_once_until_it_expires() {
        let used = UsedIds::with_capacity(CAPACITY);
        let note = |name, id, end, now| used.note(owner(name), name, id, end, now);
        let now = now();
        let [ours, other] = ["web-app", "web-app-2"];
        let end = now.plus(Duration::from_secs(60));
        assert_eq!(note(ours, "1", end, now), Ok(()));
        assert_eq!(note(ours, "1", end, now), Err(IdRefusal::Used));
        assert_eq!(note(ours, "2", end, now), Ok(()));
        assert_eq!(note(other, "1", end, now), Ok(()));
        let last = end.minus(Duration::from_millis(1));
        assert_eq!(note(ours, "1", end, last), Err(IdRefusal::Used));
        let later = end.plus(Duration::from_secs(60));
        assert_eq!(note(ours, "1", later, end), Ok(()));
        let memory = used.memory.lock().unwrap();
        assert_eq!((memory.names.len(), memory.by_end.len()), (1, 1));
        assert_eq!(memory.counts.len(), 1);
    }

    #[test]
    fn an_owner_that_uses_all_of_its_room_leaves_room_for_others() {
        let used = UsedIds::with_capacity(CAPACITY);
        let note = |name: &str, id: &str, end, now| used.note(owner(name), name, id, end, now);
        let now = now();
        let end = now.plus(Duration::from_secs(60));
        let fill = |owner: &str| {
            let noted = |id: &usize| note(owner, &id.to_string(), end, now) == Ok(());
            let room = (0..CAPACITY).take_while(noted).count();
            let full = note(owner, "one more", end, now);
            assert_eq!(full, Err(IdRefusal::TooMany));
            room
        };
        assert_eq!(fill("greedy"), CAPACITY / 2);
        assert_eq!(fill("as-greedy"), CAPACITY / 4);
        assert_eq!(fill("third"), CAPACITY / 8);
        // What has expired counts no more.
        let later = end.plus(Duration::from_secs(60));
        assert_eq!(note("greedy", "one more", later, end), Ok(()));
        assert_eq!(used.memory.lock().unwrap().counts.len(), 1);
    }
}
