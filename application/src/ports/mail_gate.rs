//! The gate through which every mail goes: how much one mailbox is sent.

use std::time::Duration;

use async_trait::async_trait;
use authlog_domain::{Email, Notice, ResetId, Timestamp};
use uuid::Uuid;

use super::StoreError;

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MailKind {
    /// The account has another password.
    PasswordChanged,
    /// The account has another e-mail address; this goes to the one before.
    EmailChanged,
    /// The account was locked.
    AccountLocked,
    /// A refresh token was used a second time.
    RefreshTokenReused,
    /// The owner of another account asked for the address of this one.
    AddressWanted,
    /// A link that proves whose an e-mail address is.
    VerificationLink,
    /// A link to reset the password.
    ResetLink,
}

/// Links: as many as the domain lets one account ask for, five in half an hour. So a request that the domain accepts is
/// refused here only if other accounts ask for the same mailbox, or for hours on end. That matters because a newer link
/// replaces an older one: a link that is not sent takes the one before it away.
const LINKS: MailQuota = MailQuota {
    at_once: 5,
    then_one_per: Duration::from_secs(6 * 60),
};

/// Notices: the first ones of an attack arrive at once; the later ones are merged into one an hour.
const NOTICES: MailQuota = MailQuota {
    at_once: 3,
    then_one_per: Duration::from_secs(60 * 60),
};

/// What a mailbox is sent of all kinds together, at a steady rate 48 mails a day. That is one per lifetime of a reset link:
/// however many a stranger asks for, the newest one that the owner has is good.
const ALL_KINDS: MailQuota = MailQuota {
    at_once: 30,
    then_one_per: Duration::from_secs(30 * 60),
};

impl MailKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::PasswordChanged,
        Self::EmailChanged,
        Self::AccountLocked,
        Self::RefreshTokenReused,
        Self::AddressWanted,
        Self::VerificationLink,
        Self::ResetLink,
    ];

    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PasswordChanged => "password-changed",
            Self::EmailChanged => "email-changed",
            Self::AccountLocked => "account-locked",
            Self::RefreshTokenReused => "refresh-token-reused",
            Self::AddressWanted => "address-wanted",
            Self::VerificationLink => "verification-link",
            Self::ResetLink => "reset-link",
        }
    }

    /// The kind of that stored name.
    pub fn from_stored(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// How much of this kind a mailbox is sent.
    pub const fn quota(self) -> MailQuota {
        match self {
            Self::VerificationLink | Self::ResetLink => LINKS,
            Self::PasswordChanged
            | Self::EmailChanged
            | Self::AccountLocked
            | Self::RefreshTokenReused
            | Self::AddressWanted => NOTICES,
        }
    }

    /// How far this kind may use up what a mailbox is sent of all kinds together: thirty mails at once, of which strangers
    /// cannot use up what people need.
    ///
    /// Anyone with an account can cause [`Self::AddressWanted`], and anyone at all [`Self::ResetLink`]. So ten places are
    /// left to links when the former has used its own, and ten more to notices about the account itself: the first three of
    /// each kind get through, however many links were asked for.
    pub const fn quota_of_all(self) -> MailQuota {
        let at_once = match self {
            Self::AddressWanted => 10,
            Self::VerificationLink | Self::ResetLink => 20,
            Self::PasswordChanged
            | Self::EmailChanged
            | Self::AccountLocked
            | Self::RefreshTokenReused => ALL_KINDS.at_once,
        };
        MailQuota {
            at_once,
            ..ALL_KINDS
        }
    }

    /// As [`MailQuota::longest_use`], of the budget of all kinds together.
    pub fn longest_use_of_all(now: Timestamp) -> Timestamp {
        let of_kind = Self::ALL.map(|kind| kind.quota_of_all().longest_use(now));
        of_kind.into_iter().max().unwrap_or(now)
    }
}

impl From<Notice> for MailKind {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::PasswordChanged => Self::PasswordChanged,
            Notice::EmailChanged => Self::EmailChanged,
            Notice::AccountLocked => Self::AccountLocked,
            Notice::RefreshTokenReused => Self::RefreshTokenReused,
            Notice::VerificationLink => Self::VerificationLink,
        }
    }
}

