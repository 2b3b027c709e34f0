//! Stories of what a node remembers of its log.

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
fn nothing_is_signed_before_every_sink_was_read() {
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
fn the_memory_outlives_sinks_that_the_checkpoint_did_not_reach() {
    let (witness, [file]) = witness_of();
    witness.sink_agrees(file, Some(checkpoint(4)));
    witness.agrees(Some(checkpoint(6)));
    witness.contradicts("cut".to_owned());
    witness.sink_agrees(file, Some(checkpoint(4)));
    assert_eq!(witness.obstacle().tampered.as_deref(), Some("cut"));
    assert_eq!(witness.trusted(), Some(checkpoint(6)));
}

#[test]
fn the_memory_is_given_up_when_every_sink_in_use_was_replaced() {
    let (witness, [file, stream, unused]) = witness_of();
    witness.sink_agrees(unused, None);
    witness.sink_agrees(file, Some(checkpoint(4)));
    witness.sink_agrees(stream, Some(checkpoint(4)));
    witness.contradicts("cut".to_owned());
    witness.sink_replaced(file);
    witness.sink_agrees(file, None);
    assert!(witness.obstacle().tampered.is_some(), "one is left");
    witness.sink_replaced(stream);
    // Another node has filled it already.
    witness.sink_agrees(stream, Some(checkpoint(2)));
    assert_eq!(witness.obstacle(), LogIntegrity::default());
    assert_eq!(witness.trusted(), Some(checkpoint(2)));
    // What was done once is not taken for the answer to the next alarm.
    witness.contradicts("cut again".to_owned());
    witness.sink_agrees(file, None);
    witness.sink_agrees(stream, Some(checkpoint(2)));
    assert!(witness.obstacle().tampered.is_some());
}

#[test]
fn sinks_may_be_replaced_before_the_alarm_and_not_long_before() {
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
fn without_a_sink_the_memory_lasts_as_long_as_the_program() {
    let (witness, [unused]) = witness_of();
    witness.agrees(Some(checkpoint(4)));
    witness.sink_agrees(unused, None);
    witness.contradicts("cut".to_owned());
    witness.sink_agrees(unused, None);
    assert!(witness.obstacle().tampered.is_some());
    // Unless the log is again what it was, as after a later backup was restored.
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
