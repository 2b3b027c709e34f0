//! The session epoch under which a person proved to be an account's owner.

/// The session epoch that an account had when its owner proved to be so, by a password or a session that counts.
///
/// Every command that is carried out for such a proof holds one, and is refused once the account has another epoch. It
/// has to come from the same read as what was proved, so that only `application/src/use_cases/proof.rs` makes them:
/// `clippy.toml` disallows it elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvedEpoch(u32);

impl ProvedEpoch {
    /// What was proved while the account's session epoch was `epoch`.
    pub const fn new(epoch: u32) -> Self {
        Self(epoch)
    }

    /// The account's session epoch then.
    pub const fn epoch(self) -> u32 {
        self.0
    }
}
