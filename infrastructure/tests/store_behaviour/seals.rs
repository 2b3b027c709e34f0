//! Tests of the seals: rows and credentials that this service did not write grant nothing, and the doctor finds them.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{
    Append, Check, Entropy as _, Identifier, OpaqueTokenRecord, TokenDigest,
};
use authlog_domain::user::{ChangeRole, Lock, UserCommand};
use authlog_domain::{CredentialId, Role, SessionId};
use authlog_infrastructure::seal_upgrade::SealUpgrader;
use authlog_infrastructure::sealing::MasterKeys;
use authlog_infrastructure::system::SystemClock;
use authlog_infrastructure::{OpenError, Store};
use tokio::sync::watch;

use super::World;
use super::applications::person_with_application;
use super::clients::{client, does, registration};
use super::people::{LIFETIME, Person, refresh};
use super::rotation::{rotate, with_both};
use super::system::{SystemEntropy, now, random};

/// The name of the store's secret.
const SECRET: &str = "identifier-pepper";

/// A person who has registered and signed in twice, once with an opaque token.
struct Member {
    person: Person,
    session: SessionId,
    token: TokenDigest,
}

impl Member {
    async fn called(name: &str, store: &dyn Store) -> Self {
        let person = Person::called(name);
        person.registers(store).await;
        let session = person.signs_in(store).await;
        let mut digest = [0; 32];
        SystemEntropy.fill(&mut digest);
        let token = TokenDigest(digest);
        let with_token = SessionId::new(random());
        let append = Append {
            streams: vec![person.login(with_token, 0).await],
            opaque_token: Some(OpaqueTokenRecord {
                digest: token.clone(),
                session: with_token,
                expires_at: now().plus(LIFETIME),
            }),
            ..Append::default()
        };
        store.append(append).await.unwrap();
        Self {
            person,
            session,
            token,
        }
    }

    fn name(&self) -> Identifier {
        Identifier::Username(self.person.username())
    }

    /// The hash that a sign-in of this person is compared with; `None` if every password is refused.
    async fn hash(&self, store: &dyn Store) -> Option<String> {
        let found = store.find_for_sign_in(&self.name()).await.unwrap();
        let hash = found.unwrap().hash;
        hash.map(|hash| hash.as_stored().to_owned())
    }

    /// Whether the password, the account, the session and the token still grant access.
    async fn has_access(&self, store: &dyn Store) -> [bool; 4] {
        let by_token = store.session_by_opaque_token(&self.token, now()).await;
        [
            self.hash(store).await == Some(self.person.hash()),
            store.account(self.person.user).await.unwrap().is_some(),
            store.session(self.session).await.unwrap().is_some(),
            by_token.unwrap().is_some(),
        ]
    }
}

