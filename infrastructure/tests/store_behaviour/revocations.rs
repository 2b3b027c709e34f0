//! Tests of the revocation feed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use authlog_application::ports::{Revocation, RevocationReader};
use authlog_domain::session::{RevokeSession, SessionCommand};
use authlog_domain::user::{
    Authority, ChangePassword, ChangeRole, Lock, RevokeSessions, UserCommand,
};
use authlog_domain::{
    CredentialId, EventKind, RevocationReason, Role, SessionId, Timestamp, UserId,
};
use authlog_infrastructure::Store;
use tokio::task::JoinSet;

use super::World;
use super::people::{Person, append, proved, refresh};
use super::system::{now, random};

/// All revocations since an instant, and a reader for the ones after them.
pub async fn revocations_since(
    store: &dyn Store,
    since: Timestamp,
) -> (Vec<Revocation>, Box<dyn RevocationReader + '_>) {
    let mut all = Vec::new();
    let mut sink = |revocations| all.extend::<Vec<_>>(revocations);
    let mut reader = store.follow_revocations().await.unwrap();
    reader.read_since(since, &mut sink).await.unwrap();
    (all, reader)
}

pub async fn every_acknowledged_revocation_is_read(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    let listener = world.another_node().await;
    let done = Arc::new(AtomicBool::new(false));
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let tail = tokio::spawn({
        let done = Arc::clone(&done);
        async move {
            let (before, mut reader) = revocations_since(&*listener, now()).await;
            assert!(before.is_empty());
            ready.send(()).unwrap();
            let mut heard = HashSet::new();
            loop {
                // Every append that was acknowledged before the last read is in the result of that read at the
                // latest.
                let last = done.load(Ordering::SeqCst);
                let news = reader.read_new().await.unwrap();
                heard.extend(news);
                if last {
                    return heard;
                }
            }
        }
    });
    is_ready.await.unwrap();
    let mut writers = JoinSet::new();
    for number in 0..8 {
        let store = nodes[number % nodes.len()].clone();
        writers.spawn(async move {
            let person = Person::called(&format!("person{number}"));
            person.registers(&*store).await;
            let mut ended = Vec::new();
            for round in 0..15 {
                let session = person.signs_in(&*store).await;
                if round % 3 == 0 {
                    // A refresh token of generation 0 that is used after it was replaced counts as stolen.
                    for _ in 0..2 {
                        let reuse = person.does_in(&*store, session, refresh(0, 0)).await;
                        reuse.unwrap();
                    }
                } else {
                    person.signs_out(&*store, session).await;
                }
                ended.push(Revocation::Session(session));
            }
            ended
        });
    }
    let acknowledged: HashSet<_> = writers.join_all().await.into_iter().flatten().collect();
    done.store(true, Ordering::SeqCst);
    let heard = tail.await.unwrap();
    assert_eq!(acknowledged.len(), 120);
    assert_eq!(heard, acknowledged);
}

pub async fn revocations_since_an_instant_leave_out_what_is_older(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let first = ada.signs_in(&*store).await;
    ada.signs_out(&*store, first).await;
    mark_many_times(world, &*store).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let between = now();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let second = ada.signs_in(&*store).await;
    ada.signs_out(&*store, second).await;

    let long_ago = between.minus(Duration::from_secs(60));
    let (all, _) = revocations_since(&*store, long_ago).await;
    let expected = HashSet::from([first, second].map(Revocation::Session));
    assert_eq!(all.into_iter().collect::<HashSet<_>>(), expected);
    let (recent, mut reader) = revocations_since(&*store, between).await;
    assert_eq!(recent, [Revocation::Session(second)]);

    let third = ada.signs_in(&*store).await;
    ada.signs_out(&*store, third).await;
    let news = reader.read_new().await.unwrap();
    assert_eq!(news, [Revocation::Session(third)]);
    assert_eq!(reader.read_new().await.unwrap(), []);
}

/// Marks the log so often that earlier marks are deleted.
async fn mark_many_times(world: &impl World, store: &dyn Store) {
    // Before this, open transactions of others may keep the mark before the latest events.
    world.settle().await;
    let mut last = store.mark_log(None, 3).await.unwrap();
    for _ in 0..3 {
        last = store.mark_log(Some(last), 3).await.unwrap();
    }
}

