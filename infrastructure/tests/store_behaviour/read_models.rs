//! The read models equal the fold of the events, whichever node wrote them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use authlog_application::ports::{
    Account, Append, AppendError, Check, SESSION_ROW_RETENTION, SessionWithAccount, StreamId,
    StreamRange,
};
use authlog_domain::refused_logins::{LoginRefusalReason, RecordRefusedLogin};
use authlog_domain::session::{Limits, LogOut, RefreshSession, SessionCommand};
use authlog_domain::user::{
    ChangePassword, ChangeRole, EnrolTotp, GiveConsent, RequestEmailVerification,
    RequestPasswordReset, ResetPassword, UserCommand, VerificationLink,
};
use authlog_domain::{
    AggregateKind, AuthenticationLevel, ClientId, CredentialId, Email, FactorId, RefusedLogins,
    ResetId, Role, Scopes, SessionId, Timestamp, TotpParameters, UserId, VerificationId,
};
use authlog_infrastructure::Store;
use authlog_projections::{account, session};

use super::World;
use super::people::{
    LIFETIME, Person, append, decide, proved, refresh, session_stream, user_stream,
};
use super::system::{Seeded, now, random};

/// The people, sessions and resets of a random history.
pub(super) struct Cast {
    /// The prefix of all names. Two casts must not use the same one.
    family: String,
    pub(super) people: Vec<Person>,
    pub(super) sessions: Vec<(Person, SessionId)>,
    resets: Vec<ResetId>,
}

impl Cast {
    pub(super) fn of(family: &str) -> Self {
        Self {
            family: family.to_owned(),
            people: vec![],
            sessions: vec![],
            resets: vec![],
        }
    }

    /// Does something at random. Much of it is refused by the aggregates, as in life.
    pub(super) async fn step(&mut self, store: &dyn Store, random_step: &mut Seeded) {
        let pick = random_step.below(10);
        if self.people.is_empty() || pick == 0 {
            let person = Person::called(&format!("{}{}", self.family, self.people.len()));
            person.registers(store).await;
            self.people.push(person);
            return;
        }
        let index = random_step.below(self.people.len() as u64) as usize;
        let person = self.people[index].clone();
        match pick {
            1 | 2 => {
                let epoch = random_step.below(2) as u32;
                let session = SessionId::new(random());
                let staged = person.login(session, epoch).await;
                append(store, vec![staged]).await.unwrap();
                self.sessions.push((person, session));
            }
            3 => {
                let role = Role::ALL[random_step.below(4) as usize];
                let command = UserCommand::ChangeRole(ChangeRole { at: now(), role });
                person.does(store, command).await.unwrap();
            }
            4 => {
                let reset = ResetId::new(random());
                let _ = person.does(store, person.ask_for_reset(reset)).await;
                self.resets.push(reset);
            }
            5 => self.reset(store, &person, random_step).await,
            _ => self.use_session(store, random_step).await,
        }
    }

    async fn reset(&self, store: &dyn Store, person: &Person, random_step: &mut Seeded) {
        if self.resets.is_empty() {
            return;
        }
        let credential = CredentialId::new(random());
        let reset = self.resets[random_step.below(self.resets.len() as u64) as usize];
        let command = UserCommand::ResetPassword(ResetPassword {
            at: now(),
            reset,
            credential,
        });
        if let Ok(staged) = person.decides(store, command).await {
            let append = Append {
                streams: vec![staged],
                credential: Some(person.credential_record(credential, "$argon2id$new")),
                ..Append::default()
            };
            store.append(append).await.unwrap();
        }
    }

    async fn use_session(&self, store: &dyn Store, random_step: &mut Seeded) {
        if self.sessions.is_empty() {
            return;
        }
        let index = random_step.below(self.sessions.len() as u64) as usize;
        let (person, session) = &self.sessions[index];
        let command = match random_step.below(5) {
            0 => SessionCommand::LogOut(LogOut { at: now() }),
            choice => refresh(random_step.below(3) as u32, (choice % 2) as u32),
        };
        let _ = person.does_in(store, *session, command).await;
    }

