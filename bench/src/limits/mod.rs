//! The limits of the machine: the same work without the service around it.

pub(crate) mod bare;
pub(crate) mod hashing;
pub(crate) mod jetstream;
pub(crate) mod pgbench;
#[expect(
    unsafe_code,
    reason = "the C reference implementation is called through its own interface"
)]
pub(crate) mod reference;
pub(crate) mod sqlite;
