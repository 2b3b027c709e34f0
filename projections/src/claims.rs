//! The claims: which identifier belongs to which account.

use authlog_application::ports::{Account, Identifier, IdentifierKind};
use authlog_domain::UserId;

/// A form of an identifier and the account whose it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    /// What kind of name it is.
    pub kind: IdentifierKind,
    /// The form ([`Identifier::claimed_forms`]). It is personal data.
    pub form: String,
    /// Whether it is of the spelling that the account has, and not of its mailbox alone.
    pub is_spelling: bool,
    /// Whose it is.
    pub owner: UserId,
}

/// What an append changes about an account's claims.
#[derive(Clone, Default, PartialEq, Eq)]
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

/// Those of `claims` that are none of `others`.
fn less(claims: &[Claim], others: &[Claim]) -> Vec<Claim> {
    let same = |one: &Claim, other: &Claim| (one.kind, &one.form) == (other.kind, &other.form);
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
