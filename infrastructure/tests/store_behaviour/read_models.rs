//! The read models: always the fold of the events, whoever wrote them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use authlog_application::ports::{Append, StreamId};
use authlog_domain::refused_logins::{LoginRefusalReason, RecordRefusedLogin};
use authlog_domain::session::{LogOut, SessionCommand};
use authlog_domain::user::{ChangeRole, ResetPassword, UserCommand};
use authlog_domain::{
    AggregateKind, CredentialId, RefusedLogins, ResetId, Role, SessionId, UserId,
};
use authlog_infrastructure::Store;
use authlog_projections::{account, session};

use super::World;
use super::people::{Person, append, ask_for_reset, decide, refresh, session_stream, user_stream};
use super::system::{Seeded, now, random};

/// Who and what a random history is about.
pub(super) struct Cast {
    /// What everybody's name begins with; two casts must not want the same names.
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
                let _ = person.does(store, ask_for_reset(reset)).await;
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

    /// Every row is what its events add up to.
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
    assert!(store.account(lost_person).await.unwrap().is_none());
    assert!(store.account(stranger).await.unwrap().is_some());

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
    assert!(store.account(stranger).await.unwrap().is_none());
    cast.assert_rows_equal_folds(&*store, "repaired").await;
    newcomers
        .assert_rows_equal_folds(&*store, "written meanwhile")
        .await;
    assert_eq!(store.remove_orphans().await.unwrap(), 0);
}

pub async fn a_rebuild_visits_every_stream_once(world: &impl World) {
    let store = world.store();
    assert_eq!(store.rebuild_after(None, 10).await.unwrap(), None);
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
    let ends = rebuild(&*store, 4).await;
    let counts: u64 = ends.iter().map(|(_, count)| count).sum();
    assert_eq!(counts, 21);
    assert!(ends.iter().all(|(stream, _)| streams.contains(stream)));
    let every = rebuild(&*store, 1).await;
    let visited: HashSet<_> = every.iter().map(|(stream, _)| stream.clone()).collect();
    assert_eq!((every.len(), visited), (21, streams));
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
    let ahead = store.session(session).await.unwrap().unwrap();
    assert_eq!((ahead.session.generation, ahead.session.version), (7, 100));
    assert_eq!(
        (ahead.account.role, ahead.account.version),
        (Role::Auditor, 100)
    );

    rebuild(&*store, 10).await;
    assert_eq!(store.session(session).await.unwrap(), Some(ahead.clone()));
    let role = Role::Admin;
    let command = UserCommand::ChangeRole(ChangeRole { at: now(), role });
    ada.does(&*store, command).await.unwrap();
    ada.does_in(&*store, session, refresh(0, 0)).await.unwrap();
    assert_eq!(store.session(session).await.unwrap(), Some(ahead));
}

/// Rebuilds everything in steps of `limit` streams; where each step ended and how many streams it took.
async fn rebuild(store: &dyn Store, limit: u32) -> Vec<(StreamId, u64)> {
    let mut steps: Vec<(StreamId, u64)> = Vec::new();
    loop {
        let after = steps.last().map(|(stream, _)| stream);
        let Some(step) = store.rebuild_after(after, limit).await.unwrap() else {
            return steps;
        };
        assert!(step.count <= u64::from(limit));
        steps.push((step.stream, step.count));
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
