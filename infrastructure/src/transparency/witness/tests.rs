//! Tests of what a node remembers of its log.

use super::super::note::NoteKey;
use super::super::tree::Hash;
use super::*;

fn checkpoint(tree_size: u64) -> TrustedCheckpoint {
    let key = NoteKey::new("log.example", &[5; 32]).unwrap();
    let note = Checkpoint::sign(tree_size, Hash([1; 32]), &key);
    let checkpoint = Checkpoint::open(&note, key.verifier()).unwrap();
    TrustedCheckpoint { checkpoint, note }
}

fn witness_of<const N: usize>() -> (Arc<Witness>, [SinkNumber; N]) {
    let witness = Arc::new(Witness::default());
    let sinks = std::array::from_fn(|number| witness.add_sink(format!("sink {number}")));
    (witness, sinks)
}

#[test]
fn no_checkpoint_is_signed_before_every_sink_was_read() {
    let (witness, [file, stream]) = witness_of();
    witness.sink_agrees(file, None);
    let waiting = witness.obstacle().waiting_for;
    assert_eq!(waiting.as_deref(), Some("sink 1 has to be read"));
    witness.sink_agrees(stream, Some(checkpoint(4)));
    assert_eq!(witness.obstacle(), LogIntegrity::default());
    witness.ask_sinks_again();
    assert!(witness.obstacle().waiting_for.is_some());
}

#[test]
fn the_trusted_checkpoint_outlives_sinks_that_it_did_not_reach() {
    let (witness, [file]) = witness_of();
    witness.sink_agrees(file, Some(checkpoint(4)));
    witness.agrees(Some(checkpoint(6)));
    witness.contradicts("cut".to_owned());
    witness.sink_agrees(file, Some(checkpoint(4)));
    assert_eq!(witness.obstacle().tampered.as_deref(), Some("cut"));
    assert_eq!(witness.trusted(), Some(checkpoint(6)));
}

#[test]
fn the_trusted_checkpoint_is_discarded_when_every_used_sink_was_replaced() {
    let (witness, [file, stream, unused]) = witness_of();
    witness.sink_agrees(unused, None);
    witness.sink_agrees(file, Some(checkpoint(4)));
    witness.sink_agrees(stream, Some(checkpoint(4)));
    witness.contradicts("cut".to_owned());
    witness.sink_replaced(file);
    witness.sink_agrees(file, None);
    assert!(
        witness.obstacle().tampered.is_some(),
        "one sink is not replaced yet"
    );
    witness.sink_replaced(stream);
    // Another node has already written to it.
    witness.sink_agrees(stream, Some(checkpoint(2)));
    assert_eq!(witness.obstacle(), LogIntegrity::default());
    assert_eq!(witness.trusted(), Some(checkpoint(2)));
    // One replacement does not end the next alarm.
    witness.contradicts("cut again".to_owned());
    witness.sink_agrees(file, None);
    witness.sink_agrees(stream, Some(checkpoint(2)));
    assert!(witness.obstacle().tampered.is_some());
}

#[test]
fn a_replaced_sink_counts_only_while_it_is_unused() {
    let (witness, [file]) = witness_of();
    witness.sink_agrees(file, Some(checkpoint(4)));
    witness.sink_replaced(file);
    witness.sink_agrees(file, None);
    witness.contradicts("restored".to_owned());
    assert_eq!(witness.obstacle().tampered, None);

    witness.sink_agrees(file, Some(checkpoint(4)));
    witness.contradicts("cut".to_owned());
    assert!(witness.obstacle().tampered.is_some());
}

#[test]
fn without_a_sink_the_trusted_checkpoint_lasts_as_long_as_the_program() {
    let (witness, [unused]) = witness_of();
    witness.agrees(Some(checkpoint(4)));
    witness.sink_agrees(unused, None);
    witness.contradicts("cut".to_owned());
    witness.sink_agrees(unused, None);
    assert!(witness.obstacle().tampered.is_some());
    // The alarm ends only if the log is again what it was, as after a later backup was restored.
    witness.agrees(None);
    assert_eq!(witness.obstacle().tampered, None);
}

#[test]
fn a_contradiction_in_a_sink_ends_when_the_sink_was_replaced() {
    let (witness, [file]) = witness_of();
    witness.sink_contradicts(file, "rewritten".to_owned());
    assert_eq!(witness.obstacle().tampered.as_deref(), Some("rewritten"));
    witness.sink_replaced(file);
    witness.sink_agrees(file, None);
    assert_eq!(witness.obstacle(), LogIntegrity::default());
}