    /// Asserts that every row equals the fold of its events.
    async fn assert_rows_equal_folds(&self, store: &dyn Store, context: &str) {
        for person in &self.people {
            let events = store.load(&user_stream(person.user)).await.unwrap();
            let folded = account(&events).unwrap();
            assert!(folded.is_some());
            let row = store.account(person.user).await.unwrap();
            assert_eq!(row, folded, "{context}");
        }
        for (_, id) in &self.sessions {
            let events = store.load(&session_stream(*id)).await.unwrap();
            let folded = session(&events).unwrap();
            assert!(folded.is_some());
            let row = store.session(*id).await.unwrap();
            assert_eq!(row.map(|it| it.session), folded, "{context}");
        }
    }
}

pub async fn rows_equal_the_fold_of_their_events(world: &impl World) {
    let store = world.store();
    for seed in 0..4 {
        let mut random_step = Seeded(seed);
        let mut cast = Cast::of(&format!("history{seed}-"));
        for _ in 0..60 {
            cast.step(&*store, &mut random_step).await;
        }
        cast.assert_rows_equal_folds(&*store, &format!("seed {seed}"))
            .await;
    }
}

pub async fn rebuild_repairs_damaged_rows_and_removes_orphans_while_appends_go_on(
    world: &impl World,
) {
    let store = world.store();
    let mut cast = Cast::of("settler");
    let mut random_step = Seeded(4711);
    while cast.people.len() < 5 || cast.sessions.len() < 20 {
        cast.step(&*store, &mut random_step).await;
    }
    let (lost_person, moved) = (cast.people[0].user, cast.sessions[0].1);
    let stranger = UserId::new(random());
    world
        .execute("UPDATE accounts SET role = 'admin', username = 'mallory', session_epoch = 9")
        .await;
    world
        .execute("UPDATE sessions SET generation = 99, version = version - 1")
        .await;
    // The row of a session without events, and no row for one that has them; the same for an account.
    world
        .execute(&format!(
            "UPDATE sessions SET session_id = '{}' WHERE session_id = '{moved}'",
            random()
        ))
        .await;
    world
        .execute(&format!(
            "UPDATE accounts SET user_id = '{stranger}', number = 4711 WHERE user_id = '{lost_person}'"
        ))
        .await;
    let strangers = format!("accounts WHERE user_id = '{stranger}'");
    assert!(store.account(lost_person).await.unwrap().is_none());
    assert_eq!(world.count(&strangers).await, 1);

    let done = Arc::new(AtomicBool::new(false));
    let meanwhile = tokio::spawn({
        let (store, done) = (world.another_node().await, Arc::clone(&done));
        let mut cast = Cast::of("newcomer");
        async move {
            let mut random_step = Seeded(815);
            while !done.load(Ordering::Relaxed) || cast.sessions.len() < 5 {
                cast.step(&*store, &mut random_step).await;
            }
            cast
        }
    });
    for _ in 0..3 {
        rebuild(&*store, 3).await;
    }
    let removed = store.remove_orphans().await.unwrap();
    done.store(true, Ordering::Relaxed);
    let newcomers = meanwhile.await.unwrap();

    assert_eq!(removed, 2);
    assert_eq!(world.count(&strangers).await, 0);
    cast.assert_rows_equal_folds(&*store, "repaired").await;
    newcomers
        .assert_rows_equal_folds(&*store, "written meanwhile")
        .await;
    assert_eq!(store.remove_orphans().await.unwrap(), 0);
}

pub async fn a_rebuild_visits_every_stream_once(world: &impl World) {
    let store = world.store();
    assert_eq!(store.range_after(None, 10).await.unwrap(), None);
    let mut streams = HashSet::new();
    for number in 0..7 {
        let person = Person::called(&format!("person{number}"));
        person.registers(&*store).await;
        streams.insert(person.stream());
        let session = person.signs_in(&*store).await;
        streams.insert(session_stream(session));
        let refused = record_refused_login(&*store, &person).await;
        streams.insert(refused);
    }
    assert_eq!(store.count_streams().await.unwrap(), 21);
    let stretches = rebuild(&*store, 4).await;
    let visited: u64 = stretches.iter().map(|it| it.streams).sum();
    assert_eq!(visited, 21);
    assert!(stretches.iter().all(|it| streams.contains(&it.end())));
    let every = rebuild(&*store, 1).await;
    let visited: HashSet<_> = every.iter().map(StreamRange::end).collect();
    assert_eq!((every.len(), visited), (21, streams));
}

