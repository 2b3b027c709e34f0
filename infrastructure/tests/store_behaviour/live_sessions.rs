//! The sessions that count by the SQL of a store are those that count by the domain.

use std::time::Duration;

use authlog_application::ports::{Account, SessionRecord};
use authlog_domain::session::{
    ClientGrant, Limits, LogOut, RefreshSession, RevokeSession, SessionCommand, StartSession,
    StepUp,
};
use authlog_domain::user::{
    Authority, ChangePassword, ChangeRole, Lock, RevokeSessions, Unlock, UserCommand,
};
use authlog_domain::{
    Authentication, ClientId, CredentialId, RevocationReason, Role, Rotation, Scopes, SessionId,
    Timestamp,
};
use authlog_infrastructure::Store;
use authlog_projections::{account, session};

use super::World;
use super::people::{Person, proved, session_stream, user_stream};
use super::system::{Seeded, now, random};

const MINUTE: Duration = Duration::from_secs(60);

/// Within this time every session of a test has expired.
const MINUTES: u64 = 100;

/// An account and what it did so far.
struct Owner {
    person: Person,
    /// In no order.
    sessions: Vec<SessionId>,
    /// Those that are the person's own.
    own: Vec<SessionId>,
}

impl Owner {
    async fn epoch(&self, store: &dyn Store) -> u32 {
        let row = store.account(self.person.user).await.unwrap();
        row.map_or(0, |row| row.session_epoch)
    }

    /// Does something at random. Much of it is refused by the aggregates.
    async fn step(&mut self, store: &dyn Store, random_step: &mut Seeded) {
        let at = now();
        let epoch = self.epoch(store).await;
        let lasts_until = at.plus(MINUTE * (1 + random_step.below(MINUTES - 1)) as u32);
        let pick = random_step.below(20);
        if self.sessions.is_empty() || pick < 8 {
            // A login may have read the account before its epoch was raised.
            let is_late = random_step.below(4) == 0;
            let session = SessionId::new(random());
            let grant = self.grant(random_step);
            if grant.is_none() {
                self.own.push(session);
            }
            let start = SessionCommand::Start(StartSession {
                at,
                user: self.person.user,
                epoch: if is_late {
                    epoch.saturating_sub(1)
                } else {
                    epoch
                },
                rotation: Some(Rotation::Reusable),
                expires_at: lasts_until,
                authentication: Authentication::by_password(at),
                grant,
            });
            self.person.does_in(store, session, start).await.unwrap();
            self.sessions.push(session);
            return;
        }
        let session = self.sessions[random_step.below(self.sessions.len() as u64) as usize];
        let kept = [None, Some(session)][random_step.below(2) as usize];
        let in_session = match pick {
            8 | 9 => Some(SessionCommand::LogOut(LogOut { at })),
            10 => Some(SessionCommand::Revoke(RevokeSession {
                at,
                account_epoch: epoch,
                reason: RevocationReason::Owner,
            })),
            11 => Some(SessionCommand::StepUp(StepUp {
                at,
                account_epoch: epoch,
                authentication: Authentication::by_password_and_code(at, None),
            })),
            12..=14 => Some(SessionCommand::Refresh(RefreshSession {
                at,
                account_epoch: epoch,
                generation: 0,
                replacement_expires_at: Some(lasts_until),
                grace: Duration::ZERO,
                limits: Limits {
                    lifetime: MINUTE * MINUTES as u32,
                    idle: None,
                },
            })),
            _ => None,
        };
        if let Some(command) = in_session {
            let _ = self.person.does_in(store, session, command).await;
            return;
        }
        let command = match pick {
            15 => UserCommand::ChangePassword(ChangePassword {
                at,
                credential: CredentialId::new(random()),
                session,
                proved: proved(epoch),
            }),
            16 | 17 => UserCommand::RevokeSessions(RevokeSessions {
                at,
                authority: Authority::Owner(proved(epoch)),
                kept,
            }),
            18 => UserCommand::ChangeRole(ChangeRole {
                at,
                role: Role::ALL[random_step.below(4) as usize],
            }),
            _ if random_step.below(2) == 0 => UserCommand::Lock(Lock { at }),
            _ => UserCommand::Unlock(Unlock { at }),
        };
        let _ = self.person.does(store, command).await;
    }

    /// Every third session is an application's. Nearly all of these end with another session, which may have ended.
    fn grant(&self, random_step: &mut Seeded) -> Option<ClientGrant> {
        if self.own.is_empty() || random_step.below(3) > 0 {
            return None;
        }
        let parent = self.own[random_step.below(self.own.len() as u64) as usize];
        Some(ClientGrant {
            client: ClientId::from_stored("shop"),
            scopes: Scopes::from_stored("openid"),
            audience: vec![],
            parent: (random_step.below(8) > 0).then_some(parent),
            dpop_jkt: None,
        })
    }

