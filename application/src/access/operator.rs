//! The operator of the program.

/// Proof that a command comes from the command line: who can run the program with its database and its master key may do
/// everything. [`Authlog::new`](crate::Authlog::new) returns the only one; what serves requests does not get it.
#[derive(Clone, Copy)]
pub struct Operator(());

impl Operator {
    pub(crate) const fn new() -> Self {
        Self(())
    }
}
