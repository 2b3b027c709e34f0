//! The session epoch under which the caller proved to be an account's owner.

/// The session epoch that an account had when its owner was authenticated, by the password or by a live session.
///
/// Every command that depends on such a proof holds one, and is refused once the account has another epoch. The epoch
/// has to come from the same read as the proof, so only `application/src/access/` creates this type: `clippy.toml`
/// disallows it elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvedEpoch(u32);

impl ProvedEpoch {
    /// A proof that was made while the account's session epoch was `epoch`.
    pub const fn new(epoch: u32) -> Self {
        Self(epoch)
    }

    /// The account's session epoch at the time of the proof.
    pub const fn epoch(self) -> u32 {
        self.0
    }
}