/// A rebuild reads little more events at a time than it was asked to, even from long streams.
pub async fn a_stretch_ends_with_the_stream_of_its_last_event(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let mut sessions = HashSet::new();
    for _ in 0..4 {
        let session = ada.signs_in(&*store).await;
        for generation in 0..4 {
            let refresh = refresh(generation, 0);
            ada.does_in(&*store, session, refresh).await.unwrap();
        }
        sessions.insert(session_stream(session));
    }
    world.execute("DELETE FROM sessions").await;

    // Five events a session: the seventh belongs to the second, and the first of an account to another kind.
    let stretches = rebuild(&*store, 7).await;
    let sizes: Vec<_> = stretches.iter().map(|it| (it.kind, it.streams)).collect();
    let expected = [
        (AggregateKind::Session, 2),
        (AggregateKind::Session, 2),
        (AggregateKind::User, 1),
    ];
    assert_eq!(sizes, expected);
    for stream in sessions {
        let session = SessionId::parse(&stream.id).unwrap();
        let row = store.session(session).await.unwrap().unwrap().session;
        assert_eq!((row.version, row.generation), (5, 4));
    }
}

/// No value ends up in another column, and none is left behind.
pub async fn a_rebuild_over_emptied_tables_writes_every_column(world: &impl World) {
    let store = world.store();
    let (ada, session) = a_person_with_everything(&*store).await;
    let written = store.session(session).await.unwrap();
    for table in ["accounts", "sessions"] {
        world.execute(&format!("DELETE FROM {table}")).await;
    }
    assert!(store.account(ada.user).await.unwrap().is_none());
    rebuild(&*store, 10).await;
    assert_eq!(store.session(session).await.unwrap(), written);
}

/// An account and a session that have everything that a row can hold, no two things of a kind alike.
pub async fn a_person_with_everything(store: &dyn Store) -> (Person, SessionId) {
    let ada = Person::called("ada");
    ada.registers(store).await;
    let began = now();
    let at = |minutes| began.plus(Duration::from_secs(60) * minutes);
    // This verifies the address and begins the first epoch.
    ada.resets_password(store, CredentialId::new(random()), "$argon2id$new")
        .await;
    let session = SessionId::new(random());
    let parent = SessionId::new(random());
    let login = ada.lets_in(session, 1, parent).await;
    append(store, vec![login]).await.unwrap();
    for command in [
        UserCommand::GiveConsent(GiveConsent {
            at: at(0),
            client: ClientId::from_stored("shop"),
            scopes: Scopes::from_stored("email openid"),
            proved: proved(1),
        }),
        UserCommand::ChangePassword(ChangePassword {
            at: at(1),
            credential: CredentialId::new(random()),
            session,
            proved: proved(1),
        }),
        UserCommand::RequestPasswordReset(RequestPasswordReset {
            at: at(2),
            reset: ResetId::new(random()),
            email: ada.email(),
            expires_at: at(20),
        }),
        UserCommand::EnrolTotp(EnrolTotp {
            at: at(3),
            factor: FactorId::new(random()),
            parameters: TotpParameters::DEFAULT,
            label: None,
            proved: proved(2),
            session,
        }),
        // A new epoch cancels a change of the address.
        UserCommand::RequestEmailVerification(RequestEmailVerification {
            at: at(8),
            link: VerificationLink {
                verification: VerificationId::new(random()),
                expires_at: at(21),
            },
            email: Some(Email::parse("ada@elsewhere.example").unwrap()),
            proved: proved(3),
        }),
    ] {
        ada.does(store, command).await.unwrap();
    }
    let refresh = |minutes, generation| {
        SessionCommand::Refresh(RefreshSession {
            at: at(minutes),
            account_epoch: 1,
            generation,
            replacement_expires_at: Some(at(30)),
            grace: Duration::from_secs(120),
            limits: Limits {
                lifetime: Duration::MAX,
                idle: None,
            },
        })
    };
    for command in [
        refresh(4, 0),
        refresh(5, 1),
        // A retry, which replaces nothing.
        refresh(6, 1),
        SessionCommand::LogOut(LogOut { at: at(7) }),
    ] {
        ada.does_in(store, session, command).await.unwrap();
    }
    let standing = store.session(session).await.unwrap().unwrap();
    assert_everything_differs(&standing);
    (ada, session)
}

