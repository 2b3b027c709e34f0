//! The examination and repair of a store, without the SQL statements, which each store has of its own.
//!
//! | pass | looks at | for |
//! |---|---|---|
//! | log | `event_log`, by index | gaps, entries without events, order |
//! | leftovers | each derived table, by key | rows without events |
//! | streams | `events`, stream by stream, with what was derived from each | everything else |
//! | places | `accounts` and `account_places`, by number | accounts that the list leaves out |
//! | claims | `identifier_claims`, by key | claims that no event makes |
//! | tokens | `opaque_tokens`, by key | tokens that this service did not store |
//!
//! Everything is read in pages, and each page in one snapshot. An append becomes visible as a whole, so that a live
//! service causes no false alarm. An apparent fault is read once more by itself before it is reported.

mod factors;
mod places;
mod rows;
mod stream;

use std::collections::{HashMap, HashSet};

use authlog_application::ports::{
    Account, Check, ClientRecord, Diagnosis, Finding, IdentifierKind, OpaqueTokenRecord, Rebuild,
    SessionRecord, StoreError, StreamId, TokenDigest,
};
use authlog_domain::{AggregateKind, Timestamp, UserId};

use crate::sealing::{GrantsAccess as _, Stored, StoredCredential};
use crate::store::{ClaimDigest, ClaimUpgrade, KeyVault, Pepper, SigningKeyStore};
use crate::tokens::KeyPurpose;
use crate::transparency::SchemaCheck;
pub(crate) use places::Placed;
use stream::Verdict;

/// Rows and events that are read at a time.
const PAGE: u32 = 2000;

/// A stream as it is stored: its kind may be one that this program does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamName {
    pub(crate) kind: String,
    pub(crate) id: String,
}

impl StreamName {
    fn known(&self) -> Option<StreamId> {
        Some(StreamId {
            kind: AggregateKind::from_stored(&self.kind)?,
            id: self.id.clone(),
        })
    }
}

impl std::fmt::Display for StreamName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

/// An event, byte for byte as it is stored.
pub(crate) struct StoredEvent {
    pub(crate) stream: StreamName,
    /// The account that the event belongs to.
    pub(crate) user: Option<String>,
    pub(crate) sequence: i64,
    pub(crate) event_type: String,
    pub(crate) event_version: String,
    pub(crate) recorded_at_micros: i64,
    pub(crate) payload: String,
    pub(crate) metadata: String,
    pub(crate) place: Place,
}

/// An event's place in the log.
pub(crate) enum Place {
    /// The event is in the log.
    At { log_index: i64, leaf_hash: Vec<u8> },
    /// The sequencer has not reached the event yet.
    Waiting,
    /// The sequencer has passed the event, and the log lacks it.
    Missing,
}

/// Which streams to read.
#[derive(Clone)]
pub(crate) enum Scope {
    /// Up to this number of events of the streams after this one, ordered by stream and sequence.
    After(StreamName, u32),
    /// All of one stream.
    Only(StreamName),
}

/// Events and the rows derived from them, from one snapshot. An `Err` says why a row cannot be read.
#[derive(Default)]
pub(crate) struct Reading {
    pub(crate) events: Vec<StoredEvent>,
    pub(crate) accounts: HashMap<String, Result<Stored<Account>, String>>,
    pub(crate) sessions: HashMap<String, Result<Stored<SessionRecord>, String>>,
    pub(crate) clients: HashMap<String, Result<Stored<ClientRecord>, String>>,
    /// Each account's stored password.
    pub(crate) credentials: HashMap<String, Result<StoredCredential, String>>,
    /// Each account's seeds of authenticator apps.
    pub(crate) seeds: HashMap<String, Vec<StoredFactor>>,
    /// Each account's passkeys.
    pub(crate) passkeys: HashMap<String, Vec<StoredFactor>>,
    /// How many recovery codes each account has.
    pub(crate) recovery_codes: HashMap<String, i64>,
    /// Each account's wrapped key.
    pub(crate) keys: HashMap<String, Vec<u8>>,
    /// The accounts of the events that were erased. Neither they nor their sessions have rows.
    pub(crate) erased: HashSet<String>,
    /// The erased accounts whose session rows are still being removed.
    pub(crate) unfinished: HashSet<String>,
}

