//! The mail gate: it limits how much mail one mailbox is sent. Every mail passes it.

use std::time::Duration;

use async_trait::async_trait;
use authlog_domain::{Email, Notice, ResetId, Timestamp};
use uuid::Uuid;

use super::StoreError;

/// The kind of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MailKind {
    /// A notice: the account has a new password.
    PasswordChanged,
    /// A notice to the previous address: the account has a new e-mail address.
    EmailChanged,
    /// A notice: the account was locked.
    AccountLocked,
    /// A notice: a refresh token was reused, and the session has ended.
    RefreshTokenReused,
    /// A notice: the owner of another account requested the address of this one.
    AddressWanted,
    /// A link that verifies an e-mail address.
    VerificationLink,
    /// A link that resets the password.
    ResetLink,
    /// A second factor was added.
    SecondFactorAdded,
    /// The signature counter of a passkey went back.
    PasskeyCounterWentBack,
    /// A second factor was removed.
    SecondFactorRemoved,
    /// Recovery codes were made, or one was used.
    RecoveryCodes,
    /// A notice: the password is on a list of breached ones.
    PasswordBreached,
}

/// The limit of links: as many as the domain permits to one account, five in half an hour. So a request that the domain
/// accepts is refused here only if other accounts request links to the same mailbox, or if requests go on for hours. That
/// matters because a new link invalidates the previous one, even if the new one is not sent.
const LINKS: MailQuota = MailQuota {
    at_once: 5,
    then_one_per: Duration::from_secs(6 * 60),
};

/// The limit of notices: the first ones of an attack are sent at once, and later ones are combined into one an hour.
const NOTICES: MailQuota = MailQuota {
    at_once: 3,
    then_one_per: Duration::from_secs(60 * 60),
};

/// The limit of notices of which the second one says nothing new.
const REPEATED_NOTICES: MailQuota = MailQuota {
    at_once: 1,
    then_one_per: Duration::from_secs(60 * 60),
};

/// The limit of all kinds together: 48 mails a day in the long run, which is one per lifetime of a reset link. So regardless
/// of how many links a stranger requests, the newest one that the owner received is valid.
const ALL_KINDS: MailQuota = MailQuota {
    at_once: 40,
    then_one_per: Duration::from_secs(30 * 60),
};

impl MailKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::PasswordChanged,
        Self::EmailChanged,
        Self::AccountLocked,
        Self::RefreshTokenReused,
        Self::AddressWanted,
        Self::VerificationLink,
        Self::ResetLink,
        Self::SecondFactorAdded,
        Self::PasskeyCounterWentBack,
        Self::SecondFactorRemoved,
        Self::RecoveryCodes,
        Self::PasswordBreached,
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
            Self::SecondFactorAdded => "second-factor-added",
            Self::PasskeyCounterWentBack => "passkey-counter-went-back",
            Self::SecondFactorRemoved => "second-factor-removed",
            Self::RecoveryCodes => "recovery-codes",
            Self::PasswordBreached => "password-breached",
        }
    }

    /// The kind with this stored name; `None` if there is none.
    pub fn from_stored(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// How much mail of this kind a mailbox is sent.
    pub const fn quota(self) -> MailQuota {
        match self {
            Self::VerificationLink | Self::ResetLink => LINKS,
            Self::PasskeyCounterWentBack | Self::PasswordBreached => REPEATED_NOTICES,
            Self::PasswordChanged
            | Self::EmailChanged
            | Self::AccountLocked
            | Self::RefreshTokenReused
            | Self::AddressWanted
            | Self::SecondFactorAdded
            | Self::SecondFactorRemoved
            | Self::RecoveryCodes => NOTICES,
        }
    }

    /// How much of the common limit of all kinds this kind may use. The common limit is forty mails at once.
    ///
    /// Anyone with an account can cause [`Self::AddressWanted`], which may use ten. Anyone at all can cause
    /// [`Self::ResetLink`]; links may use twenty. So ten are reserved for links, and twenty more for notices about the account
    /// itself: the first ones of each kind are sent, regardless of how many links strangers requested.
    pub const fn quota_of_all(self) -> MailQuota {
        let at_once = match self {
            Self::AddressWanted => 10,
            Self::VerificationLink | Self::ResetLink => 20,
            Self::PasswordChanged
            | Self::EmailChanged
            | Self::AccountLocked
            | Self::RefreshTokenReused
            | Self::SecondFactorAdded
            | Self::PasskeyCounterWentBack
            | Self::SecondFactorRemoved
            | Self::RecoveryCodes
            | Self::PasswordBreached => ALL_KINDS.at_once,
        };
        MailQuota {
            at_once,
            ..ALL_KINDS
        }
    }

    /// As [`MailQuota::longest_use`], for the common limit of all kinds.
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
            Notice::SecondFactorAdded => Self::SecondFactorAdded,
            Notice::PasskeyCounterWentBack => Self::PasskeyCounterWentBack,
            Notice::SecondFactorRemoved => Self::SecondFactorRemoved,
            Notice::RecoveryCodes => Self::RecoveryCodes,
            Notice::PasswordBreached => Self::PasswordBreached,
        }
    }
}