pub async fn revocations_after_the_oldest_mark_are_read_by_their_position(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let mut ended = Vec::new();
    for marked in [true, false, true] {
        if marked {
            mark_many_times(world, &*store).await;
        }
        let session = ada.signs_in(&*store).await;
        ada.signs_out(&*store, session).await;
        ended.push(Revocation::Session(session));
    }
    world.settle().await;
    let in_an_hour = now().plus(Duration::from_secs(3600));
    let (all, _) = revocations_since(&*store, in_an_hour).await;
    assert_eq!(all, [ended[2]]);
    // A revocation that is found both by time and by position is read once.
    let an_hour_ago = now().minus(Duration::from_secs(3600));
    let (all, _) = revocations_since(&*store, an_hour_ago).await;
    assert_eq!(all.len(), 3);
    assert_eq!(
        all.into_iter().collect::<HashSet<_>>(),
        ended.into_iter().collect()
    );
}

pub async fn the_log_is_read_from_a_mark_by_its_place(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    let mut last = store.mark_log(None, 3).await.unwrap();
    assert_eq!(store.log_index_at_mark(0).await.unwrap(), 0);
    ada.registers(&*store).await;
    // What is committed and not in the log yet comes after its end.
    assert_eq!(store.log_index_at_mark(5).await.unwrap(), 0);
    for _ in 0..2 {
        world.settle().await;
        last = store.mark_log(Some(last), 3).await.unwrap();
        ada.signs_in(&*store).await;
    }
    world.settle().await;
    let mut places = Vec::new();
    for earlier in 0..4 {
        places.push(store.log_index_at_mark(earlier).await.unwrap());
    }
    let end = store.log_head().await.unwrap().log_index;
    assert_eq!(places, [end - 1, end - 2, 0, 0]);
    mark_many_times(world, &*store).await;
    assert_eq!(store.log_index_at_mark(9).await.unwrap(), end);
}

pub async fn of_nodes_that_mark_the_log_concurrently_only_one_succeeds(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    let first = nodes[0].mark_log(None, 3).await.unwrap();
    assert_eq!(nodes[1].mark_log(None, 3).await.unwrap(), first);
    let second = nodes[0].mark_log(Some(first), 3).await.unwrap();
    assert_ne!(second, first);
    // The other node has not seen the second mark yet, and gets it now.
    assert_eq!(nodes[1].mark_log(Some(first), 3).await.unwrap(), second);
    assert_eq!(world.count("log_marks").await, 2);
    let third = nodes[1].mark_log(Some(second), 3).await.unwrap();
    assert_eq!(nodes[0].mark_log(Some(second), 3).await.unwrap(), third);
    nodes[1].mark_log(Some(third), 3).await.unwrap();
    assert_eq!(world.count("log_marks").await, 3);
}

/// Inserts the first event of a stream with SQL. Without `ends_sessions` it is an event that a node of an earlier version
/// appended.
async fn plant(
    world: &impl World,
    (aggregate_type, id): (&str, &str),
    (event_type, payload): (&str, &str),
    ends_sessions: Option<bool>,
) {
    let mut columns =
        "aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata"
            .to_owned();
    let mut values =
        format!("'{aggregate_type}', '{id}', 1, '{event_type}', '1', '{payload}', '{{}}'");
    if let Some(ends_sessions) = ends_sessions {
        columns += ", ends_sessions";
        values += &format!(", {ends_sessions}");
    }
    let insert = format!("INSERT INTO events ({columns}) VALUES ({values})");
    let log = format!(
        "INSERT INTO event_log SELECT max(log_index) + 1, '{aggregate_type}', '{id}', 1, leaf_hash FROM event_log"
    );
    world
        .execute_own(&format!("{insert}; {log}"), &insert)
        .await;
}