/// The checks that found something, each with whether all of it was repaired.
pub async fn findings(store: &dyn Store, repair: bool) -> Vec<(Check, bool)> {
    let diagnosis = store.examine(repair, now(), &|_| ()).await.unwrap();
    let found = diagnosis.divergences.into_iter();
    found
        .map(|(check, found)| (check, found.count == found.repaired))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub async fn a_planted_or_copied_password_hash_grants_no_access(world: &impl World) {
    let store = world.store();
    let root = Member::called("root", &*store).await;
    let eve = Member::called("eve", &*store).await;
    let (user, copied) = (root.person.user, eve.person.user);
    world
        .execute("CREATE TABLE kept AS SELECT * FROM credentials")
        .await;
    let of_eve = |column: &str| format!("(SELECT {column} FROM kept WHERE user_id = '{copied}')");
    for planted in [
        // A hash of the attacker's own, in the two places where one could be looked for.
        "password_hash = '$argon2id$planted', sealed = NULL".to_owned(),
        "password_hash = '$argon2id$planted'".to_owned(),
        // Another account's.
        format!("sealed = {}", of_eve("sealed")),
        "sealed = NULL".to_owned(),
    ] {
        let plants = format!("UPDATE credentials SET {planted} WHERE user_id = '{user}'");
        world.execute(&plants).await;
        let is_untouched = planted == "password_hash = '$argon2id$planted'";
        let expected = is_untouched.then(|| root.person.hash());
        assert_eq!(root.hash(&*store).await, expected, "{planted}");
        let found = findings(&*store, true).await;
        if is_untouched {
            assert_eq!(found, [], "{planted}");
        } else {
            assert_eq!(found, [(Check::Credentials, false)], "{planted}");
        }
        world
            .execute(
                "UPDATE credentials SET password_hash = k.password_hash, sealed = k.sealed
                 FROM kept AS k WHERE k.user_id = credentials.user_id",
            )
            .await;
        assert_eq!(root.hash(&*store).await, Some(root.person.hash()));
    }
    // The hash of an earlier password, under the credential id of the current one.
    let changed = CredentialId::new(random());
    let person = &root.person;
    person
        .resets_password(&*store, changed, "$argon2id$changed")
        .await;
    assert_eq!(root.hash(&*store).await.unwrap(), "$argon2id$changed");
    let puts_back = format!(
        "UPDATE credentials SET sealed = k.sealed FROM kept AS k
         WHERE k.user_id = credentials.user_id AND k.user_id = '{user}'"
    );
    world.execute(&puts_back).await;
    assert_eq!(root.hash(&*store).await, None);
    assert_eq!(eve.has_access(&*store).await, [true; 4]);
}

pub async fn a_row_that_was_changed_grants_nothing_until_it_is_repaired(world: &impl World) {
    let store = world.store();
    let ada = Member::called("ada", &*store).await;
    let eve = Member::called("eve", &*store).await;
    let user = ada.person.user;
    let lock = UserCommand::Lock(Lock { at: now() });
    let locked = Member::called("bob", &*store).await;
    locked.person.does(&*store, lock).await.unwrap();
    for change in [
        "role = 'admin'",
        "session_epoch = 1",
        "email = 'eve@people.example'",
        "email_verified = NOT email_verified",
        "kept_session = user_id",
        "mac = NULL",
    ] {
        let changes = format!("UPDATE accounts SET {change} WHERE user_id = '{user}'");
        world.execute(&changes).await;
        assert_eq!(ada.has_access(&*store).await, [false; 4], "{change}");
        assert!(store.find_account(&ada.name()).await.unwrap().is_none());
        let found = findings(&*store, false).await;
        assert!(
            found.contains(&(Check::Accounts, false)),
            "{change}: {found:?}"
        );
        findings(&*store, true).await;
        assert_eq!(ada.has_access(&*store).await, [true; 4], "{change}");
    }
    world
        .execute("UPDATE accounts SET locked = NOT locked")
        .await;
    for member in [&ada, &locked] {
        assert_eq!(member.hash(&*store).await, None);
    }
    findings(&*store, true).await;
    let account = store.account(locked.person.user).await.unwrap().unwrap();
    assert!(account.locked);
    let session = ada.session;
    for change in [
        format!("user_id = '{}'", eve.person.user),
        "epoch = 1".to_owned(),
        "generation = 7".to_owned(),
        "version = 2".to_owned(),
        "expires_at = started_at".to_owned(),
        "rotation = 'reusable'".to_owned(),
        "ended_at = started_at".to_owned(),
        "mac = NULL".to_owned(),
    ] {
        let changes = format!("UPDATE sessions SET {change} WHERE session_id = '{session}'");
        world.execute(&changes).await;
        let access = ada.has_access(&*store).await;
        assert_eq!(access, [true, true, false, true], "{change}");
        let found = findings(&*store, true).await;
        assert_eq!(found, [(Check::Sessions, true)], "{change}");
        assert_eq!(ada.has_access(&*store).await, [true; 4], "{change}");
    }
    // An ended session is revived.
    let over = ada.person.signs_in(&*store).await;
    ada.person.signs_out(&*store, over).await;
    let revive = format!("UPDATE sessions SET ended_at = NULL WHERE session_id = '{over}'");
    world.execute(&revive).await;
    assert!(store.session(over).await.unwrap().is_none());
    assert_eq!(findings(&*store, true).await, [(Check::Sessions, true)]);
    let repaired = store.session(over).await.unwrap().unwrap().session;
    assert!(repaired.ended_at.is_some());
    // A rebuild repairs it as well.
    world
        .execute("UPDATE accounts SET role = 'admin', mac = NULL")
        .await;
    world.execute("UPDATE sessions SET mac = NULL").await;
    super::read_models::rebuild(&*store, 10).await;
    assert_eq!(ada.has_access(&*store).await, [true; 4]);
    assert_eq!(findings(&*store, false).await, []);
}

/// Such a row has a valid MAC: this service wrote it before the current one.
pub async fn a_row_that_was_restored_from_an_older_copy_grants_nothing(world: &impl World) {
    let store = world.store();
    let ada = Member::called("ada", &*store).await;
    for table in ["accounts", "sessions", "credentials"] {
        let keep = format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}");
        world.execute(&keep).await;
    }
    let put_back = async |table: &str| {
        world.execute(&format!("DELETE FROM {table}")).await;
        let insert = format!("INSERT INTO {table} SELECT * FROM kept_{table}");
        world.execute(&insert).await;
    };
    ada.person.signs_out(&*store, ada.session).await;
    assert_eq!(ada.has_access(&*store).await, [true; 4]);
    put_back("sessions").await;
    assert_eq!(ada.has_access(&*store).await, [true, true, false, true]);
    let found = findings(&*store, true).await;
    assert_eq!(found, [(Check::Sessions, true)]);
    let session = store.session(ada.session).await.unwrap().unwrap().session;
    assert!(session.ended_at.is_some());

    let lock = UserCommand::Lock(Lock { at: now() });
    ada.person.does(&*store, lock).await.unwrap();
    put_back("accounts").await;
    assert_eq!(ada.has_access(&*store).await, [false; 4]);
    assert!(store.find_account(&ada.name()).await.unwrap().is_none());
    findings(&*store, true).await;
    assert!(
        store
            .account(ada.person.user)
            .await
            .unwrap()
            .unwrap()
            .locked
    );

    // A password that an attacker knew, with the row that names it.
    let renewed = CredentialId::new(random());
    let person = &ada.person;
    person
        .resets_password(&*store, renewed, "$argon2id$renewed")
        .await;
    put_back("accounts").await;
    put_back("credentials").await;
    assert_eq!(ada.hash(&*store).await, None);
}

