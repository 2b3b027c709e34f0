//! The deny list: what has ended, for as long as a token of it may not have expired.
//!
//! The order in which events are added does not matter, and neither do repetitions, so that a stream that delivers an event late
//! or twice leads to the same list.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use uuid::Uuid;

use crate::claims::{Claims, Kind};
use crate::event::Change;
use crate::refused::Refused;

/// Entries are forgotten together, in intervals of this many milliseconds.
const INTERVAL: i64 = 5 * 60 * 1000;

/// The sets of sessions and of accounts are divided, so that the growth of one part takes no longer than a millisecond, and so
/// that it needs little memory at a time.
const PARTS: usize = 64;

/// The number of entries in one allocation of a list of what expires together. As many are forgotten at once.
const CHUNK: usize = 512;

/// The longest id of a client. Authlog permits fewer characters.
const LONGEST_CLIENT: usize = 256;

/// There are as many entries as the list may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The deny list.
pub(crate) struct DenyList {
    sessions: Vec<HashSet<Uuid>>,
    hasher: RandomState,
    accounts: Vec<HashMap<Uuid, AccountEntry>>,
    clients: HashMap<Box<str>, ClientEntry>,
    secrets: HashSet<Uuid>,
    /// Each entry is in it once, with its expiry or an earlier one.
    expiring: BTreeMap<Interval, Expiring>,
    entries: usize,
    most: usize,
    /// The part whose memory is looked at next.
    shrink_next: usize,
}

/// A number of an [`INTERVAL`], at whose end entries are forgotten.
type Interval = i64;

struct AccountEntry {
    /// The lowest epoch that lives. Beyond every epoch for an erased account.
    lowest: u64,
    kept: Option<Uuid>,
    expiry: Interval,
}

#[derive(Default)]
struct ClientEntry {
    /// The last lock or unlock, with its index in the log.
    lock: (u64, bool),
    removed: bool,
    /// The last change that permitted or forbade tokens of its own, with its index in the log.
    lost_own_tokens: (u64, bool),
    expiry: Interval,
}

/// What expires at the end of an interval. An account or a client may have got a later expiry since: it is then listed there when
/// this one is over. So a list never has more records than the deny list has entries, however often an epoch is raised.
#[derive(Default)]
struct Expiring {
    sessions: Chunks<Uuid>,
    accounts: Chunks<Uuid>,
    clients: Chunks<Box<str>>,
    secrets: Chunks<Uuid>,
}

/// A list whose growth moves no entry.
struct Chunks<T>(Vec<Vec<T>>);

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Chunks<T> {
    fn push(&mut self, entry: T) {
        match self.0.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => chunk.push(entry),
            None => {
                let mut chunk = Vec::with_capacity(if self.0.is_empty() { 8 } else { CHUNK });
                chunk.push(entry);
                self.0.push(chunk);
            }
        }
    }

    fn pop_chunk(&mut self) -> Option<Vec<T>> {
        self.0.pop()
    }
}

/// The numbers of entries of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// Sessions that have ended.
    pub sessions: usize,
    /// Accounts whose sessions of earlier epochs have ended.
    pub accounts: usize,
    /// Clients that were locked, removed or changed.
    pub clients: usize,
    /// Secrets that were retired.
    pub secrets: usize,
}

impl Entries {
    /// The sum.
    pub fn total(&self) -> usize {
        self.sessions + self.accounts + self.clients + self.secrets
    }
}