/// A newer node appends events of kinds that this program does not know.
pub async fn an_event_of_an_unknown_kind_ends_what_its_row_says(world: &impl World) {
    const KEPT: &str = "00000000-0000-0000-0000-00000000000f";
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    world.settle().await;
    let an_hour_ago = now().minus(Duration::from_secs(3600));
    let (before, mut reader) = revocations_since(&*store, an_hour_ago).await;
    assert_eq!(before, []);
    let id = |number: u128| uuid::Uuid::from_u128(number);
    let [session, unmarked, account, known, ended_long_ago] = [1, 2, 3, 4, 5].map(id);
    let at = r#"{"DeviceForgotten":{"at":"2027-01-01T00:00:00.000Z"}}"#;
    let epoch = format!(r#"{{"TotpReset":{{"session_epoch":7,"kept_session":"{KEPT}"}}}}"#);
    for (kind, id, event, ends_sessions) in [
        ("session", session, ("DeviceForgotten", at), Some(true)),
        ("session", unmarked, ("DeviceForgotten", at), Some(false)),
        ("user", account, ("TotpReset", epoch.as_str()), Some(true)),
        // Of kinds that this program knows the catalogue says what they do.
        ("session", known, ("TokenRefreshed", "{}"), Some(true)),
        // A node of an earlier version stores the type alone.
        ("session", ended_long_ago, ("LoggedOut", "{}"), None),
    ] {
        plant(world, (kind, &id.to_string()), event, ends_sessions).await;
    }
    let expected = HashSet::from([
        Revocation::Session(SessionId::new(session)),
        Revocation::Session(SessionId::new(ended_long_ago)),
        Revocation::Epoch {
            user: UserId::new(account),
            epoch: 7,
            kept: SessionId::parse(KEPT),
        },
    ]);
    let news = reader.read_new().await.unwrap();
    assert_eq!(news.into_iter().collect::<HashSet<_>>(), expected);
    let (since, _) = revocations_since(&*store, an_hour_ago).await;
    assert_eq!(since.into_iter().collect::<HashSet<_>>(), expected);
    // By their time alone.
    mark_many_times(world, &*store).await;
    let (since, _) = revocations_since(&*store, an_hour_ago).await;
    assert_eq!(since.into_iter().collect::<HashSet<_>>(), expected);
}

pub async fn whether_an_event_ends_sessions_is_stored_with_it(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let [first, second] = [ada.signs_in(&*store).await, ada.signs_in(&*store).await];
    // One by one, then in a batch of several, and in an append of several streams.
    ada.signs_out(&*store, first).await;
    ada.does_in(&*store, second, refresh(0, 0)).await.unwrap();
    let mut several = JoinSet::new();
    for _ in 0..8 {
        let (ada, store) = (ada.clone(), world.store());
        several.spawn(async move {
            let session = ada.signs_in(&*store).await;
            ada.signs_out(&*store, session).await;
        });
    }
    several.join_all().await;
    append(&*store, vec![ada.visit().await, ada.visit().await])
        .await
        .unwrap();
    ada.does(&*store, UserCommand::Lock(Lock { at: now() }))
        .await
        .unwrap();
    ada.erases_account(&*store).await;
    let mut ending = 0;
    for kind in EventKind::ALL {
        let stored = kind.stored_type();
        let of_type = format!("events WHERE event_type = '{stored}'");
        let all = world.count(&of_type).await;
        let marked = world.count(&format!("{of_type} AND ends_sessions")).await;
        assert_eq!(
            marked,
            if kind.ends_sessions() { all } else { 0 },
            "{stored}"
        );
        ending += marked;
    }
    // Eleven logouts, a lock and an erasure.
    assert_eq!(ending, 13);
}

/// An attacker with write access adds events with the type of a revocation but not its content.
pub async fn an_unreadable_event_hides_no_other_revocation(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let session = ada.signs_in(&*store).await;
    let an_hour_ago = now().minus(Duration::from_secs(3600));
    let (before, mut reader) = revocations_since(&*store, an_hour_ago).await;
    assert_eq!(before, []);
    world.settle().await;
    for (id, event_type, payload) in [
        ("no id", "LoggedOut", "{}"),
        (
            "00000000-0000-0000-0000-000000000001",
            "PasswordReset",
            r#"{"PasswordReset":{"session_epoch":"x"}}"#,
        ),
        ("00000000-0000-0000-0000-000000000002", "UserLocked", "[]"),
        (
            "00000000-0000-0000-0000-000000000003",
            "UserErased",
            r#"{"UserErased":{"session_epoch":99999999999,"kept_session":"y"}}"#,
        ),
    ] {
        plant(world, ("user", id), (event_type, payload), None).await;
    }
    ada.signs_out(&*store, session).await;
    assert_eq!(
        reader.read_new().await.unwrap(),
        [Revocation::Session(session)]
    );
    let (all, _) = revocations_since(&*store, an_hour_ago).await;
    assert_eq!(all, [Revocation::Session(session)]);
}

pub async fn a_day_of_many_logouts_is_read_in_batches(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let (_, mut before) = revocations_since(&*store, now()).await;
    let mut ended = HashSet::new();
    for _ in 0..21 {
        let mut visits = Vec::new();
        for _ in 0..500 {
            visits.push(ada.visit().await);
        }
        ended.extend(visits.iter().map(|visit| visit.stream.id.clone()));
        append(&*store, visits).await.unwrap();
    }
    let (mut heard, mut pieces) = (Vec::new(), 0);
    let mut hear = |news: Vec<Revocation>| {
        pieces += 1;
        heard.extend(news);
    };
    let an_hour_ago = now().minus(Duration::from_secs(3600));
    let mut reader = store.follow_revocations().await.unwrap();
    reader.read_since(an_hour_ago, &mut hear).await.unwrap();
    assert!(pieces > 1, "{pieces}");
    assert_eq!(heard.len(), ended.len());
    let heard = heard.into_iter().map(|revocation| match revocation {
        Revocation::Session(session) => session.to_string(),
        other => unreachable!("{other:?}"),
    });
    assert_eq!(heard.collect::<HashSet<_>>(), ended);
    // A reader that was away for so long has to start from the beginning, which reads in pieces.
    assert!(before.read_new().await.is_err());
    // The new reader continues from there.
    let session = ada.signs_in(&*store).await;
    ada.signs_out(&*store, session).await;
    let news = reader.read_new().await.unwrap();
    assert_eq!(news, [Revocation::Session(session)]);
}

pub async fn a_change_of_role_revokes_the_earlier_epochs(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let (_, mut reader) = revocations_since(&*store, now()).await;
    let command = UserCommand::ChangeRole(ChangeRole {
        at: now(),
        role: Role::Auditor,
    });
    ada.does(&*store, command).await.unwrap();
    let news = reader.read_new().await.unwrap();
    let user = ada.user;
    let revoked = Revocation::Epoch {
        user,
        epoch: 1,
        kept: None,
    };
    assert_eq!(news, [revoked]);
    // As it was stored before changes of role ended sessions.
    let first_version = r#"{"RoleChanged":{"at":"2026-11-21T09:25:00.123Z","role":"auditor"}}"#;
    world
        .overwrite_payload(&ada.stream(), 2, first_version)
        .await;
    let a_minute_ago = now().minus(Duration::from_secs(60));
    let (news, _) = revocations_since(&*store, a_minute_ago).await;
    assert_eq!(news, []);
}

pub async fn a_reset_revokes_the_earlier_epochs(world: &impl World) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let (_, mut reader) = revocations_since(&*store, now()).await;
    for epoch in 1..=2 {
        let credential = CredentialId::new(random());
        ada.resets_password(&*store, credential, "$argon2id$new")
            .await;
        let news = reader.read_new().await.unwrap();
        let user = ada.user;
        assert!(
            news.contains(&Revocation::Epoch {
                user,
                epoch,
                kept: None
            }),
            "{news:?}"
        );
    }
}