fn assert_everything_differs(
    SessionWithAccount {
        session, account, ..
    }: &SessionWithAccount,
) {
    let reset = account.pending_reset.unwrap();
    let verification = account.pending_verification.as_ref().unwrap();
    let instants = HashSet::from([
        account.created_at,
        account.updated_at,
        reset.expires_at,
        verification.expires_at,
        session.started_at,
        session.rotated_at,
        session.last_used_at,
        session.expires_at,
        session.ended_at.unwrap(),
    ]);
    assert_eq!(instants.len(), 9);
    let numbers = (account.version, account.number.get(), account.session_epoch);
    assert_eq!(numbers, (9, 1, 3));
    assert_eq!(account.second_factors.totp.len(), 1);
    assert_eq!(account.consents.iter().count(), 1);
    let numbers = (session.version, session.epoch, session.generation);
    assert_eq!(numbers, (5, 1, 2));
    assert_eq!((account.email_verified, account.locked), (true, false));
    assert_eq!(account.kept_session, Some(session.id));
    assert!(verification.email.is_some() && verification.email != account.email);
    assert!(account.username.is_some() && account.name.is_some() && account.phone.is_some());
    assert!(session.contract.is_some() && session.rotation.is_some());
    assert_eq!(session.authentication.acr, AuthenticationLevel::Aal2);
    assert!(session.authentication.factor.is_some());
    let grant = session.grant.as_ref().unwrap();
    assert_eq!(grant.client.as_str(), "shop");
    assert_eq!((grant.audience.len(), grant.scopes.iter().count()), (1, 2));
    assert!(grant.parent.is_some_and(|parent| parent != session.id));
    assert!(grant.dpop_jkt.is_some());
}

/// A rebuild that has read a stream just before an append must not undo what the append wrote.
pub async fn a_row_of_a_later_version_is_left_alone(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let session = ada.signs_in(&*store).await;
    world
        .execute("UPDATE accounts SET version = 100, role = 'auditor'")
        .await;
    world
        .execute("UPDATE sessions SET version = 100, generation = 7")
        .await;
    // Lists show such rows, although they grant nothing.
    let rows = async || {
        let accounts = store.accounts(None, 10).await.unwrap();
        let sessions = store.live_sessions(ada.user, now(), None, 10).await;
        (accounts, sessions.unwrap().sessions)
    };
    let ahead = rows().await;
    let (account, row) = (&ahead.0[0], &ahead.1[0]);
    assert_eq!((row.generation, row.version), (7, 100));
    assert_eq!((account.role, account.version), (Role::Auditor, 100));

    rebuild(&*store, 10).await;
    assert_eq!(rows().await, ahead);
    // A command whose row cannot be written is refused.
    let role = Role::Admin;
    let command = UserCommand::ChangeRole(ChangeRole { at: now(), role });
    let changed = ada.decides(&*store, command).await.unwrap();
    let refreshed = ada.decides_in(&*store, session, refresh(0, 0)).await;
    let before = world.count("events").await;
    for staged in [changed, refreshed.unwrap()] {
        let refused = append(&*store, vec![staged]).await;
        assert!(matches!(refused, Err(AppendError::Store(_))), "{refused:?}");
    }
    assert_eq!(world.count("events").await, before);
    assert_eq!(rows().await, ahead);
}