/// The secret of a second factor as it is stored.
pub(crate) struct StoredFactor {
    /// The id of the factor.
    pub(crate) factor: String,
    pub(crate) sealed: Vec<u8>,
}

impl Reading {
    /// The accounts to which the events happened.
    pub(crate) fn users(&self) -> HashSet<String> {
        let users = self.events.iter().filter_map(|event| event.user.clone());
        users.collect()
    }

    /// The ids of the streams of this kind, to look up the rows derived from them.
    pub(crate) fn ids_of(&self, kind: AggregateKind) -> Vec<String> {
        self.events
            .chunk_by(|a, b| a.stream == b.stream)
            .map(|events| &events[0].stream)
            .filter(|stream| stream.kind == kind.as_str())
            .map(|stream| stream.id.clone())
            .collect()
    }
}

/// An entry of the log.
pub(crate) struct LogEntry {
    pub(crate) log_index: i64,
    /// The name of its event.
    pub(crate) event: String,
    /// Whether this event is stored.
    pub(crate) has_event: bool,
    /// The key that the log is ordered by; `None` for an entry that was restored from a backup.
    pub(crate) order: Option<(u64, i64)>,
}

/// A claim as it is stored, with the row of its owner.
#[derive(Clone)]
pub(crate) struct StoredClaim {
    pub(crate) kind: String,
    pub(crate) digest: Vec<u8>,
    pub(crate) owner: String,
    pub(crate) account: Option<Result<Stored<Account>, String>>,
}

/// A table in which each row belongs to a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) key: &'static str,
    pub(crate) kind: AggregateKind,
    check: Check,
    /// Whether its rows can be rebuilt from the events.
    derived: bool,
}

const TABLES: [Table; 8] = {
    use AggregateKind::{Client, Session, User};
    [
        table("accounts", "user_id", User, Check::Accounts, true),
        table("sessions", "session_id", Session, Check::Sessions, true),
        table("clients", "client_id", Client, Check::Clients, true),
        table("credentials", "user_id", User, Check::Credentials, false),
        table("subject_keys", "user_id", User, Check::SubjectKeys, false),
        table(
            "second_factors",
            "user_id",
            User,
            Check::SecondFactors,
            false,
        ),
        table("passkeys", "user_id", User, Check::SecondFactors, false),
        table(
            "recovery_codes",
            "user_id",
            User,
            Check::SecondFactors,
            false,
        ),
    ]
};

const fn table(
    name: &'static str,
    key: &'static str,
    kind: AggregateKind,
    check: Check,
    derived: bool,
) -> Table {
    Table {
        name,
        key,
        kind,
        check,
        derived,
    }
}

/// A store that the doctor can examine and repair.
pub(crate) trait Examinable: Rebuild + SigningKeyStore + SchemaCheck + ClaimUpgrade {
    /// The keys that open personal fields and verify seals.
    fn vault(&self) -> &KeyVault;

    /// Reads streams and what was derived from them, in one snapshot.
    fn read(&self, scope: Scope) -> impl Future<Output = Result<Reading, StoreError>> + Send;