pub async fn every_event_that_ends_sessions_is_read_with_the_session_that_is_kept(
    world: &impl World,
) {
    let store = world.store();
    let ada = Person::called("ada");
    ada.registers(&*store).await;
    let kept = ada.signs_in(&*store).await;
    let revoked = ada.signs_in(&*store).await;
    let (_, mut reader) = revocations_since(&*store, now()).await;
    let (at, reason) = (now(), RevocationReason::Administrator);
    let account_epoch = 0;
    let command = SessionCommand::Revoke(RevokeSession {
        at,
        account_epoch,
        reason,
    });
    ada.does_in(&*store, revoked, command).await.unwrap();
    let commands = [
        UserCommand::ChangePassword(ChangePassword {
            at,
            credential: ada.credential,
            session: kept,
            proved: proved(0),
        }),
        UserCommand::RevokeSessions(RevokeSessions {
            at,
            authority: Authority::Owner(proved(1)),
            kept: Some(kept),
        }),
        UserCommand::ChangeRole(ChangeRole {
            at,
            role: Role::Admin,
        }),
        UserCommand::Lock(Lock { at }),
    ];
    for command in commands {
        ada.does(&*store, command).await.unwrap();
    }
    // The first version of the event ended no sessions, and must be skipped without an error.
    let mut staged = ada
        .decides(
            &*store,
            UserCommand::ChangeRole(ChangeRole {
                at,
                role: Role::User,
            }),
        )
        .await
        .unwrap();
    let first = &mut staged.new[0];
    first.event_version = "1".to_owned();
    let members = first.payload["RoleChanged"].as_object_mut().unwrap();
    assert!(members.remove("session_epoch").is_some());
    append(&*store, vec![staged]).await.unwrap();
    let user = ada.user;
    let epoch = |epoch, kept| Revocation::Epoch { user, epoch, kept };
    let expected = HashSet::from([
        Revocation::Session(revoked),
        epoch(1, Some(kept)),
        epoch(2, Some(kept)),
        epoch(3, None),
        epoch(4, None),
    ]);
    let news = reader.read_new().await.unwrap();
    assert_eq!(news.into_iter().collect::<HashSet<_>>(), expected);
}
