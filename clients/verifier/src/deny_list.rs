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

/// The set of sessions is divided, so that the growth of one part takes no longer than a millisecond, and so
/// that it needs little memory at a time.
const PARTS: usize = 64;

/// The number of session ids in one allocation of a list of what expires together.
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
    accounts: HashMap<Uuid, AccountEntry>,
    clients: HashMap<Box<str>, ClientEntry>,
    secrets: HashMap<Uuid, Interval>,
    expiring: BTreeMap<Interval, Expiring>,
    entries: usize,
    most: usize,
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

/// What expires at the end of an interval. An account or a client may have got a later expiry since.
#[derive(Default)]
struct Expiring {
    sessions: Vec<Vec<Uuid>>,
    accounts: Vec<Uuid>,
    clients: Vec<Box<str>>,
    secrets: Vec<Uuid>,
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
            accounts: HashMap::new(),
            clients: HashMap::new(),
            secrets: HashMap::new(),
            expiring: BTreeMap::new(),
            entries: 0,
            most,
        }
    }

    pub(crate) fn entries(&self) -> Entries {
        let accounts = self.accounts.len();
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
    pub(crate) fn add(
        &mut self,
        change: &Change,
        log_index: u64,
        until: i64,
    ) -> Result<(), Full> {
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

    fn part(&self, session: &Uuid) -> usize {
        // The remainder is below the number of parts.
        (self.hasher.hash_one(session) % PARTS as u64) as usize
    }

    fn add_session(&mut self, session: Uuid, expiry: Interval) -> Result<(), Full> {
        let part = self.part(&session);
        if self.sessions[part].contains(&session) {
            return Ok(());
        }
        self.make_room()?;
        self.sessions[part].insert(session);
        let chunks = &mut self.expiring.entry(expiry).or_default().sessions;
        match chunks.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => chunk.push(session),
            None => {
                let mut chunk = Vec::with_capacity(if chunks.is_empty() { 8 } else { CHUNK });
                chunk.push(session);
                chunks.push(chunk);
            }
        }
        Ok(())
    }

    fn raise(
        &mut self,
        account: Uuid,
        lowest: u64,
        kept: Option<Uuid>,
        expiry: Interval,
    ) -> Result<(), Full> {
        match self.accounts.get_mut(&account) {
            Some(entry) if entry.lowest >= lowest => return Ok(()),
            Some(entry) => {
                let later = expiry.max(entry.expiry);
                let is_listed = later == entry.expiry;
                *entry = AccountEntry {
                    lowest,
                    kept,
                    expiry: later,
                };
                if is_listed {
                    return Ok(());
                }
            }
            None => {
                self.make_room()?;
                let entry = AccountEntry {
                    lowest,
                    kept,
                    expiry,
                };
                self.accounts.insert(account, entry);
            }
        }
        self.expiring
            .entry(expiry)
            .or_default()
            .accounts
            .push(account);
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
        if !self.clients.contains_key(client) {
            self.make_room()?;
        }
        let entry = self.clients.entry(client.into()).or_default();
        change(entry);
        if entry.expiry < expiry {
            entry.expiry = expiry;
            let listed = self.expiring.entry(expiry).or_default();
            listed.clients.push(client.into());
        }
        Ok(())
    }

    fn add_secret(&mut self, secret: Uuid, expiry: Interval) -> Result<(), Full> {
        if self.secrets.contains_key(&secret) {
            return Ok(());
        }
        self.make_room()?;
        self.secrets.insert(secret, expiry);
        self.expiring
            .entry(expiry)
            .or_default()
            .secrets
            .push(secret);
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
                if let Some(entry) = self.accounts.get(&account) {
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
        let is_retired = secret.is_some_and(|secret| self.secrets.contains_key(&secret));
        is_retired.then_some(Refused::SecretRetired)
    }

    /// Forgets what has expired at `now` (Unix milliseconds), about `most` entries at once. Returns whether there is more.
    pub(crate) fn forget(&mut self, now: i64, most: usize) -> bool {
        let mut forgotten = 0;
        while let Some(mut first) = self.expiring.first_entry() {
            let expiry = *first.key();
            if expiry.saturating_mul(INTERVAL) > now {
                return false;
            }
            if forgotten >= most {
                return true;
            }
            if let Some(chunk) = first.get_mut().sessions.pop() {
                forgotten += chunk.len();
                for session in chunk {
                    let part = self.part(&session);
                    self.entries -= usize::from(self.sessions[part].remove(&session));
                }
                continue;
            }
            let due = first.remove();
            forgotten += self.forget_others(due, expiry);
        }
        self.shrink();
        false
    }

    fn forget_others(&mut self, due: Expiring, expiry: Interval) -> usize {
        let before = self.entries;
        for account in due.accounts {
            // It has a later expiry if its epoch was raised again.
            if self
                .accounts
                .get(&account)
                .is_some_and(|it| it.expiry <= expiry)
            {
                self.accounts.remove(&account);
                self.entries -= 1;
            }
        }
        for client in due.clients {
            if self
                .clients
                .get(&client)
                .is_some_and(|it| it.expiry <= expiry)
            {
                self.clients.remove(&client);
                self.entries -= 1;
            }
        }
        for secret in due.secrets {
            self.entries -= usize::from(self.secrets.remove(&secret).is_some());
        }
        before - self.entries
    }

    /// Gives memory back after a peak.
    fn shrink(&mut self) {
        let is_wasteful = |capacity: usize, used: usize| capacity > 4 * used + 1024;
        for part in &mut self.sessions {
            if is_wasteful(part.capacity(), part.len()) {
                part.shrink_to_fit();
            }
        }
        if is_wasteful(self.accounts.capacity(), self.accounts.len()) {
            self.accounts.shrink_to_fit();
        }
    }
}