/// How many mails may go out: so many at once, and then one in each such time (the generic cell rate algorithm, ITU-T
/// I.371).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailQuota {
    /// How many at once.
    pub at_once: u32,
    /// How long it takes until there may be one more.
    pub then_one_per: Duration,
}

impl MailQuota {
    /// A budget is used until some instant. A mail may go out at `now` if that instant is not later than this one.
    pub fn latest_use(self, now: Timestamp) -> Timestamp {
        now.plus(self.then_one_per * self.at_once.saturating_sub(1))
    }

    /// Until when an admission at `now` uses a budget at the most.
    pub fn longest_use(self, now: Timestamp) -> Timestamp {
        now.plus(self.then_one_per * self.at_once)
    }
}

/// The entry of a queue that a mail is sent for.
#[derive(Clone, Copy, Debug)]
pub enum QueuedMail {
    /// An entry of the [`MailQueue`](super::MailQueue).
    Due(Uuid),
    /// A request in the queue of [`ResetRequests`](super::ResetRequests).
    Reset(ResetId),
}

/// What the gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The mail may go out.
    Admitted,
    /// The mailbox has had enough.
    Refused {
        /// When it is worth asking again.
        until: Timestamp,
    },
    /// The entry is not in its queue any more: there is nothing to send.
    Gone,
}

/// Bounds the mail that one mailbox is sent, by [`MailKind::quota`] and [`MailKind::quota_of_all`].
///
/// What was sent is remembered by a keyed digest of the mailbox: beyond the end of an account, a restart of a node, and
/// for all nodes of a store together. Two spellings of an address are one mailbox.
#[async_trait]
pub trait MailGate: Send + Sync {
    /// Asks whether a mail of this kind may go out to `to` at `now`, for that entry of a queue. The answer is decided
    /// atomically. An admission belongs to the entry: asking again for it, after a failure to hand the mail over, uses
    /// nothing up.
    async fn admit(
        &self,
        entry: QueuedMail,
        to: &Email,
        kind: MailKind,
        now: Timestamp,
    ) -> Result<Admission, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use authlog_domain::user::{
        MAX_RESET_REQUESTS, MAX_VERIFICATION_REQUESTS, RESET_REQUEST_WINDOW,
        VERIFICATION_REQUEST_WINDOW,
    };

    #[test]
    fn a_kind_is_found_by_its_stored_name() {
        for kind in MailKind::ALL {
            assert_eq!(MailKind::from_stored(kind.as_str()), Some(kind));
        }
        assert_eq!(MailKind::from_stored("newsletter"), None);
    }

    #[test]
    fn the_schema_knows_how_long_all_mail_of_a_mailbox_can_be_used() {
        let now = Timestamp::from_unix_millis(0);
        let in_admit_mail = now.plus(30 * ALL_KINDS.then_one_per);
        assert_eq!(MailKind::longest_use_of_all(now), in_admit_mail);
    }

    #[test]
    fn one_account_can_ask_for_no_more_links_than_a_mailbox_is_sent() {
        for (requests, window) in [
            (MAX_RESET_REQUESTS, RESET_REQUEST_WINDOW),
            (MAX_VERIFICATION_REQUESTS, VERIFICATION_REQUEST_WINDOW),
        ] {
            assert!(LINKS.at_once as usize >= requests);
            assert!(LINKS.then_one_per * LINKS.at_once <= window);
        }
    }

    #[test]
    fn the_places_that_links_leave_hold_the_first_notices_of_every_kind() {
        let of_ones_own_account = MailKind::ALL
            .into_iter()
            .filter(|kind| kind.quota() == NOTICES && *kind != MailKind::AddressWanted);
        let first_notices: u32 = of_ones_own_account.map(|kind| kind.quota().at_once).sum();
        let left = MailKind::PasswordChanged.quota_of_all().at_once
            - MailKind::ResetLink.quota_of_all().at_once;
        // The lock is an administrator's doing: a thief can cause the three others.
        assert!(left >= first_notices - MailKind::AccountLocked.quota().at_once);
    }
}
