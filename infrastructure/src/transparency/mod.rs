//! The log that proves itself: a Merkle tree over it, and signed checkpoints.

pub mod checkpoint;
pub mod note;
pub mod tree;
