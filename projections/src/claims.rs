//! The claims: which identifier belongs to which account.

use authlog_application::ports::{Account, Identifier};
use authlog_domain::UserId;

/// An identifier and the account whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The identifier.
    pub identifier: Identifier,
    /// Whose it is.
    pub owner: UserId,
}

/// What an append changes about an account's claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimChanges {
    /// Identifiers that become the account's own.
    pub claimed: Vec<Claim>,
    /// Identifiers that others may have from now on.
    pub released: Vec<Claim>,
}

/// The changes from an account's row before an append, if it had one, to its row after.
pub fn claim_changes(before: Option<&Account>, after: &Account) -> ClaimChanges {
    let before = before.map(claims_of).unwrap_or_default();
    let after = claims_of(after);
    ClaimChanges {
        claimed: less(&after, &before),
        released: less(&before, &after),
    }
}

/// Those of `claims` that are none of `others`, in whichever spelling.
fn less(claims: &[Claim], others: &[Claim]) -> Vec<Claim> {
    let same = |one: &Claim, other: &Claim| {
        one.identifier.kind() == other.identifier.kind()
            && one.identifier.comparable() == other.identifier.comparable()
    };
    claims
        .iter()
        .filter(|claim| !others.iter().any(|other| same(claim, other)))
        .cloned()
        .collect()
}

/// The claims of an account that stands like this.
pub fn claims_of(account: &Account) -> Vec<Claim> {
    [
        account.username.clone().map(Identifier::Username),
        account.email.clone().map(Identifier::Email),
    ]
    .into_iter()
    .flatten()
    .map(|identifier| Claim {
        identifier,
        owner: account.id,
    })
    .collect()
}