    /// Up to `limit` entries of the log after an index.
    fn log_after(
        &self,
        index: i64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<LogEntry>, StoreError>> + Send;

    /// The index at which the log should end and the one at which it ends; 0 if it is empty.
    fn log_ends(&self) -> impl Future<Output = Result<(i64, i64), StoreError>> + Send;

    /// The stored owner of each of these claims, in the same order; `None` for a claim that is not stored.
    fn claimed(
        &self,
        claims: Vec<ClaimDigest>,
    ) -> impl Future<Output = Result<Vec<Option<String>>, StoreError>> + Send;

    /// Up to `limit` claims after one of them.
    fn claims_after(
        &self,
        after: Option<StoredClaim>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StoredClaim>, StoreError>> + Send;

    /// Up to `limit` keys of a table after one of them, each with whether it has events.
    fn keys_after(
        &self,
        table: Table,
        after: Option<String>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(String, bool)>, StoreError>> + Send;

    /// Up to `limit` numbers above `number` that an account or an entry of the account list has.
    fn places_after(
        &self,
        number: i64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Placed>, StoreError>> + Send;

    /// Lists the account with this number, or removes it from the list if there is none.
    fn repair_place(&self, number: i64) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Rewrites the row of a stream, even over a row with a later version, unless the account was erased.
    fn rewrite_row(&self, stream: &StreamId)
    -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the row of a stream that should have none.
    fn remove_row(&self, stream: &StreamId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes an identifier an account's own, unless the account is being erased.
    fn rewrite_claim(
        &self,
        claim: ClaimDigest,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes a claim.
    fn remove_claim(
        &self,
        claim: StoredClaim,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Up to `limit` opaque tokens after one of them.
    fn opaque_tokens_after(
        &self,
        after: Option<TokenDigest>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Stored<OpaqueTokenRecord>>, StoreError>> + Send;

    /// Removes an opaque token.
    fn remove_opaque_token(
        &self,
        digest: TokenDigest,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The approximate number of steps of an examination: each event is read in the log and in its stream.
pub(crate) async fn steps(store: &impl Examinable) -> Result<u64, StoreError> {
    Ok(store.log_ends().await?.1.unsigned_abs() * 2)
}

/// Runs all passes, and repairs what can be repaired if `repair` is set. `progress` gets the number of steps done.
pub(crate) async fn examine(
    store: &impl Examinable,
    repair: bool,
    now: Timestamp,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Diagnosis, StoreError> {
    let mut examination = Examination {
        store,
        repair,
        now,
        progress,
        steps: 0,
        mailboxes_are_claimed: store.mailboxes_are_claimed().await?,
        diagnosis: Diagnosis {
            unsealed: !store.vault().seals.are_required(),
            ..Diagnosis::default()
        },
    };
    examination.log().await?;
    for table in TABLES {
        examination.leftovers(table).await?;
    }
    examination.streams().await?;
    examination.places().await?;
    examination.surplus_claims().await?;
    examination.opaque_tokens().await?;
    examination.schema().await?;
    examination.signing_keys().await?;
    Ok(examination.diagnosis)
}

struct Examination<'a, S> {
    store: &'a S,
    repair: bool,
    now: Timestamp,
    progress: &'a (dyn Fn(u64) + Send + Sync),
    steps: u64,
    /// Whether the upgrade that claims every mailbox is finished.
    mailboxes_are_claimed: bool,
    diagnosis: Diagnosis,
}

impl<S: Examinable> Examination<'_, S> {
    fn advance(&mut self, steps: usize) {
        self.steps += steps as u64;
        (self.progress)(self.steps);
    }

    fn note(&mut self, check: Check, place: String, detail: String) {
        self.diagnosis
            .note(Finding::new(check, place, detail), false);
    }

    async fn log(&mut self) -> Result<(), StoreError> {
        let (mut last, mut last_order) = (0, None);
        loop {
            let entries = self.store.log_after(last, PAGE).await?;
            if entries.is_empty() {
                break;
            }
            self.advance(entries.len());
            for entry in entries {
                let place = || format!("log index {}", entry.log_index);
                if entry.log_index != last + 1 {
                    let detail = format!("missing; the next is {}", entry.log_index);
                    self.note(Check::LogDense, format!("log index {}", last + 1), detail);
                }
                if !entry.has_event {
                    let detail = format!("its event {} is not stored", entry.event);
                    self.note(Check::LogComplete, place(), detail);
                }
                if entry.order.is_some() {
                    if entry.order <= last_order {
                        let detail =
                            format!("{} was committed before the one before it", entry.event);
                        self.note(Check::LogOrder, place(), detail);
                    }
                    last_order = entry.order;
                }
                last = entry.log_index;
            }
        }
        let (should, does) = self.store.log_ends().await?;
        if should != does {
            let detail = format!("the log ends there and should end at {should}");
            self.note(Check::LogDense, format!("log index {does}"), detail);
        }
        Ok(())
    }

    /// Whether events may have been deleted. Then the rows derived from them are evidence and are not repaired.
    fn events_are_in_doubt(&self) -> bool {
        [Check::LogDense, Check::LogComplete]
            .iter()
            .any(|check| self.diagnosis.divergences.contains_key(check))
    }

    async fn leftovers(&mut self, table: Table) -> Result<(), StoreError> {
        let repair = self.repair && table.derived && !self.events_are_in_doubt();
        let (mut after, mut found) = (None, false);
        loop {
            let keys = self.store.keys_after(table, after, PAGE).await?;
            for (key, _) in keys.iter().filter(|(_, has_events)| !has_events) {
                let place = format!("{} {key}", table.name);
                let finding = Finding::new(table.check, place, "a row without any events");
                self.diagnosis.note(finding, repair);
                found = true;
            }
            match keys.into_iter().next_back() {
                Some((last, _)) => after = Some(last),
                None => break,
            }
        }
        if found && repair {
            self.store.remove_orphans().await?;
        }
        Ok(())
    }

    async fn streams(&mut self) -> Result<(), StoreError> {
        let mut after = StreamName {
            kind: String::new(),
            id: String::new(),
        };
        loop {
            let scope = Scope::After(after.clone(), PAGE);
            let mut reading = self.store.read(scope).await?;
            let is_last_page = reading.events.len() < PAGE as usize;
            if !is_last_page && let Some(partial) = reading.events.last() {
                // The last stream may continue beyond the page, so it is left to the next page.
                let name = partial.stream.clone();
                let whole = reading.events.partition_point(|event| event.stream != name);
                if whole > 0 {
                    reading.events.truncate(whole);
                } else {
                    reading = self.store.read(Scope::Only(name)).await?;
                }
            }
            let Some(last) = reading.events.last() else {
                return Ok(());
            };
            after = last.stream.clone();
            self.page(&reading).await?;
            if is_last_page {
                return Ok(());
            }
        }
    }

    async fn page(&mut self, reading: &Reading) -> Result<(), StoreError> {
        let verdicts: Vec<Verdict> = reading
            .events
            .chunk_by(|a, b| a.stream == b.stream)
            .map(|events| stream::examine(self.store.vault(), reading, events, self.now))
            .collect();
        let claims: Vec<ClaimDigest> = verdicts
            .iter()
            .flat_map(|verdict| verdict.claims.clone())
            .collect();
        let owners = self.store.claimed(claims).await?;
        let mut owners = owners.into_iter();
        for verdict in &verdicts {
            self.diagnosis.waiting += verdict.waiting;
            let mut suspect = !verdict.findings.is_empty();
            for claim in &verdict.claims {
                let owner = owners.next().flatten();
                suspect |= self.is_wrong(claim, owner.as_ref());
            }
            if suspect {
                self.confirm(verdict.stream.clone()).await?;
            }
        }
        self.diagnosis.events += reading.events.len() as u64;
        self.advance(reading.events.len());
        Ok(())
    }

    /// Reads one stream by itself and reports what is wrong with it, after repairing what can be.
    async fn confirm(&mut self, name: StreamName) -> Result<(), StoreError> {
        let (_, mut found) = self.judge(&name).await?;
        // Claims are read after the events, and an erasure may come in between, so only faults that are found twice
        // count.
        let (verdict, again) = self.judge(&name).await?;
        found.retain(|finding| again.contains(finding));
        if let Some((holder, finding)) = self.shared_mailbox(&verdict).await? {
            found.retain(|it| *it != finding);
            if let Some(account) = UserId::parse(&verdict.stream.id) {
                self.diagnosis.note_shared_mailbox(account, holder);
            }
        }
        let repair = self.repair && !self.events_are_in_doubt() && verdict.is_sound();
        let remaining = if repair && !found.is_empty() {
            self.repair_rows(&verdict, &found).await?;
            self.judge(&name).await?.1
        } else {
            found.clone()
        };
        for finding in found {
            let repaired = !remaining.contains(&finding);
            self.diagnosis.note(finding, repaired);
        }
        Ok(())
    }

    /// Everything that is wrong with a stream and what was derived from it.
    async fn judge(&self, name: &StreamName) -> Result<(Verdict, Vec<Finding>), StoreError> {
        let reading = self.store.read(Scope::Only(name.clone())).await?;
        let verdict = stream::examine(self.store.vault(), &reading, &reading.events, self.now);
        let mut found = verdict.findings.clone();
        let owners = self.store.claimed(verdict.claims.clone()).await?;
        for (claim, owner) in verdict.claims.iter().zip(owners) {
            if self.is_wrong(claim, owner.as_ref()) {
                found.push(wrong_claim(claim, owner));
            }
        }
        Ok((verdict, found))
    }

    /// Whether an expected claim is missing or belongs to another account.
    fn is_wrong(&self, claim: &ClaimDigest, owner: Option<&String>) -> bool {
        match owner {
            Some(owner) => *owner != claim.owner.to_string(),
            None => claim.is_spelling || self.mailboxes_are_claimed,
        }
    }

    /// The other account that has the same mailbox by another spelling of its address, and the finding that this
    /// causes; `None` if there is none. Earlier versions registered such accounts, so it is no damage.
    async fn shared_mailbox(
        &self,
        verdict: &Verdict,
    ) -> Result<Option<(UserId, Finding)>, StoreError> {
        let owners = self.store.claimed(verdict.claims.clone()).await?;
        for (claim, owner) in verdict.claims.iter().zip(owners) {
            let Some(owner) = owner.filter(|_| !claim.is_spelling) else {
                continue;
            };
            if let Some(holder) = UserId::parse(&owner)
                && holder != claim.owner
                && self.claims_by_its_events(&owner, claim).await?
            {
                return Ok(Some((holder, wrong_claim(claim, Some(owner)))));
            }
        }
        Ok(None)
    }

    async fn repair_rows(&self, verdict: &Verdict, found: &[Finding]) -> Result<(), StoreError> {
        let wrong = |check| found.iter().any(|finding| finding.check == check);
        if (wrong(Check::Accounts) || wrong(Check::Sessions) || wrong(Check::Clients))
            && let Some(stream) = verdict.stream.known()
        {
            let written = if verdict.has_row {
                self.store.rewrite_row(&stream).await
            } else {
                self.store.remove_row(&stream).await
            };
            if let Err(error) = written {
                // Another damaged row can prevent the repair; what remains is reported.
                tracing::warn!(%error, stream = %verdict.stream, "a row could not be repaired");
            }
        }
        if !wrong(Check::Claims) {
            return Ok(());
        }
        let owners = self.store.claimed(verdict.claims.clone()).await?;
        for (claim, owner) in verdict.claims.iter().zip(owners) {
            // If the events of two accounts claim one identifier, neither owner would be right.
            let contested = match owner {
                Some(owner) => self.claims_by_its_events(&owner, claim).await?,
                None => false,
            };
            if !contested {
                self.store.rewrite_claim(claim.clone()).await?;
            }
        }
        Ok(())
    }

    /// Whether the events of the account `owner` claim this identifier.
    async fn claims_by_its_events(
        &self,
        owner: &str,
        claim: &ClaimDigest,
    ) -> Result<bool, StoreError> {
        let name = StreamName {
            kind: AggregateKind::User.as_str().to_owned(),
            id: owner.to_owned(),
        };
        let (verdict, _) = self.judge(&name).await?;
        // It is unknown what untrusted events claimed.
        Ok(!verdict.is_sound()
            || verdict
                .claims
                .iter()
                .any(|own| (own.kind, own.digest) == (claim.kind, claim.digest)))
    }

    async fn surplus_claims(&mut self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let claims = self.store.claims_after(after, PAGE).await?;
            for claim in &claims {
                if !fits_its_owner(&self.store.vault().pepper, claim) {
                    self.confirm_surplus(claim).await?;
                }
            }
            match claims.into_iter().next_back() {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    /// A token is written once, with its MAC, and never changed, so reading it once is enough.
    async fn opaque_tokens(&mut self) -> Result<(), StoreError> {
        let seals = &self.store.vault().seals;
        if !seals.are_required() {
            return Ok(());
        }
        let mut after = None;
        loop {
            let tokens = self.store.opaque_tokens_after(after, PAGE).await?;
            after = tokens.last().map(|token| token.row.digest.clone());
            for token in tokens.into_iter().filter(|token| !seals.is_sealed(token)) {
                let place = token.row.place();
                if self.repair {
                    self.store.remove_opaque_token(token.row.digest).await?;
                }
                let finding = Finding::new(
                    Check::OpaqueTokens,
                    place,
                    "it was not stored by this service",
                );
                self.diagnosis.note(finding, self.repair);
            }
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn schema(&mut self) -> Result<(), StoreError> {
        for fault in self.store.schema_faults(true).await? {
            self.note(Check::Schema, "the schema".to_owned(), fault);
        }
        Ok(())
    }

    async fn signing_keys(&mut self) -> Result<(), StoreError> {
        for purpose in KeyPurpose::ALL {
            let stored = self.store.signing_keys(purpose, self.now).await?;
            for fault in stored.faults {
                let place = format!("key {}", fault.kid);
                self.note(Check::SigningKeys, place, fault.detail.to_owned());
            }
        }
        Ok(())
    }

    async fn confirm_surplus(&mut self, claim: &StoredClaim) -> Result<(), StoreError> {
        let kind = kind_of(claim);
        let claimed = match (kind, <[u8; 32]>::try_from(claim.digest.as_slice())) {
            (Some(kind), Ok(digest)) => {
                let own = ClaimDigest {
                    kind,
                    digest,
                    is_spelling: true,
                    // The owner is not compared.
                    owner: UserId::parse(&claim.owner).unwrap_or(UserId::new(uuid::Uuid::nil())),
                };
                self.claims_by_its_events(&claim.owner, &own).await?
            }
            _ => false,
        };
        if claimed {
            return Ok(());
        }
        let repair = self.repair && !self.events_are_in_doubt();
        if repair {
            self.store.remove_claim(claim.clone()).await?;
        }
        let place = format!("account {}", claim.owner);
        let detail = format!(
            "it holds a claim to a {} that none of its events makes",
            claim.kind
        );
        self.diagnosis
            .note(Finding::new(Check::Claims, place, detail), repair);
        Ok(())
    }
}

fn wrong_claim(claim: &ClaimDigest, owner: Option<String>) -> Finding {
    let kind = claim.kind.as_str();
    let name = if claim.is_spelling { kind } else { "mailbox" };
    let detail = match owner {
        Some(owner) => format!("its {name} is claimed by account {owner}"),
        None => format!("its claim to its {name} is missing"),
    };
    let place = format!("account {}", claim.owner);
    Finding::new(Check::Claims, place, detail)
}

fn kind_of(claim: &StoredClaim) -> Option<IdentifierKind> {
    [IdentifierKind::Username, IdentifierKind::Email]
        .into_iter()
        .find(|kind| kind.as_str() == claim.kind)
}

/// Whether the row of the claim's owner has the identifier. This only selects the claims that have to be confirmed;
/// another pass compares rows with events.
fn fits_its_owner(pepper: &Pepper, claim: &StoredClaim) -> bool {
    let Some(Ok(account)) = &claim.account else {
        return false;
    };
    authlog_projections::claims_of(&account.row)
        .iter()
        .map(|own| pepper.claim(own))
        .any(|own| own.kind.as_str() == claim.kind && own.digest.as_slice() == claim.digest)
}