/// A node of an earlier version of this program, which may serve meanwhile, updates rows and leaves the column as it is.
pub async fn recent_requests_count_only_for_the_version_of_the_row_that_they_name(
    world: &impl World,
) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let reset = ResetId::new(random());
    ada.does(&*store, ada.ask_for_reset(reset)).await.unwrap();
    let whole = store.account(ada.user).await.unwrap().unwrap();
    assert!(whole.recent_requests.is_some());
    let findings = async |repair| {
        let diagnosis = store.examine(repair, now(), &|_| ()).await.unwrap();
        let found = diagnosis.divergences.into_iter();
        found.map(|(check, _)| check).collect::<Vec<_>>()
    };
    for unknown in ["NULL", r#"'{"version":1}'"#, r#"'{"version":3}'"#] {
        let sql = format!("UPDATE accounts SET recent_requests = {unknown}");
        world.execute(&sql).await;
        let row = store.account(ada.user).await.unwrap().unwrap();
        let expected = Account {
            recent_requests: None,
            ..whole.clone()
        };
        assert_eq!(row, expected, "{unknown}");
        assert!(findings(false).await.is_empty(), "{unknown}");
        rebuild(&*store, 10).await;
        let row = store.account(ada.user).await.unwrap();
        assert_eq!(row.as_ref(), Some(&whole), "{unknown}");
    }
    for wrong in [r#"'{"version":2}'"#, "'no JSON'"] {
        let sql = format!("UPDATE accounts SET recent_requests = {wrong}");
        world.execute(&sql).await;
        assert_eq!(findings(true).await, [Check::Accounts], "{wrong}");
        let row = store.account(ada.user).await.unwrap();
        assert_eq!(row.as_ref(), Some(&whole), "{wrong}");
    }
}

/// The list is made by triggers as accounts are stored, and nothing but its pages reads it.
pub async fn an_account_that_the_list_leaves_out_is_found_and_listed_again(world: &impl World) {
    let store = world.store();
    let people = [Person::called("ada"), Person::called("bob")];
    for person in &people {
        person.registers(&*store).await;
    }
    let all = [people[0].user, people[1].user];
    let listed = async || {
        let accounts = store.accounts(None, 10).await.unwrap();
        accounts.iter().map(|it| it.id).collect::<Vec<_>>()
    };
    let findings = async |repair| {
        let diagnosis = store.examine(repair, now(), &|_| ()).await.unwrap();
        let found = diagnosis.divergences.into_iter();
        found
            .map(|(check, found)| (check, found.count, found.repaired))
            .collect::<Vec<_>>()
    };
    assert_eq!(listed().await, all);
    let first = "(SELECT min(number) FROM accounts)";
    for (damage, count) in [
        (
            format!("DELETE FROM account_places WHERE number = {first}"),
            1,
        ),
        (
            "UPDATE account_places SET listed = NOT listed".to_owned(),
            2,
        ),
        // A place without an account.
        (
            format!("UPDATE account_places SET number = 4711 WHERE number = {first}"),
            2,
        ),
    ] {
        world.execute(&damage).await;
        assert_eq!(
            findings(false).await,
            [(Check::Places, count, 0)],
            "{damage}"
        );
        assert_eq!(
            findings(true).await,
            [(Check::Places, count, count)],
            "{damage}"
        );
        assert!(findings(false).await.is_empty(), "{damage}");
        let mut again = listed().await;
        again.sort_unstable();
        let mut expected = all;
        expected.sort_unstable();
        assert_eq!(again, expected, "{damage}");
    }
}

/// The earlier events are deleted, so the command cannot read them.
pub async fn a_command_is_decided_on_the_row_and_not_on_earlier_events(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let change_to = |role| UserCommand::ChangeRole(ChangeRole { at: now(), role });
    ada.does(&*store, change_to(Role::Auditor)).await.unwrap();
    let next = ada.decides(&*store, change_to(Role::Admin)).await.unwrap();
    ada.signs_in(&*store).await;
    world.drop_guards().await;
    world
        .execute("DELETE FROM events WHERE aggregate_type = 'user' AND sequence = 1")
        .await;
    append(&*store, vec![next.clone()]).await.unwrap();
    let row = store.account(ada.user).await.unwrap().unwrap();
    assert_eq!((row.role, row.version), (Role::Admin, 3));
    assert_eq!((row.session_epoch, row.username), (2, Some(ada.username())));
    let again = append(&*store, vec![next]).await;
    assert!(matches!(again, Err(AppendError::Conflict)), "{again:?}");
}