pub async fn a_planted_opaque_token_grants_no_access(world: &impl World) {
    let store = world.store();
    let root = Member::called("root", &*store).await;
    let eve = Member::called("eve", &*store).await;
    world
        .execute("CREATE TABLE kept AS SELECT * FROM opaque_tokens")
        .await;
    let planted = TokenDigest([42; 32]);
    let known = hex(&planted.0);
    let session = root.session;
    let put_there = |mac: &str| {
        let columns = "INSERT INTO opaque_tokens (digest, session_id, expires_at, mac)";
        let sqlite = format!(
            "{columns} SELECT x'{known}', '{session}', expires_at, {mac} FROM kept LIMIT 1"
        );
        let postgres = format!(
            "{columns} SELECT '\\x{known}', '{session}', expires_at, {mac} FROM kept LIMIT 1"
        );
        (sqlite, postgres)
    };
    let stands_for = |token: TokenDigest| {
        let store = world.store();
        async move {
            let standing = store.session_by_opaque_token(&token, now()).await.unwrap();
            standing.map(|standing| standing.session.id)
        }
    };
    for mac in ["NULL", "mac"] {
        let (sqlite, postgres) = put_there(mac);
        world.execute_own(&sqlite, &postgres).await;
        assert_eq!(stands_for(planted.clone()).await, None, "{mac}");
        assert_eq!(
            findings(&*store, false).await,
            [(Check::OpaqueTokens, false)]
        );
        assert_eq!(findings(&*store, true).await, [(Check::OpaqueTokens, true)]);
        assert_eq!(world.count("opaque_tokens").await, 2);
    }
    // The attacker's own token, on the session of another account or for longer.
    for change in [
        format!("UPDATE opaque_tokens SET session_id = '{session}'"),
        "UPDATE opaque_tokens SET expires_at = (SELECT max(expires_at) + (max(expires_at) - min(started_at)) FROM sessions)"
            .to_owned(),
    ] {
        world.execute(&change).await;
        assert_eq!(stands_for(eve.token.clone()).await, None, "{change}");
        assert_eq!(findings(&*store, false).await, [(Check::OpaqueTokens, false)]);
        world.execute("DELETE FROM opaque_tokens").await;
        world.execute("INSERT INTO opaque_tokens SELECT * FROM kept").await;
        assert!(stands_for(eve.token.clone()).await.is_some());
    }
}

/// A store of the previous version: its secret does not say that seals are required.
async fn unsealed(world: &impl World) -> Arc<dyn Store> {
    let mut key = [0; 32];
    SystemEntropy.fill(&mut key);
    let place = format!("shared-secret/{SECRET}");
    let sealed = world.master().seal(&place, &key, &SystemEntropy).unwrap();
    let sealed = hex(&sealed);
    let update = format!("UPDATE shared_secrets SET sealed = ? WHERE name = '{SECRET}'");
    let [sqlite, postgres] = [format!("x'{sealed}'"), format!("'\\x{sealed}'")];
    let [sqlite, postgres] = [sqlite, postgres].map(|value| update.replace('?', &value));
    world.execute_own(&sqlite, &postgres).await;
    world.another_node().await
}

