//! The operator of the program.

/// Proof that a command comes from the command line. A person who can run the program with its database and its master key
/// may do everything. [`Authlog::new`](crate::Authlog::new) returns the only one, which is not passed to the code that
/// serves requests.
#[derive(Clone, Copy)]
pub struct Operator(());

impl Operator {
    pub(crate) const fn new() -> Self {
        Self(())
    }
}
