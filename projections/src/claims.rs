//! The claims: which identifier belongs to which account.

use authlog_application::ports::{Account, Identifier, StagedStream};
use authlog_domain::user::UserEvent;
use authlog_domain::{AggregateKind, UserId};

use crate::{Unreadable, read};

/// An identifier that becomes an account's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The identifier.
    pub identifier: Identifier,
    /// Whose it becomes.
    pub owner: UserId,
}

/// The identifiers that the staged events of a stream claim.
///
/// # Errors
/// An event cannot be read.
pub fn claims(staged: &StagedStream) -> Result<Vec<Claim>, Unreadable> {
    if staged.stream.kind != AggregateKind::User {
        return Ok(vec![]);
    }
    let mut claims = Vec::new();
    for recorded in &staged.new {
        let UserEvent::UserRegistered(event) = read(recorded)? else {
            continue;
        };
        let owner = UserId::parse(&recorded.aggregate_id)
            .ok_or_else(|| Unreadable::new(recorded, "its aggregate id is no account's id"))?;
        let username = event.username.as_ref().and_then(|it| it.known());
        let email = event.email.as_ref().and_then(|it| it.known());
        claims.extend(
            [
                username.cloned().map(Identifier::Username),
                email.cloned().map(Identifier::Email),
            ]
            .into_iter()
            .flatten()
            .map(|identifier| Claim { identifier, owner }),
        );
    }
    Ok(claims)
}

/// The claims of an account that stands like this: no event takes an identifier away, except one that takes them all.
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
