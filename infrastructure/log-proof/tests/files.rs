//! Files that an earlier version of the program wrote are verified, and every change to them is noticed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use authlog_log_proof::checkpoint::Checkpoint;
use authlog_log_proof::evidence::{InvalidEvidence, check_evidence, write_evidence};
use authlog_log_proof::export::{check_export, event_line, header_line};
use authlog_log_proof::note::{NoteKey, VerifierKey};
use authlog_log_proof::record::{EventName, Record};
use authlog_log_proof::tree::{Claim, GrowingTree, Hash};

/// Printed by `authlog log key`.
const KEY: &str = include_str!("log-key.txt");
/// Printed by `authlog log checkpoint`.
const CHECKPOINT: &str = include_str!("checkpoint.txt");
/// Printed by `authlog log prove 1`.
const EVIDENCE: &str = include_str!("evidence.json");
/// Printed by `authlog export`.
const LOG: &str = include_str!("log.jsonl");
/// Printed by `authlog export --user ada`.
const ACCOUNT: &str = include_str!("account.jsonl");

fn key() -> VerifierKey {
    VerifierKey::parse(KEY).unwrap()
}

fn without_line(text: &str, number: usize) -> String {
    let lines = text.lines().enumerate();
    let kept = lines.filter(|(at, _)| *at != number);
    kept.map(|(_, line)| format!("{line}\n")).collect()
}

#[test]
fn files_of_an_earlier_version_are_verified() {
    let checkpoint = Checkpoint::open(CHECKPOINT, &key()).unwrap();
    assert_eq!(checkpoint.tree_size, 2);
    let proven = check_evidence(EVIDENCE, &key()).unwrap();
    assert_eq!(proven.record.event_type, "UserRegistered");
    assert_eq!(proven.checkpoint, checkpoint);
    let log = check_export(LOG.as_bytes(), &key()).unwrap();
    assert_eq!(
        (log.user, log.events, log.checkpoint),
        (None, 2, checkpoint)
    );
    let account = check_export(ACCOUNT.as_bytes(), &key()).unwrap();
    assert_eq!(
        (account.user, account.events),
        (Some(proven.record.name.aggregate_id), 1)
    );
}

#[test]
fn every_changed_byte_of_evidence_is_noticed() {
    for at in 0..EVIDENCE.len() {
        let mut bytes = EVIDENCE.as_bytes().to_vec();
        bytes[at] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else {
            continue;
        };
        assert!(check_evidence(&changed, &key()).is_err(), "byte {at}");
    }
}

#[test]
fn an_export_without_one_of_its_lines_is_refused() {
    for number in 0..LOG.lines().count() {
        let less = without_line(LOG, number);
        assert!(
            check_export(less.as_bytes(), &key()).is_err(),
            "line {number}"
        );
    }
    let without_event = without_line(ACCOUNT, 1);
    let outcome = check_export(without_event.as_bytes(), &key());
    assert!(matches!(outcome, Err(InvalidEvidence::Incomplete(_))));
}

#[test]
fn a_checkpoint_of_another_key_proves_nothing() {
    let other = NoteKey::new(key().name(), &[3; 32]).unwrap();
    for outcome in [
        check_evidence(EVIDENCE, other.verifier()).err(),
        check_export(LOG.as_bytes(), other.verifier()).err(),
    ] {
        assert!(matches!(outcome, Some(InvalidEvidence::Checkpoint(_))));
    }
}

fn record(log_index: u64, user: &str, sequence: i64) -> Record {
    let mut record = Record {
        log_index,
        leaf: Hash([0; 32]),
        name: EventName {
            aggregate_type: "user".to_owned(),
            aggregate_id: user.to_owned(),
            sequence,
        },
        event_type: "UserRegistered".to_owned(),
        event_version: "1".to_owned(),
        recorded_at_micros: 1_700_000_000_000_000,
        payload: "{}".to_owned(),
        metadata: format!("{{\"user_id\":\"{user}\"}}"),
    };
    record.leaf = record.computed_leaf();
    record
}

#[test]
fn written_evidence_and_exports_are_verified_and_a_stream_has_no_gap() {
    let key = NoteKey::new("log.example", &[5; 32]).unwrap();
    let records = [
        record(1, "ada", 1),
        record(2, "grace", 1),
        record(3, "ada", 2),
    ];
    let mut tree = GrowingTree::default();
    for it in &records {
        tree.push(it.leaf, |_, _| {});
    }
    let note = Checkpoint::sign(tree.size(), tree.root(), &key);
    let leaves = records.each_ref().map(|it| it.leaf);
    let path = |index: u64| {
        let claim = Claim::Inclusion { index, size: 3 };
        let nodes = claim.needs().unwrap().into_iter().map(|id| match id.level {
            0 => leaves[usize::try_from(id.index).unwrap()],
            _ => Hash::over(leaves[0], leaves[1]),
        });
        claim.prove(nodes.collect()).unwrap()
    };

    let evidence = write_evidence(records[1].clone(), &path(1), note.clone());
    let proven = check_evidence(&evidence, key.verifier()).unwrap();
    assert_eq!(proven.record, records[1]);
    let elsewhere = write_evidence(records[1].clone(), &path(0), note.clone());
    let outcome = check_evidence(&elsewhere, key.verifier());
    assert!(matches!(outcome, Err(InvalidEvidence::Path(2))));

    let export = |events: &[(usize, &str)]| {
        let user = events[0].1.to_owned();
        let mut text = header_line(Some(user), events.len() as u64, note.clone()) + "\n";
        for (at, _) in events {
            let index = u64::try_from(*at).unwrap();
            text += &event_line(records[*at].clone(), Some(&path(index)), None);
            text += "\n";
        }
        check_export(text.as_bytes(), key.verifier())
    };
    assert_eq!(export(&[(0, "ada"), (2, "ada")]).unwrap().events, 2);
    for wrong in [
        &[(2, "ada")][..],
        &[(0, "ada"), (1, "ada")],
        &[(0, "grace")],
    ] {
        let outcome = export(wrong);
        assert!(
            matches!(outcome, Err(InvalidEvidence::Incomplete(_))),
            "{wrong:?}"
        );
    }
}