impl DenyList {
    /// An empty list for at most `most` entries.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            sessions: vec![HashSet::new(); PARTS],
            hasher: RandomState::new(),
            accounts: (0..PARTS).map(|_| HashMap::new()).collect(),
            clients: HashMap::new(),
            secrets: HashSet::new(),
            expiring: BTreeMap::new(),
            entries: 0,
            most,
            shrink_next: 0,
        }
    }

    pub(crate) fn entries(&self) -> Entries {
        let accounts = self.accounts.iter().map(HashMap::len).sum();
        let clients = self.clients.len();
        let secrets = self.secrets.len();
        Entries {
            sessions: self.entries - accounts - clients - secrets,
            accounts,
            clients,
            secrets,
        }
    }

    /// Adds what an event changed, which has to be remembered until the instant `until` (Unix milliseconds).
    pub(crate) fn add(&mut self, change: &Change, log_index: u64, until: i64) -> Result<(), Full> {
        let expiry = until.div_euclid(INTERVAL) + 1;
        match change {
            Change::None | Change::Unknown(_) => Ok(()),
            Change::Session(session) => self.add_session(*session, expiry),
            Change::Epoch {
                account,
                epoch,
                kept,
            } => self.raise(*account, u64::from(*epoch), *kept, expiry),
            Change::Erased(account) => self.raise(*account, u64::MAX, None, expiry),
            Change::ClientLocked { client, locked } => {
                self.change_client(client, expiry, |entry| {
                    entry.lock = entry.lock.max((log_index, *locked));
                })
            }
            Change::ClientRemoved(client) => {
                self.change_client(client, expiry, |entry| entry.removed = true)
            }
            Change::ClientGrants { client, own_tokens } => {
                self.change_client(client, expiry, |entry| {
                    entry.lost_own_tokens = entry.lost_own_tokens.max((log_index, !*own_tokens));
                })
            }
            Change::Secret(secret) => self.add_secret(*secret, expiry),
        }
    }

    fn make_room(&mut self) -> Result<(), Full> {
        if self.entries >= self.most {
            return Err(Full);
        }
        self.entries += 1;
        Ok(())
    }

    /// The part of a session or of an account.
    fn part(&self, id: &Uuid) -> usize {
        // The remainder is below the number of parts.
        (self.hasher.hash_one(id) % PARTS as u64) as usize
    }

    fn add_session(&mut self, session: Uuid, expiry: Interval) -> Result<(), Full> {
        let part = self.part(&session);
        if self.sessions[part].contains(&session) {
            return Ok(());
        }
        self.make_room()?;
        self.sessions[part].insert(session);
        let listed = self.expiring.entry(expiry).or_default();
        listed.sessions.push(session);
        Ok(())
    }

    fn raise(
        &mut self,
        account: Uuid,
        lowest: u64,
        kept: Option<Uuid>,
        expiry: Interval,
    ) -> Result<(), Full> {
        let part = self.part(&account);
        if let Some(entry) = self.accounts[part].get_mut(&account) {
            if entry.lowest < lowest {
                *entry = AccountEntry {
                    lowest,
                    kept,
                    expiry: expiry.max(entry.expiry),
                };
            }
            return Ok(());
        }
        self.make_room()?;
        let entry = AccountEntry {
            lowest,
            kept,
            expiry,
        };
        self.accounts[part].insert(account, entry);
        let listed = self.expiring.entry(expiry).or_default();
        listed.accounts.push(account);
        Ok(())
    }

    fn change_client(
        &mut self,
        client: &str,
        expiry: Interval,
        change: impl FnOnce(&mut ClientEntry),
    ) -> Result<(), Full> {
        if client.len() > LONGEST_CLIENT {
            return Ok(());
        }
        if let Some(entry) = self.clients.get_mut(client) {
            change(entry);
            entry.expiry = entry.expiry.max(expiry);
            return Ok(());
        }
        self.make_room()?;
        let mut entry = ClientEntry {
            expiry,
            ..ClientEntry::default()
        };
        change(&mut entry);
        self.clients.insert(client.into(), entry);
        let listed = self.expiring.entry(expiry).or_default();
        listed.clients.push(client.into());
        Ok(())
    }

    fn add_secret(&mut self, secret: Uuid, expiry: Interval) -> Result<(), Full> {
        if self.secrets.contains(&secret) {
            return Ok(());
        }
        self.make_room()?;
        self.secrets.insert(secret);
        let listed = self.expiring.entry(expiry).or_default();
        listed.secrets.push(secret);
        Ok(())
    }

    /// Why the token is refused; `None` if nothing is known to have ended of it.
    pub(crate) fn refusal(&self, claims: &Claims) -> Option<Refused> {
        let has_ended = |session: Uuid| self.sessions[self.part(&session)].contains(&session);
        match claims.kind() {
            Kind::Session {
                account,
                session,
                epoch,
            } => {
                if has_ended(session) || claims.parent_session().is_some_and(has_ended) {
                    return Some(Refused::SessionEnded);
                }
                if let Some(entry) = self.accounts[self.part(&account)].get(&account) {
                    if entry.lowest == u64::MAX {
                        return Some(Refused::AccountErased);
                    }
                    // A session that began in the kept one is not kept: as at Authlog, it has to have the new epoch.
                    if u64::from(epoch) < entry.lowest && entry.kept != Some(session) {
                        return Some(Refused::EpochRaised);
                    }
                }
            }
            Kind::Client => {}
        }
        if let Some(entry) = self.clients.get(claims.client_id()) {
            if entry.removed {
                return Some(Refused::ClientRemoved);
            }
            if entry.lock.1 {
                return Some(Refused::ClientLocked);
            }
            if entry.lost_own_tokens.1 && claims.kind() == Kind::Client {
                return Some(Refused::ClientGrantRemoved);
            }
        }
        let secret = claims.secret_id();
        let is_retired = secret.is_some_and(|secret| self.secrets.contains(&secret));
        is_retired.then_some(Refused::SecretRetired)
    }

    /// Forgets what has expired at `now` (Unix milliseconds), about `most` entries at once. Returns whether there is more.
    pub(crate) fn forget(&mut self, now: i64, most: usize) -> bool {
        let mut forgotten = 0;
        while let Some(mut first) = self.expiring.first_entry() {
            let expiry = *first.key();
            if expiry.saturating_mul(INTERVAL) > now {
                break;
            }
            if forgotten >= most {
                return true;
            }
            let due = first.get_mut();
            if let Some(sessions) = due.sessions.pop_chunk() {
                forgotten += sessions.len();
                self.forget_sessions(&sessions);
            } else if let Some(accounts) = due.accounts.pop_chunk() {
                forgotten += accounts.len();
                self.forget_accounts(accounts, expiry);
            } else if let Some(clients) = due.clients.pop_chunk() {
                forgotten += clients.len();
                self.forget_clients(clients, expiry);
            } else if let Some(secrets) = due.secrets.pop_chunk() {
                forgotten += secrets.len();
                for secret in secrets {
                    self.entries -= usize::from(self.secrets.remove(&secret));
                }
            } else {
                first.remove();
            }
        }
        self.shrink();
        false
    }

    fn forget_sessions(&mut self, due: &[Uuid]) {
        for session in due {
            let part = self.part(session);
            self.entries -= usize::from(self.sessions[part].remove(session));
        }
    }

    fn forget_accounts(&mut self, due: Vec<Uuid>, expiry: Interval) {
        for account in due {
            let part = self.part(&account);
            let later = self.accounts[part].get(&account).map(|entry| entry.expiry);
            if let Some(later) = later.filter(|later| *later > expiry) {
                let listed = self.expiring.entry(later).or_default();
                listed.accounts.push(account);
            } else {
                let removed = self.accounts[part].remove(&account);
                self.entries -= usize::from(removed.is_some());
            }
        }
    }

    fn forget_clients(&mut self, due: Vec<Box<str>>, expiry: Interval) {
        for client in due {
            let later = self.clients.get(&client).map(|entry| entry.expiry);
            if let Some(later) = later.filter(|later| *later > expiry) {
                let listed = self.expiring.entry(later).or_default();
                listed.clients.push(client);
            } else {
                let removed = self.clients.remove(&client);
                self.entries -= usize::from(removed.is_some());
            }
        }
    }

    /// Gives memory back after a peak: of one part at a time, because the entries that are left are moved.
    fn shrink(&mut self) {
        let is_wasteful = |capacity: usize, used: usize| capacity / 4 > used + 256;
        self.shrink_next = (self.shrink_next + 1) % PARTS;
        let sessions = &mut self.sessions[self.shrink_next];
        if is_wasteful(sessions.capacity(), sessions.len()) {
            sessions.shrink_to_fit();
        }
        let accounts = &mut self.accounts[self.shrink_next];
        if is_wasteful(accounts.capacity(), accounts.len()) {
            accounts.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of records of what expires.
    fn records(list: &DenyList) -> usize {
        fn count<T>(chunks: &Chunks<T>) -> usize {
            chunks.0.iter().map(Vec::len).sum()
        }
        let all = list.expiring.values();
        all.map(|it| {
            count(&it.sessions) + count(&it.accounts) + count(&it.clients) + count(&it.secrets)
        })
        .sum()
    }

    fn raised(account: u128, epoch: u32) -> Change {
        Change::Epoch {
            account: Uuid::from_u128(account),
            epoch,
            kept: None,
        }
    }

    #[test]
    fn an_entry_that_is_changed_often_needs_no_more_memory() {
        let mut list = DenyList::new(10);
        for number in 1..=1000 {
            let until = i64::from(number) * INTERVAL;
            list.add(&raised(1, number), 1, until).unwrap();
            for locked in [true, false] {
                let client = "shop".to_owned();
                let change = Change::ClientLocked { client, locked };
                list.add(&change, u64::from(number), until).unwrap();
            }
        }
        assert_eq!((list.entries().total(), records(&list)), (2, 2));
        // It is forgotten by its last expiry, which is at the end of the interval after it.
        for number in 1..=1000 {
            assert!(!list.forget(number * INTERVAL, usize::MAX));
            assert_eq!((list.entries().total(), records(&list)), (2, 2), "{number}");
        }
        list.forget(1001 * INTERVAL, usize::MAX);
        assert_eq!((list.entries().total(), records(&list)), (0, 0));
        assert!(list.expiring.is_empty());
    }

    #[test]
    fn a_mass_of_any_kind_is_forgotten_in_small_steps() {
        const MASS: usize = 20_000;
        let kinds: [fn(u128) -> Change; 4] = [
            |number| Change::Session(Uuid::from_u128(number)),
            |number| raised(number, 1),
            |number| Change::ClientRemoved(number.to_string()),
            |number| Change::Secret(Uuid::from_u128(number)),
        ];
        for change in kinds {
            let mut list = DenyList::new(MASS);
            for number in 0..MASS as u128 {
                list.add(&change(number), 1, 1).unwrap();
            }
            assert_eq!(list.add(&change(MASS as u128), 1, 1), Err(Full));
            let mut left = MASS;
            while list.forget(2 * INTERVAL, 1000) {
                let now = list.entries().total();
                assert!(left - now <= 1000 + CHUNK, "{left} {now}");
                assert!(now < left);
                left = now;
            }
            assert_eq!((list.entries().total(), records(&list)), (0, 0));
        }
    }

    #[test]
    fn memory_is_given_back_although_some_entries_are_left() {
        let mut list = DenyList::new(usize::MAX);
        for number in 0..200_000 {
            let session = Change::Session(Uuid::from_u128(number));
            list.add(&session, 1, 1).unwrap();
            list.add(&raised(number, 1), 1, 1).unwrap();
        }
        list.add(&raised(0, 2), 2, 10 * INTERVAL).unwrap();
        for _ in 0..PARTS {
            list.forget(2 * INTERVAL, usize::MAX);
        }
        assert_eq!(list.entries().total(), 1);
        let sessions: usize = list.sessions.iter().map(HashSet::capacity).sum();
        let accounts: usize = list.accounts.iter().map(HashMap::capacity).sum();
        assert!(sessions + accounts < 1000, "{sessions} {accounts}");
    }
}
