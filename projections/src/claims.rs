//! Claims: which identifier belongs to which account.

use authlog_domain::{Identifier, IdentifierKind, UserId};

use crate::Account;

/// A form of an identifier, and the account to which it belongs.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    /// The kind of the identifier.
    pub kind: IdentifierKind,
    /// The form ([`Identifier::claimed_forms`]). It is personal data.
    pub form: String,
    /// Whether this is the form of the spelling. The other form of an e-mail address is that of its mailbox.
    pub is_spelling: bool,
    /// The account to which the form belongs.
    pub owner: UserId,
}

/// What an append changes about an account's claims.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClaimChanges {
    /// Claims that the account acquires.
    pub claimed: Vec<Claim>,
    /// Claims that become free for other accounts.
    pub released: Vec<Claim>,
}

/// The changes between an account's row before an append, if it had one, and its row after.
pub fn claim_changes(before: Option<&Account>, after: &Account) -> ClaimChanges {
    let before = before.map(claims_of).unwrap_or_default();
    let after = claims_of(after);
    ClaimChanges {
        claimed: without(&after, &before),
        released: without(&before, &after),
    }
}

/// The `claims` that are not among `others`.
fn without(claims: &[Claim], others: &[Claim]) -> Vec<Claim> {
    let same = |one: &Claim, other: &Claim| (one.kind, &one.form) == (other.kind, &other.form);
    claims
        .iter()
        .filter(|claim| !others.iter().any(|other| same(claim, other)))
        .cloned()
        .collect()
}

/// The claims of an account in this state.
pub fn claims_of(account: &Account) -> Vec<Claim> {
    [
        account.username.clone().map(Identifier::Username),
        account.email.clone().map(Identifier::Email),
    ]
    .into_iter()
    .flatten()
    .flat_map(|identifier| {
        let forms = identifier.claimed_forms().into_iter();
        forms.map(move |(form, is_spelling)| Claim {
            kind: identifier.kind(),
            form,
            is_spelling,
            owner: account.id,
        })
    })
    .collect()
}
