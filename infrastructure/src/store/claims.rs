//! Claims to identifiers, stored as keyed digests.

use authlog_application::ports::{Identifier, IdentifierKind};
use authlog_domain::{Email, ResetId, UserId};
use authlog_projections::Claim;
use aws_lc_rs::hmac;

use crate::mail::mailbox_of;

/// A claim as it is stored. The identifier cannot be read from it without the pepper.
#[derive(Clone)]
pub(crate) struct ClaimDigest {
    pub(crate) kind: IdentifierKind,
    pub(crate) digest: [u8; 32],
    /// Whether the claim is to the spelling of the address, and not only to its mailbox.
    pub(crate) is_spelling: bool,
    pub(crate) owner: UserId,
}

/// The key of the digests under which identifiers are claimed. A reader of the table cannot test names against it.
pub(crate) struct Pepper(hmac::Key);

impl Pepper {
    pub(super) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    pub(crate) fn claim(&self, claim: &Claim) -> ClaimDigest {
        ClaimDigest {
            kind: claim.kind,
            digest: self.digest(claim.kind, &claim.form),
            is_spelling: claim.is_spelling,
            owner: claim.owner,
        }
    }

    /// The digests under which an account claims this identifier, with that of the spelling first. The owner of the
    /// spelling takes precedence, because accounts of earlier versions may share a mailbox.
    pub(crate) fn digests(&self, identifier: &Identifier) -> Vec<[u8; 32]> {
        let forms = identifier.claimed_forms().into_iter();
        forms
            .map(|(form, _)| self.digest(identifier.kind(), &form))
            .collect()
    }

    /// The digests by which an account is looked up. The second is used only if no account claims the first.
    pub(crate) fn lookup(&self, identifier: &Identifier) -> [[u8; 32]; 2] {
        let digests = self.digests(identifier);
        let first = digests.first().copied().unwrap_or_default();
        [first, digests.last().copied().unwrap_or(first)]
    }

    fn digest(&self, kind: IdentifierKind, form: &str) -> [u8; 32] {
        self.tag(&format!("{}:{form}", kind.as_str()))
    }

    fn tag(&self, text: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.0, text.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        digest
    }

    /// The digest of the mailbox of this address. It differs from every [`Self::digest`], so that the table of mail
    /// budgets does not reveal the owner of a mailbox.
    pub(crate) fn mailbox(&self, address: &Email) -> [u8; 32] {
        self.tag(&format!("mailbox:{}", mailbox_of(address)))
    }

    /// The requests for a reset, each with the identifier that was typed, that concern the owner of these claims.
    pub(crate) fn concerned(
        &self,
        claims: &[Vec<u8>],
        requests: impl IntoIterator<Item = (ResetId, String)>,
    ) -> Vec<ResetId> {
        let is_claimed = |typed: &str| {
            Identifier::parse(typed).is_some_and(|it| {
                self.digests(&it)
                    .iter()
                    .any(|own| claims.contains(&own.to_vec()))
            })
        };
        let concerned = requests.into_iter().filter(|(_, typed)| is_claimed(typed));
        concerned.map(|(reset, _)| reset).collect()
    }
}