/// Housekeeping, rebuild and doctor apply one rule, which depends only on the events of a session and the clock.
pub async fn sessions_that_are_over_are_removed_in_batches_and_nothing_brings_them_back(
    world: &impl World,
) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let began = now();
    let (mut live, mut ended) = (vec![], vec![]);
    for _ in 0..3 {
        live.push(ada.signs_in(&*store).await);
        ended.push(ada.signs_in(&*store).await);
    }
    for session in &ended {
        ada.signs_out(&*store, *session).await;
    }
    let sweep = async |ended_before, limit| {
        let (mut after, mut batches, mut removed) = (None, 0, 0);
        while let Some(swept) = store
            .remove_ended_sessions(ended_before, after, limit)
            .await
            .unwrap()
        {
            (after, batches, removed) = (Some(swept.last), batches + 1, removed + swept.removed);
        }
        (batches, removed)
    };
    let are_there = async |sessions: &[SessionId]| {
        let mut there = 0;
        for session in sessions {
            there += usize::from(store.session(*session).await.unwrap().is_some());
        }
        there
    };
    let missing = async |at| {
        let diagnosis = store.examine(false, at, &|_| ()).await.unwrap();
        let found = diagnosis.divergences.get(&Check::Sessions);
        found.map_or(0, |found| found.count)
    };
    assert_eq!(sweep(began, 2).await, (3, 0));
    assert_eq!(are_there(&ended).await, 3);
    let minute = Duration::from_secs(60);
    assert_eq!(sweep(now().plus(minute), 2).await, (3, 3));
    assert_eq!((are_there(&live).await, are_there(&ended).await), (3, 0));
    // At the current time the rows are missing. Two days later they are not expected, and a rebuild writes none.
    let later = now().plus(SESSION_ROW_RETENTION).plus(minute);
    assert_eq!((missing(now()).await, missing(later).await), (3, 0));
    rebuild_at(&*store, 10, later).await;
    assert_eq!((are_there(&live).await, are_there(&ended).await), (3, 0));
    rebuild(&*store, 10).await;
    assert_eq!(are_there(&ended).await, 3);
    // The clock of the node that removed them may have been fast.
    assert_eq!(sweep(now().plus(minute), 100).await, (1, 3));
    let early = began.plus(SESSION_ROW_RETENTION).minus(30 * minute);
    assert_eq!(missing(early).await, 0);
    // Sessions that were not ended are over once they have expired.
    let expired = now().plus(LIFETIME).plus(minute);
    assert_eq!(sweep(expired, 100).await, (1, 3));
    assert_eq!(missing(expired.plus(SESSION_ROW_RETENTION)).await, 0);
    rebuild_at(&*store, 10, expired.plus(SESSION_ROW_RETENTION)).await;
    assert_eq!(world.count("sessions").await, 0);
}

/// Rebuilds everything in stretches of `events` events, or the rest of a stream more.
pub async fn rebuild(store: &dyn Store, events: u32) -> Vec<StreamRange> {
    rebuild_at(store, events, now()).await
}

/// Rebuilds everything with this as the current time.
async fn rebuild_at(store: &dyn Store, events: u32, clock: Timestamp) -> Vec<StreamRange> {
    let mut stretches: Vec<StreamRange> = Vec::new();
    loop {
        let after = stretches.last().map(StreamRange::end);
        let Some(stretch) = store.range_after(after.as_ref(), events).await.unwrap() else {
            return stretches;
        };
        assert!(stretch.streams <= u64::from(events));
        store.rebuild(&stretch, clock).await.unwrap();
        stretches.push(stretch);
    }
}

async fn record_refused_login(store: &dyn Store, person: &Person) -> StreamId {
    let at = now();
    let stream = StreamId {
        kind: AggregateKind::RefusedLogins,
        id: RefusedLogins::stream_of(person.user, at),
    };
    let command = RecordRefusedLogin {
        at,
        reason: LoginRefusalReason::WrongPassword,
    };
    let staged = decide::<RefusedLogins>(stream.clone(), vec![], person.user, command).await;
    append(store, vec![staged.unwrap()]).await.unwrap();
    stream
}
