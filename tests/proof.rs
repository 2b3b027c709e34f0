//! The log proves itself to third parties: checkpoints and proofs follow the RFCs, evidence verifies without the
//! database, and changes of stored data are detected.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use support::{Contract, Nats, Person, Program, Settings, Store, eventually, on_both_stores, own};

on_both_stores!(
    checkpoints_follow_the_log_and_proofs_hold_for_an_independent_verifier,
    proofs_are_for_auditors_and_invalid_requests_are_refused,
    evidence_verifies_without_the_database_unless_it_was_changed,
    an_export_is_checked_without_the_database,
    the_command_line_names_what_was_tampered_with,
    a_running_service_reports_that_its_log_was_tampered_with,
    a_log_that_was_rolled_back_contradicts_the_checkpoints_that_were_kept,
    a_log_that_is_cut_under_the_service_and_grows_again_is_not_signed,
    a_node_without_a_sink_notices_from_memory_that_its_log_was_cut,
    a_checkpoint_that_was_deleted_is_stored_again,
    an_impossible_end_of_the_log_raises_the_alarm_and_is_not_signed,
    a_running_service_finds_an_event_that_was_deleted_in_the_middle,
    a_service_reports_a_changed_schema,
);

const PASSWORD: &str = "audits-all-day";

/// The access token of an auditor.
async fn auditor(service: &Program) -> String {
    staff(service, "auditor").await
}

async fn staff(service: &Program, role: &str) -> String {
    let email = format!("{role}@example.com");
    let create = ["user", "create", "--email", &email, "--role", role];
    let created = service.settings.run(&create, &format!("{PASSWORD}\n"));
    assert!(created.status.success(), "{created:?}");
    let person = Person {
        email,
        ..Person::called(role).with_password(PASSWORD)
    };
    let tokens = Contract::Users.signs_in(&service.http(), &person).await;
    tokens.access
}

fn output_of(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(error)
}