/// A rate limit: a burst of mails at once, and then one per period (the generic cell rate algorithm, ITU-T I.371).
///
/// The state of a limit is one instant, until which it is used. Each admitted mail moves it by one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailQuota {
    /// The largest burst.
    pub at_once: u32,
    /// The period after which one more mail is permitted.
    pub then_one_per: Duration,
}

impl MailQuota {
    /// The latest instant until which the limit may be used for a mail to be admitted at `now`.
    pub fn latest_use(self, now: Timestamp) -> Timestamp {
        now.plus(self.then_one_per * self.at_once.saturating_sub(1))
    }

    /// The latest instant until which the limit can be used after an admission at `now`.
    pub fn longest_use(self, now: Timestamp) -> Timestamp {
        now.plus(self.then_one_per * self.at_once)
    }
}

/// The queue entry for which a mail is sent.
#[derive(Clone, Copy, Debug)]
pub enum QueuedMail {
    /// An entry of the [`MailQueue`](super::MailQueue).
    Due(Uuid),
    /// A request in the queue of [`ResetRequests`](super::ResetRequests).
    Reset(ResetId),
}

/// The answer of the mail gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The mail may be sent.
    Admitted,
    /// The limit of the mailbox is reached.
    Refused {
        /// When a retry makes sense.
        until: Timestamp,
    },
    /// The entry is no longer in its queue, so there is nothing to send.
    Gone,
}

/// Limits the mail that one mailbox is sent, by [`MailKind::quota`] and [`MailKind::quota_of_all`].
///
/// The store remembers sent mail by a keyed digest of the mailbox. So the limits hold for all nodes of a store together, and
/// survive the erasure of an account and the restart of a node. Two spellings of an address are one mailbox.
#[async_trait]
pub trait MailGate: Send + Sync {
    /// Decides, atomically, whether a mail of this kind may be sent to `to` at `now` for this queue entry. An entry that was
    /// admitted stays admitted: a further call for it, after a failure to send the mail, does not count against the limits.
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
    fn the_longest_use_of_all_kinds_is_the_one_in_the_schema() {
        let now = Timestamp::from_unix_millis(0);
        let in_admit_mail = now.plus(40 * ALL_KINDS.then_one_per);
        assert_eq!(MailKind::longest_use_of_all(now), in_admit_mail);
    }

    #[test]
    fn a_mailbox_is_sent_all_links_that_one_account_can_request() {
        for (requests, window) in [
            (MAX_RESET_REQUESTS, RESET_REQUEST_WINDOW),
            (MAX_VERIFICATION_REQUESTS, VERIFICATION_REQUEST_WINDOW),
        ] {
            assert!(LINKS.at_once as usize >= requests);
            assert!(LINKS.then_one_per * LINKS.at_once <= window);
        }
    }

    #[test]
    fn the_reserve_for_notices_holds_the_first_ones_of_every_kind() {
        let about_the_account_itself = MailKind::ALL
            .into_iter()
            .filter(|kind| kind.quota() != LINKS && *kind != MailKind::AddressWanted);
        let first_notices: u32 = about_the_account_itself
            .map(|kind| kind.quota().at_once)
            .sum();
        let reserve = MailKind::PasswordChanged.quota_of_all().at_once
            - MailKind::ResetLink.quota_of_all().at_once;
        // An administrator causes the notice of a lock. A thief can cause the others.
        assert!(reserve >= first_notices - MailKind::AccountLocked.quota().at_once);
    }
}