/// Removes the seals, which the previous version did not write.
async fn forget_seals(world: &impl World) {
    world.execute("UPDATE credentials SET sealed = NULL").await;
    for table in ["accounts", "sessions", "opaque_tokens"] {
        world
            .execute(&format!("UPDATE {table} SET mac = NULL"))
            .await;
    }
}

async fn upgrade(store: &Arc<dyn Store>) {
    let leads = watch::channel(true).1;
    let mut upgrader = SealUpgrader::new(
        Arc::clone(store),
        Arc::new(SystemClock),
        leads,
        Duration::ZERO,
    );
    upgrader.run().await;
}

pub async fn a_store_of_the_previous_version_is_sealed_while_it_is_used(world: &impl World) {
    let store = unsealed(world).await;
    let mut people = Vec::new();
    for number in 0..7 {
        people.push(Member::called(&format!("ada{number}"), &*store).await);
    }
    forget_seals(world).await;
    for member in &people {
        assert_eq!(member.has_access(&*store).await, [true; 4]);
    }
    assert_eq!(findings(&*store, false).await, []);
    // A row of the previous version that was changed in the database is rebuilt from its events.
    let eve = &people[0].person;
    world
        .execute(&format!(
            "UPDATE accounts SET role = 'admin' WHERE user_id = '{}'",
            eve.user
        ))
        .await;
    // Interrupted after some of the passwords and of the tokens.
    store.seal_credentials_after(None, 3).await.unwrap();
    store.seal_opaque_tokens_after(None, 3).await.unwrap();
    assert_eq!(world.count("credentials WHERE sealed IS NOT NULL").await, 3);
    assert_eq!(world.count("opaque_tokens WHERE mac IS NOT NULL").await, 3);
    // A node of the previous version changes a password that is sealed already, so the sealed hash is that of the old
    // password.
    let renewed = CredentialId::new(random());
    eve.resets_password(&*store, renewed, "$argon2id$renewed")
        .await;
    world
        .execute("UPDATE credentials SET sealed = (SELECT sealed FROM credentials WHERE sealed IS NOT NULL LIMIT 1)
                  WHERE password_hash = '$argon2id$renewed'")
        .await;
    assert_eq!(people[0].hash(&*store).await.unwrap(), "$argon2id$renewed");
    let other_node = world.another_node().await;

    upgrade(&store).await;
    assert!(store.seals_are_required().await.unwrap());
    assert_eq!(
        world.count("credentials WHERE password_hash <> ''").await,
        0
    );
    assert_eq!(people[0].hash(&*store).await.unwrap(), "$argon2id$renewed");
    let row = store.account(eve.user).await.unwrap().unwrap();
    assert_eq!(row.role, Role::User);
    let fresh = world.another_node().await;
    for store in [&store, &other_node, &fresh] {
        for member in &people[1..] {
            assert_eq!(member.has_access(&**store).await, [true; 4]);
        }
    }
    assert_eq!(findings(&*fresh, false).await, []);
    let role = UserCommand::ChangeRole(ChangeRole {
        at: now(),
        role: Role::Auditor,
    });
    people[1].person.does(&*fresh, role).await.unwrap();
    people[2]
        .person
        .does_in(&*fresh, people[2].session, refresh(0, 0))
        .await
        .unwrap();
    assert_eq!(findings(&*fresh, false).await, []);

    // From now on unsealed rows grant nothing, on every node that has checked since.
    forget_seals(world).await;
    assert!(other_node.seals_are_required().await.unwrap());
    for store in [&store, &other_node, &fresh] {
        for member in &people {
            assert_eq!(member.has_access(&**store).await, [false; 4]);
        }
    }
}

pub async fn unsealed_rows_are_accepted_until_nodes_of_the_previous_version_are_gone(
    world: &impl World,
) {
    let store = unsealed(world).await;
    let ada = Member::called("ada", &*store).await;
    forget_seals(world).await;
    // Not elected: another node does it.
    let (elect, leads) = watch::channel(false);
    let mut upgrader = SealUpgrader::new(
        Arc::clone(&store),
        Arc::new(SystemClock),
        leads,
        Duration::ZERO,
    );
    let upgrading = tokio::spawn(async move { upgrader.run().await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!store.seals_are_required().await.unwrap());
    assert_eq!(ada.has_access(&*store).await, [true; 4]);
    elect.send(true).unwrap();
    upgrading.await.unwrap();
    assert!(store.seals_are_required().await.unwrap());
    assert_eq!(ada.has_access(&*store).await, [true; 4]);
}

/// No version without seals wrote such rows.
pub async fn unsealed_rows_of_clients_and_their_sessions_are_never_accepted(world: &impl World) {
    let store = unsealed(world).await;
    let (_, own, application) = person_with_application("ada", &*store).await;
    let shop = client("shop");
    does(&*store, &shop, registration("Shop")).await;
    assert!(store.client(&shop).await.unwrap().is_some());
    for table in ["sessions", "clients"] {
        let forged = format!("UPDATE {table} SET mac = '\\x00'");
        world
            .execute_own(&forged.replace("'\\x00'", "x'00'"), &forged)
            .await;
    }
    assert!(!store.seals_are_required().await.unwrap());
    assert!(store.session(own).await.unwrap().is_some());
    assert!(store.session(application).await.unwrap().is_none());
    assert!(store.record(&shop).await.unwrap().is_none());
    let repaired = [(Check::Sessions, true), (Check::Clients, true)];
    assert_eq!(findings(&*store, true).await, repaired);
    assert!(store.session(application).await.unwrap().is_some());
    assert!(store.client(&shop).await.unwrap().is_some());
}

pub async fn a_rotation_of_the_master_key_keeps_every_seal(world: &impl World) {
    let before = unsealed(world).await;
    let ada = Member::called("ada", &*before).await;
    forget_seals(world).await;
    let (new, both) = with_both(world).await;
    both.begin_rotation().await.unwrap();
    // The secret that says so is sealed under the new key, although the rotation is not finished.
    upgrade(&both).await;
    rotate(&*both).await;
    let store = world.open_with(MasterKeys::from(new)).await.unwrap();
    assert!(store.seals_are_required().await.unwrap());
    assert_eq!(ada.has_access(&*store).await, [true; 4]);
    assert_eq!(findings(&*store, false).await, []);
    assert!(matches!(
        world.open_with(world.master().into()).await.err(),
        Some(OpenError::WrongMasterKey)
    ));
}

pub async fn a_store_whose_secret_was_removed_is_not_opened(world: &impl World) {
    Person::called("ada").registers(&*world.store()).await;
    world
        .execute(&format!(
            "DELETE FROM shared_secrets WHERE name = '{SECRET}'"
        ))
        .await;
    let refused = world.open_with(world.master().into()).await.err();
    assert!(
        matches!(refused, Some(OpenError::SecretRemoved)),
        "{refused:?}"
    );
}

pub async fn an_unreadable_row_is_treated_as_missing(world: &impl World) {
    let store = world.store();
    let ada = Member::called("ada", &*store).await;
    let eve = Member::called("eve", &*store).await;
    let (user, session) = (ada.person.user, ada.session);
    let (of_account, of_session) = (
        format!("accounts SET {{}} WHERE user_id = '{user}'"),
        format!("sessions SET {{}} WHERE session_id = '{session}'"),
    );
    for (table, set, of_account) in [
        (&of_account, "role = 'godmode'", true),
        (&of_account, "session_epoch = 1099511627776", true),
        (&of_account, "recent_requests = '{garbage'", true),
        (&of_session, "rotation = 'sideways'", false),
        (&of_session, "epoch = 1099511627776", false),
    ] {
        let before = findings(&*store, true).await;
        assert!(before.is_empty(), "{set}: {before:?}");
        world
            .execute(&format!("UPDATE {}", table.replace("{}", set)))
            .await;
        if of_account {
            assert!(store.account(user).await.unwrap().is_none(), "{set}");
            let found = store.find_for_sign_in(&ada.name()).await.unwrap();
            assert!(found.is_none(), "{set}");
        }
        assert!(store.session(session).await.unwrap().is_none(), "{set}");
        let by_token = store.session_by_opaque_token(&ada.token, now()).await;
        assert_eq!(by_token.unwrap().is_none(), of_account, "{set}");
        // Others are found as before.
        let listed = store.accounts(None, 10).await.unwrap();
        let listed: Vec<_> = listed.iter().map(|account| account.id).collect();
        let expected = if of_account {
            vec![eve.person.user]
        } else {
            vec![user, eve.person.user]
        };
        assert_eq!(listed, expected, "{set}");
        let live = store.live_sessions(user, now(), None, 10).await.unwrap();
        assert!(
            live.sessions.iter().all(|it| it.id != session) || of_account,
            "{set}"
        );
        assert_eq!(eve.has_access(&*store).await, [true; 4], "{set}");
        let repaired = findings(&*store, true).await;
        assert!(repaired.iter().all(|(_, repaired)| *repaired), "{set}");
        assert_eq!(ada.has_access(&*store).await, [true; 4], "{set}");
    }
}