    /// The account and its sessions in order of their ids, as the domain folds them from their events.
    async fn folded(&self, store: &dyn Store) -> (Option<Account>, Vec<SessionRecord>) {
        let events = store.load(&user_stream(self.person.user)).await.unwrap();
        let owner = account(&events).unwrap();
        let mut sessions = Vec::new();
        for id in &self.sessions {
            let events = store.load(&session_stream(*id)).await.unwrap();
            sessions.extend(session(&events).unwrap());
        }
        sessions.sort_unstable_by_key(|session| session.id);
        (owner, sessions)
    }

    /// The sessions that count at `at` by the store, read in pages.
    async fn listed(&self, store: &dyn Store, at: Timestamp, limit: u32) -> Vec<SessionRecord> {
        let (mut listed, mut after) = (vec![], None);
        loop {
            let page = store
                .live_sessions(self.person.user, at, after, limit)
                .await;
            let page = page.unwrap();
            listed.extend(page.sessions);
            after = page.next;
            if after.is_none() {
                return listed;
            }
        }
    }
}

/// Accounts with random pasts. The last one was erased.
async fn owners(store: &dyn Store, random_step: &mut Seeded) -> Vec<Owner> {
    let mut owners = Vec::new();
    for number in 0..24 {
        let person = Person::called(&format!("owner{number}"));
        person.registers(store).await;
        let mut owner = Owner {
            person,
            sessions: vec![],
            own: vec![],
        };
        for _ in 0..6 + random_step.below(14) {
            owner.step(store, random_step).await;
        }
        owners.push(owner);
    }
    owners.last().unwrap().person.erases_account(store).await;
    owners
}

pub async fn the_sessions_that_count_by_sql_are_those_that_count_by_the_domain(world: &impl World) {
    let store = world.store();
    let mut random_step = Seeded(1526);
    let (mut live, mut dead, mut kept, mut orphans) = (0, 0, 0, 0);
    for owner in owners(&*store, &mut random_step).await {
        let (account, sessions) = owner.folded(&*store).await;
        let counts = |session: &SessionRecord, at| {
            let account = account.as_ref();
            let parent = session.parent();
            let parent = sessions.iter().find(|it| Some(it.id) == parent);
            account.is_some_and(|account| session.is_live(account, parent, at))
        };
        // The sessions that may be live by themselves: their parents may have ended.
        let may_count = |session: &SessionRecord| {
            account.as_ref().is_some_and(|account| {
                let epoch = account.epoch_for(session.id, session.epoch);
                session.is_live_alone(epoch, session.started_at)
            })
        };
        let of = &owner.person.name;
        for minutes in [0, 7, 30, 60, 2 * MINUTES as u32] {
            let at = now().plus(MINUTE * minutes);
            let expected: Vec<_> = sessions
                .iter()
                .filter(|it| counts(it, at))
                .cloned()
                .collect();
            for limit in [1, 3, 50] {
                let listed = owner.listed(&*store, at, limit).await;
                assert_eq!(listed, expected, "of {of}, in {minutes} minutes");
            }
            for session in &sessions {
                let standing = store.session(session.id).await.unwrap();
                let is_live = standing.is_some_and(|it| it.is_live(at));
                assert_eq!(is_live, counts(session, at), "{:?} of {of}", session.id);
            }
            live += expected.len();
            dead += sessions.len() - expected.len();
            let is_orphan =
                |it: &&SessionRecord| may_count(it) && !counts(it, at) && at < it.expires_at;
            orphans += sessions.iter().filter(is_orphan).count();
        }
        // The clocks of nodes differ, so an expired session is another session like a live one.
        let began: Vec<_> = sessions
            .iter()
            .filter(|it| may_count(it))
            .map(|it| it.id)
            .collect();
        for not_this in [None]
            .into_iter()
            .chain(sessions.iter().map(|it| Some(it.id)))
        {
            let others = store.may_have_other_sessions(owner.person.user, not_this);
            let expected = began.iter().any(|id| Some(*id) != not_this);
            assert_eq!(others.await.unwrap(), expected, "{not_this:?} of {of}");
        }
        let goes_on = account.and_then(|account| account.kept_session);
        kept += usize::from(goes_on.is_some_and(|id| began.contains(&id)));
    }
    // Each kind occurs.
    let all_occur = live > 50 && dead > 50 && kept > 1 && orphans > 10;
    assert!(all_occur, "{live}, {dead}, {kept}, {orphans}");
}

pub async fn the_rows_that_are_removed_are_those_that_are_over_by_the_domain(world: &impl World) {
    let store = world.store();
    let mut random_step = Seeded(72);
    let owners = owners(&*store, &mut random_step).await;
    let ended_before = now().plus(MINUTE * 30);
    let mut after = None;
    while let Some(swept) = store
        .remove_ended_sessions(ended_before, after, 10)
        .await
        .unwrap()
    {
        after = Some(swept.last);
    }
    let (mut removed, mut left) = (0, 0);
    for owner in owners {
        let (account, sessions) = owner.folded(&*store).await;
        for session in sessions {
            let remains = account.is_some() && ended_before < session.over_at();
            let found = store.session(session.id).await.unwrap();
            assert_eq!(found.is_some(), remains, "{session:?}");
            left += usize::from(remains);
            removed += usize::from(!remains);
        }
    }
    assert!(removed > 20 && left > 20, "{removed}, {left}");
}