#[track_caller]
fn runs(settings: &Settings, arguments: &[&str]) -> String {
    let output = settings.run(arguments, "");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the program without a database and without settings.
fn runs_elsewhere(arguments: &[&str]) -> Output {
    let nowhere = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_authlog"))
        .args(arguments)
        .env_clear()
        .current_dir(nowhere.path())
        .output()
        .unwrap();
    let left = std::fs::read_dir(nowhere.path()).unwrap().count();
    assert_eq!(left, 0, "the program left files");
    output
}

// An independent verifier follows, written from RFC 9162 §2.1.3.2 and §2.1.4.2 and from C2SP's signed-note and
// tlog-checkpoint.

type Hash = [u8; 32];

fn node(left: Hash, right: Hash) -> Hash {
    Sha256::digest([&[1], left.as_slice(), right.as_slice()].concat()).into()
}

fn includes(leaf: Hash, index: u64, size: u64, path: &[Hash], root: Hash) -> bool {
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node(*sibling, hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(hash, *sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == root
}

fn is_consistent(first: (u64, Hash), second: (u64, Hash), proof: &[Hash]) -> bool {
    if first.0 == second.0 {
        return proof.is_empty() && first.1 == second.1;
    }
    let mut path = proof.to_vec();
    if first.0.is_power_of_two() {
        path.insert(0, first.1);
    }
    let (mut at, mut last) = (first.0 - 1, second.0 - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let Some((start, rest)) = path.split_first() else {
        return false;
    };
    let (mut old, mut new) = (*start, *start);
    for hash in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old = node(*hash, old);
            new = node(*hash, new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new = node(new, *hash);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old == first.1 && new == second.1
}

/// Size and root in a checkpoint that this key signed.
#[track_caller]
fn opened(note: &str, vkey: &str) -> (u64, Hash) {
    let mut parts = vkey.trim().splitn(3, '+');
    let (name, key_hash) = (parts.next().unwrap(), parts.next().unwrap());
    let key = STANDARD.decode(parts.next().unwrap()).unwrap();
    assert_eq!(key[0], 1, "Ed25519");
    let digest = Sha256::digest([name.as_bytes(), b"\n", &key].concat());
    let hash: String = digest[..4].iter().map(|it| format!("{it:02x}")).collect();
    assert_eq!(hash, key_hash);

    let (text, signature) = note.split_once("\n\n").unwrap();
    let text = format!("{text}\n");
    let line = signature.strip_prefix(&format!("— {name} ")).unwrap();
    let signature = STANDARD.decode(line.strip_suffix('\n').unwrap()).unwrap();
    assert_eq!(signature[..4], digest[..4]);
    let key = DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(&key[1..])).unwrap();
    let signature = URL_SAFE_NO_PAD.encode(&signature[4..]);
    let good = jsonwebtoken::crypto::verify(&signature, text.as_bytes(), &key, Algorithm::EdDSA);
    assert!(good.unwrap(), "{note}");

    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, name));
    (lines[1].parse().unwrap(), hash_of(lines[2]))
}

fn hash_of(base64: &str) -> Hash {
    STANDARD.decode(base64).unwrap().try_into().unwrap()
}

fn hashes(proof: &Value) -> Vec<Hash> {
    let hashes = proof["hashes"].as_array().unwrap();
    hashes
        .iter()
        .map(|hash| hash_of(hash.as_str().unwrap()))
        .collect()
}

async fn checkpoint(service: &Program, token: &str) -> Option<String> {
    let answer = service.send(own::LOG_CHECKPOINT).bearer(token).await;
    (answer.status == 200).then_some(answer.body)
}

async fn proof(service: &Program, token: &str, query: &str) -> Value {
    let answer = service.send(own::LOG_PROOF).bearer(token).query(query);
    let answer = answer.await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

async fn checkpoints_follow_the_log_and_proofs_hold_for_an_independent_verifier(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let token = auditor(&service).await;
    let key = service.send(own::LOG_KEY).bearer(&token).await.body;
    assert_eq!(key, runs(&service.settings, &["log", "key"]));
    let size = async || {
        checkpoint(&service, &token)
            .await
            .map(|it| opened(&it, &key).0)
    };

    // A checkpoint is at most a second behind. A busy machine may be late once, but not each time.
    let mut soonest = Duration::MAX;
    let mut before = eventually("a checkpoint", async || size().await).await;
    for name in ["ann", "ben", "cleo", "dan"] {
        Contract::ApiAuth
            .registers(&service.http(), &Person::called(name))
            .await;
        let since = Instant::now();
        before = eventually("the next checkpoint", async || {
            size().await.filter(|size| *size > before)
        })
        .await;
        soonest = soonest.min(since.elapsed());
    }
    assert!(soonest < Duration::from_secs(2), "{soonest:?}");

    let note = checkpoint(&service, &token).await.unwrap();
    let (size, root) = opened(&note, &key);
    let mut roots = vec![(size, root)];
    for log_index in 1..=size {
        let query = format!("index={log_index}&size={size}");
        let proof = proof(&service, &token, &query).await;
        assert_eq!(
            (&proof["log_index"], &proof["tree_size"]),
            (&log_index.into(), &size.into())
        );
        assert_eq!(proof["checkpoint"], *note);
        let leaf = hash_of(proof["leaf_hash"].as_str().unwrap());
        let path = hashes(&proof);
        assert!(includes(leaf, log_index - 1, size, &path, root), "{proof}");
        assert!(
            !includes(leaf, log_index % size, size, &path, root),
            "{proof}"
        );
    }
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("eve"))
        .await;
    let newer = eventually("a newer checkpoint", async || {
        let note = checkpoint(&service, &token).await?;
        Some(opened(&note, &key)).filter(|newer| newer.0 > size)
    })
    .await;
    roots.push(newer);
    let query = format!("from={size}&to={}", newer.0);
    let consistency = proof(&service, &token, &query).await;
    assert!(is_consistent(roots[0], roots[1], &hashes(&consistency)));
    assert!(!is_consistent(
        (size, newer.1),
        roots[1],
        &hashes(&consistency)
    ));
}

async fn proofs_are_for_auditors_and_invalid_requests_are_refused(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let token = auditor(&service).await;
    eventually("a checkpoint", async || checkpoint(&service, &token).await).await;
    for (query, status) in [
        ("", 400),
        ("index=0", 400),
        ("index=one", 400),
        ("index=1&from=1&to=1", 400),
        ("from=2&to=1", 400),
        ("index=1000000", 404),
        ("index=1&size=1000000", 404),
        ("from=1&to=1000000", 404),
    ] {
        let answer = service
            .send(own::LOG_PROOF)
            .bearer(&token)
            .query(query)
            .await;
        assert_eq!(answer.status, status, "{query}: {answer}");
        let media_type = answer.header("content-type").unwrap();
        assert_eq!(media_type, "application/problem+json", "{query}");
    }
    let service_token = staff(&service, "service").await;
    for endpoint in [own::LOG_KEY, own::LOG_CHECKPOINT, own::LOG_PROOF] {
        assert_eq!(service.send(endpoint).await.status, 401, "{endpoint}");
        let answer = service.send(endpoint).bearer(&service_token).await;
        assert_eq!(answer.status, 403, "{answer}");
    }
    let admin = staff(&service, "admin").await;
    let answer = service.send(own::LOG_CHECKPOINT).bearer(&admin).await;
    assert_eq!(answer.status, 200, "{answer}");
}

/// Registers and signs in two people, and waits until their four events are in the log.
async fn people(settings: Settings) -> Program {
    let service = settings.with_cheap_hashing().start().await;
    for name in ["ann", "ben"] {
        let person = Person::called(name);
        Contract::Users.registers(&service.http(), &person).await;
        Contract::Users.signs_in(&service.http(), &person).await;
    }
    let settings = &service.settings;
    eventually("four events with a checkpoint", async || {
        let note = settings.run(&["log", "checkpoint"], "");
        let note = String::from_utf8(note.stdout).unwrap();
        let size: u64 = note.lines().nth(1)?.parse().ok()?;
        (size >= 4).then_some(())
    })
    .await;
    service
}

async fn evidence_verifies_without_the_database_unless_it_was_changed(store: Store) {
    let service = people(Settings::on(store)).await;
    let settings = &service.settings;
    let key = runs(settings, &["log", "key"]);
    let key = key.trim();
    let file = settings.data().join("bundle.json").display().to_string();
    runs(settings, &["log", "prove", "2", "--out", &file]);
    let written = std::fs::read_to_string(&file).unwrap();
    let checks = |file: &str, key: &str| runs_elsewhere(&["log", "check", file, "--key", key]);
    let checked = checks(&file, key);
    assert!(checked.status.success(), "{checked:?}");
    let words = output_of(&checked);
    assert!(words.contains("proven: event 2 (session/"), "{words}");

    // The event's id finds the same event.
    let parsed: Value = serde_json::from_str(&written).unwrap();
    let event = &parsed["event"];
    let id = event["aggregate_id"].as_str().unwrap();
    let by_name = runs(settings, &["log", "prove", &format!("session/{id}/1")]);
    assert_eq!(by_name, written);

    // The store suite's `an_export_holds_…` changes every byte; this test changes some, through the program.
    for position in (0..written.len()).step_by(written.len() / 25) {
        let mut bytes = written.clone().into_bytes();
        bytes[position] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let checked = checks(&file, key);
        assert!(!checked.status.success(), "byte {position}: {checked:?}");
    }
    std::fs::write(&file, &written).unwrap();
    let other = people(Settings::on(store)).await;
    let other = runs(&other.settings, &["log", "key"]);
    let words = output_of(&checks(&file, other.trim()));
    assert!(words.contains("no signature by the key"), "{words}");
    for nonsense in ["0", "999", "user/unknown/1", "rubbish"] {
        let refused = settings.run(&["log", "prove", nonsense], "");
        assert!(!refused.status.success(), "{nonsense}");
    }
}

async fn an_export_is_checked_without_the_database(store: Store) {
    let service = people(Settings::on(store)).await;
    let settings = &service.settings;
    let key = runs(settings, &["log", "key"]);
    let file = settings.data().join("export.ndjson").display().to_string();
    let check = || {
        let checked = runs_elsewhere(&["log", "check", &file, "--key", key.trim()]);
        (checked.status.success(), output_of(&checked))
    };
    runs(settings, &["export", "--out", &file]);
    let (good, words) = check();
    assert!(
        good && words.contains("4 events of the whole log"),
        "{words}"
    );
    // The file may hold personal data: other users cannot read it, and an existing file is not overwritten.
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = settings.run(&["export", "--out", &file], "");
    assert!(!again.status.success(), "{again:?}");
    std::fs::remove_file(&file).unwrap();
    runs(
        settings,
        &["export", "--user", "ann@example.com", "--out", &file],
    );
    let (good, words) = check();
    assert!(good && words.contains("2 events of the account"), "{words}");
    let same = runs(settings, &["export", "--user", "ANN@example.com"]);
    assert_eq!(same, std::fs::read_to_string(&file).unwrap());
    // The export of a person is readable; an export for others can leave personal data out.
    let registered: Value = serde_json::from_str(same.lines().nth(1).unwrap()).unwrap();
    assert_eq!(registered["personal"]["email"], "ann@example.com");
    assert_eq!(registered["personal"]["ip"], "127.0.0.1");
    let sealed = runs(
        settings,
        &["export", "--user", "ann@example.com", "--sealed"],
    );
    assert!(!sealed.contains("ann@example.com") && !sealed.contains("127.0.0.1"));

    let changed = same.replacen("LoggedIn", "LoggedOn", 1);
    assert_ne!(changed, same);
    std::fs::write(&file, changed).unwrap();
    let (good, words) = check();
    assert!(
        !good && words.contains("event 2 is not what its leaf stands for"),
        "{words}"
    );
    let unknown = settings.run(&["export", "--user", "unknown"], "");
    assert!(
        output_of(&unknown).contains("no such account"),
        "{unknown:?}"
    );
}

async fn the_command_line_names_what_was_tampered_with(store: Store) {
    let mut service = people(Settings::on(store)).await;
    // A running service would store a deleted checkpoint again.
    service.terminate().await;
    let settings = &service.settings;
    let whole = runs(settings, &["log", "verify"]);
    assert!(whole.contains("the log is whole: 4 events"), "{whole}");
    let key = runs(settings, &["log", "key"]);
    runs(settings, &["log", "verify", "--key", key.trim()]);
    settings.tamper("CREATE TABLE kept AS SELECT * FROM checkpoints; DELETE FROM checkpoints");
    let unsigned = settings.run(&["log", "verify"], "");
    assert_eq!(unsigned.status.code(), Some(1));
    let words = output_of(&unsigned);
    assert!(
        words.contains("no checkpoint vouches for any of the 4 events"),
        "{words}"
    );
    settings.tamper("INSERT INTO checkpoints SELECT * FROM kept");

    let third = "(SELECT l.aggregate_id FROM event_log l WHERE l.log_index = 3)";
    let sql = format!("UPDATE events SET metadata = '{{}}' WHERE aggregate_id = {third}");
    settings.tamper(&sql);
    let found = settings.run(&["log", "verify"], "");
    assert_eq!(found.status.code(), Some(1));
    let words = output_of(&found);
    assert!(
        words.contains("the log is not whole: event 3 (user/"),
        "{words}"
    );
    assert!(words.contains("was changed"), "{words}");
    let refused = output_of(&settings.run(&["log", "prove", "3"], ""));
    assert!(refused.contains("event 3 was changed"), "{refused}");
}

async fn a_running_service_reports_that_its_log_was_tampered_with(store: Store) {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept.checkpoints");
    let path = kept.display().to_string();
    let settings = Settings::on(store).with("AUTHLOG_CHECKPOINT_FILE", &path);
    let service = people(settings).await;
    eventually("the checkpoint is in the file", async || {
        last_size(&kept).filter(|size| *size == 4)
    })
    .await;
    let leaf = "(SELECT leaf_hash FROM event_log WHERE log_index = 2)";
    service.settings.tamper(&format!(
        "UPDATE event_log SET leaf_hash = {leaf} WHERE log_index = 1"
    ));
    eventually("the service reports it", async || {
        let said = service.output();
        said.contains("THE LOG WAS TAMPERED WITH").then_some(())
    })
    .await;
    // The service continues to serve, and signs nothing more.
    Contract::Users
        .registers(&service.http(), &Person::called("cleo"))
        .await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(last_size(&kept), Some(4));
}

/// One node signs checkpoints, and the other only compares them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_reports_that_the_log_was_tampered_with() {
    let [first, second] = Settings::of_two_nodes();
    let first = people(first).await;
    let second = second.start().await;
    for node in [&first, &second] {
        assert_eq!(tampered(node).await, None);
    }
    let leaf = "(SELECT leaf_hash FROM event_log WHERE log_index = 2)";
    let replace = format!("UPDATE event_log SET leaf_hash = {leaf} WHERE log_index = 1");
    first.settings.tamper(&replace);
    for node in [&first, &second] {
        alarm(node).await;
    }
}

async fn a_service_reports_a_changed_schema(store: Store) {
    let mut service = people(Settings::on(store)).await;
    assert_eq!(tampered(&service).await, None);
    service.terminate().await;
    service.settings.execute(if store == Store::Sqlite {
        "CREATE TRIGGER undo AFTER UPDATE ON accounts BEGIN DELETE FROM sessions; END"
    } else {
        "CREATE TRIGGER undo BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    });
    service.restart().await;
    let reason = eventually("an alarm", async || tampered(&service).await).await;
    assert!(
        reason.contains("the trigger undo on accounts is not of this program"),
        "{reason}"
    );
    let metrics = service.send(own::METRICS).await.body;
    assert!(metrics.contains("authlog_log_tampered 1"), "{metrics}");
    service.has_logged("SCHEMA WAS TAMPERED WITH").await;
}

/// The service notices it without a request for the event and without a manual check.
async fn a_running_service_finds_an_event_that_was_deleted_in_the_middle(store: Store) {
    let service = people(Settings::on(store)).await;
    let audit = async || service.send(own::READYZ).await.json()["log"]["audit"].clone();
    let complete = eventually("the first pass", async || {
        let audit = audit().await;
        (audit["passes"].as_u64() >= Some(1)).then_some(audit)
    })
    .await;
    assert!(complete["completed_at"].is_string(), "{complete}");
    assert!(complete["of"].as_u64() <= Some(4), "{complete}");
    eventually("a pass over all events", async || {
        let metrics = service.send(own::METRICS).await.body;
        metrics
            .contains("authlog_log_audit_checked 4")
            .then_some(())
    })
    .await;
    assert_eq!(tampered(&service).await, None);
    let second = "WHERE (aggregate_type, aggregate_id, sequence)
         = (SELECT aggregate_type, aggregate_id, sequence FROM event_log WHERE log_index = 2)";
    service.settings.tamper(&format!(
        "CREATE TABLE kept AS SELECT * FROM events {second}; DELETE FROM events {second}"
    ));
    let reason = eventually("an alarm", async || tampered(&service).await).await;
    assert!(
        reason.contains("event 2 (") && reason.contains("is missing"),
        "{reason}"
    );
    alarm(&service).await;
    // The event is restored, as from a backup. No restart is necessary.
    let columns = "position, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, recorded_at";
    let insert = if store == Store::Sqlite {
        format!("INSERT INTO events ({columns}) SELECT {columns} FROM kept")
    } else {
        format!(
            "INSERT INTO events ({columns}, txid) OVERRIDING SYSTEM VALUE SELECT {columns}, txid FROM kept"
        )
    };
    service.settings.tamper(&insert);
    eventually("the alarm ends", async || {
        tampered(&service).await.is_none().then_some(())
    })
    .await;
}

async fn a_checkpoint_that_was_deleted_is_stored_again(store: Store) {
    let service = people(Settings::on(store)).await;
    let token = auditor(&service).await;
    eventually("the missing checkpoint is noticed", async || {
        // A node that has not seen a checkpoint yet signs another one.
        service.settings.tamper("DELETE FROM checkpoints");
        tokio::time::sleep(Duration::from_millis(700)).await;
        let said = service.output();
        said.contains("the newest checkpoint was deleted")
            .then_some(())
    })
    .await;
    eventually("the checkpoint is stored again", async || {
        checkpoint(&service, &token).await
    })
    .await;
    assert_eq!(tampered(&service).await, None);
}

/// The tree size of the last checkpoint in a file.
fn last_size(file: &Path) -> Option<u64> {
    let notes = std::fs::read_to_string(file).ok()?;
    let last = notes.trim_end().rsplit("\n\n").nth(1)?;
    last.lines().nth(1)?.parse().ok()
}

async fn a_log_that_was_rolled_back_contradicts_the_checkpoints_that_were_kept(store: Store) {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept.checkpoints");
    let path = kept.display().to_string();
    let settings = Settings::on(store).with("AUTHLOG_CHECKPOINT_FILE", &path);
    let mut service = people(settings).await;
    eventually("the checkpoint is in the file", async || {
        last_size(&kept).filter(|size| *size == 4)
    })
    .await;
    let agreed = runs(&service.settings, &["log", "verify", "--checkpoint", &path]);
    assert!(agreed.contains("kept checkpoints"), "{agreed}");
    service.terminate().await;

    // As after restoring a backup from before the last event.
    service.settings.tamper(
        "DELETE FROM events WHERE aggregate_id = (SELECT aggregate_id FROM event_log WHERE log_index = 4);
         DELETE FROM event_log WHERE log_index = 4;
         DELETE FROM checkpoints WHERE tree_size = 4;",
    );
    if store == Store::Postgres {
        service.settings.tamper(
            "UPDATE sequencer SET last_index = 3, last_txid = e.txid, last_position = e.position
               FROM event_log l JOIN events e USING (aggregate_type, aggregate_id, sequence) WHERE l.log_index = 3",
        );
    }
    let without_the_file = service.settings.clone().without("AUTHLOG_CHECKPOINT_FILE");
    // The database alone does not show it.
    let words = output_of(&without_the_file.run(&["log", "verify"], ""));
    assert!(!words.contains("is missing"), "{words}");
    let words = output_of(&service.settings.run(&["log", "verify"], ""));
    assert!(
        words.contains("not the log of the configured checkpoint file"),
        "{words}"
    );
    let verify = ["log", "verify", "--checkpoint", &path];
    let words = output_of(&service.settings.run(&verify, ""));
    assert!(words.contains("event 4 is missing"), "{words}");
    assert!(
        words.contains("the kept checkpoint vouches for 4"),
        "{words}"
    );

    service.restart().await;
    eventually("the service reports it", async || {
        let said = service.output();
        let loud = said.contains("THE LOG WAS TAMPERED WITH") && said.contains("rolled back");
        loud.then_some(())
    })
    .await;
    assert_eq!(last_size(&kept), Some(4));
}

/// Removes the fourth event with its checkpoint, under the running service.
fn cut_the_fourth_event(settings: &Settings) {
    settings.tamper("DELETE FROM events WHERE aggregate_id = (SELECT aggregate_id FROM event_log WHERE log_index = 4);
         DELETE FROM event_log WHERE log_index = 4;
         DELETE FROM checkpoints WHERE tree_size = 4;",
    );
    if !settings.is_sqlite() {
        settings.tamper("UPDATE sequencer SET last_index = 3");
    }
}

/// Why the service does not trust its log, by `/readyz`.
async fn tampered(service: &Program) -> Option<String> {
    let ready = service.send(own::READYZ).await.json();
    ready["log"]["tampered"].as_str().map(str::to_owned)
}

async fn alarm(service: &Program) {
    eventually("an alarm", async || tampered(service).await).await;
    let metrics = service.send(own::METRICS).await.body;
    assert!(metrics.contains("authlog_log_tampered 1"), "{metrics}");
    service.has_logged("THE LOG WAS TAMPERED WITH").await;
}

async fn a_log_that_is_cut_under_the_service_and_grows_again_is_not_signed(store: Store) {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept.checkpoints");
    let path = kept.display().to_string();
    let nats = Nats::start().await;
    let settings = Settings::on(store)
        .with("AUTHLOG_CHECKPOINT_FILE", &path)
        .with("AUTHLOG_NATS_URL", &nats.url());
    let mut service = people(settings).await;
    eventually("the checkpoint is in the file", async || {
        last_size(&kept).filter(|size| *size == 4)
    })
    .await;
    let jetstream = async_nats::connect(nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(jetstream);
    eventually("checkpoints are published", async || {
        jetstream.get_stream("AUTH_CHECKPOINTS").await.ok()
    })
    .await;
    assert_eq!(tampered(&service).await, None);
    cut_the_fourth_event(&service.settings);
    for name in ["cleo", "dan"] {
        Contract::Users
            .registers(&service.http(), &Person::called(name))
            .await;
    }
    alarm(&service).await;
    // A restart or the command line does not clear the alarm.
    service.terminate().await;
    service.restart().await;
    alarm(&service).await;
    let refused = output_of(&service.settings.run(&["log", "checkpoint"], ""));
    assert!(refused.contains("no checkpoint is signed"), "{refused}");
    assert_eq!(last_size(&kept), Some(4));

    // The documented way back.
    std::fs::rename(&kept, folder.path().join("given-up")).unwrap();
    jetstream.delete_stream("AUTH_CHECKPOINTS").await.unwrap();
    eventually("signing resumes", async || {
        last_size(&kept).filter(|size| *size >= 5)
    })
    .await;
    assert_eq!(tampered(&service).await, None);
}

async fn a_node_without_a_sink_notices_from_memory_that_its_log_was_cut(store: Store) {
    let service = people(Settings::on(store)).await;
    // Longer than a node needs to see the checkpoint.
    tokio::time::sleep(Duration::from_secs(3)).await;
    cut_the_fourth_event(&service.settings);
    Contract::Users
        .registers(&service.http(), &Person::called("cleo"))
        .await;
    alarm(&service).await;
}

/// An attack on the end of the log, the statement that undoes it, and the words of the alarm.
type Fault = (&'static str, &'static str, &'static str);

const FAULTS: [Fault; 1] = [(
    "INSERT INTO event_log SELECT 9, 'user', 'stranger', 1, leaf_hash FROM event_log WHERE log_index = 1",
    "DELETE FROM event_log WHERE log_index = 9",
    "entry 5 is missing, and the log goes on up to 9",
)];

const FAULTS_ON_SQLITE: [Fault; 3] = [
    (
        "INSERT INTO event_log SELECT 0, 'user', 'stranger', 1, leaf_hash FROM event_log WHERE log_index = 1",
        "DELETE FROM event_log WHERE log_index = 0",
        "at 0, before its first place",
    ),
    (
        "INSERT INTO events (position, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         VALUES ((SELECT max(log_index) + 1 FROM event_log), 'user', 'stranger', 1, 'UserLocked', '1', '{}', '{}')",
        "DELETE FROM events WHERE aggregate_id = 'stranger'",
        "the log ends at 4 and the events end at 5",
    ),
    (
        "INSERT INTO events (position, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         VALUES (9223372036854775807, 'user', 'stranger', 1, 'UserLocked', '1', '{}', '{}')",
        "DELETE FROM events WHERE aggregate_id = 'stranger'",
        "the events end at 9223372036854775807",
    ),
];

/// Sets the sequencer's mark, which is its position in the events, back to the last event of the log.
const RESTORE_MARK: &str = "
    UPDATE sequencer SET last_index = l.log_index, min_position = 0, last_txid = e.txid, last_position = e.position
      FROM event_log l JOIN events e USING (aggregate_type, aggregate_id, sequence)
     WHERE l.log_index = (SELECT max(log_index) FROM event_log)";

const FAULTS_ON_POSTGRESQL: [Fault; 4] = [
    (
        "UPDATE sequencer SET last_txid = '999999999999'",
        RESTORE_MARK,
        "mark is not at the event of the last entry",
    ),
    (
        "UPDATE sequencer SET last_txid = '0', last_position = 0",
        RESTORE_MARK,
        "mark is not at the event of the last entry",
    ),
    (
        "UPDATE sequencer SET last_index = 1004",
        RESTORE_MARK,
        "mark is at 1004",
    ),
    (
        "UPDATE sequencer SET min_position = 9223372036854775807",
        RESTORE_MARK,
        "mark leaves out positions",
    ),
];

async fn an_impossible_end_of_the_log_raises_the_alarm_and_is_not_signed(store: Store) {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept.checkpoints");
    let path = kept.display().to_string();
    let service = people(Settings::on(store).with("AUTHLOG_CHECKPOINT_FILE", &path)).await;
    let settings = &service.settings;
    eventually("the checkpoint is in the file", async || {
        last_size(&kept).filter(|size| *size == 4)
    })
    .await;
    let of_store: &[Fault] = match store {
        Store::Sqlite => &FAULTS_ON_SQLITE,
        Store::Postgres => &FAULTS_ON_POSTGRESQL,
    };
    for (fault, undo, words) in FAULTS.iter().chain(of_store) {
        settings.tamper(fault);
        eventually(words, async || {
            tampered(&service).await.filter(|said| said.contains(words))
        })
        .await;
        if fault.contains("last_txid = '999999999999'") || fault.contains("min_position = 9") {
            // No batch can take the next event, and it still counts as waiting.
            let name = format!("p{}", fault.len());
            Contract::Users
                .registers(&service.http(), &Person::called(&name))
                .await;
            let ready = service.send(own::READYZ).await.json();
            assert_eq!(ready["lag"]["sequencer"]["events"], 1, "{ready}");
        }
        let refused = output_of(&settings.run(&["log", "checkpoint"], ""));
        assert!(refused.contains(words), "{refused}");
        settings.tamper(undo);
        eventually("the alarm ends", async || {
            tampered(&service).await.is_none().then_some(())
        })
        .await;
    }
    // The service continues if the last event is deleted while its log entry exists, and if an event is missing from
    // the log.
    settings.tamper("DELETE FROM events WHERE aggregate_id = (SELECT aggregate_id FROM event_log ORDER BY log_index DESC LIMIT 1)",
    );
    let words = "was deleted";
    eventually(words, async || {
        tampered(&service).await.filter(|said| said.contains(words))
    })
    .await;
    if store == Store::Sqlite {
        for (fault, _, _) in &FAULTS_ON_SQLITE[1..] {
            settings.tamper(&fault.replace(
                "'stranger', 1",
                "'stranger', 1 + (SELECT count(*) FROM events)",
            ));
            let name = format!("p{}", fault.len());
            Contract::Users
                .registers(&service.http(), &Person::called(&name))
                .await;
        }
    }
    Contract::Users
        .registers(&service.http(), &Person::called("cleo"))
        .await;
    Contract::Users
        .signs_in(&service.http(), &Person::called("cleo"))
        .await;
    if store == Store::Sqlite {
        assert_eq!(last_size(&kept), Some(4));
    }
}
