//! The catalogue of events: everything that is declared once for each kind of event.
//!
//! To add an event, add its row here and its struct and variant to the events of the aggregate. The compiler then names
//! every place that has to decide something about the kind, because these match on [`EventKind`] without a wildcard.

use crate::AggregateKind;

/// What the catalogue declares about one kind of event. The accessors of [`EventKind`] document the fields.
struct Entry {
    aggregate: AggregateKind,
    version: u32,
    public_name: &'static str,
    summary: &'static str,
    personal_fields: &'static [&'static str],
    ends_sessions: bool,
    notice: Option<Notice>,
}

/// The subject of a mail to an account's owner, which an event causes: a security notice, or a link that was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The password was changed.
    PasswordChanged,
    /// The e-mail address was changed. The notice is sent to the previous address.
    EmailChanged,
    /// The account was locked.
    AccountLocked,
    /// A refresh token was reused, and its session ended.
    RefreshTokenReused,
    /// A link that verifies an e-mail address.
    VerificationLink,
    /// A second factor was added.
    SecondFactorAdded,
    /// The signature counter of a passkey went back, so there may be a copy of it.
    PasskeyCounterWentBack,
    /// A second factor was removed.
    SecondFactorRemoved,
    /// Recovery codes were made, or one was used.
    RecoveryCodes,
    /// The password is on a list of breached passwords.
    PasswordBreached,
}

macro_rules! catalogue {
    ($(
        $kind:ident {
            aggregate: $aggregate:ident,
            version: $version:literal,
            public_name: $public_name:literal,
            summary: $summary:literal,
            personal: [$($member:literal),*],
            ends_sessions: $ends_sessions:literal,
            notice: $notice:expr,
        }
    )*) => {
        /// A kind of event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventKind {
            $(#[doc = $summary] $kind,)*
        }

        impl EventKind {
            /// Every kind, grouped by aggregate.
            pub const ALL: [Self; [$(Self::$kind),*].len()] = [$(Self::$kind),*];

            /// The stored name of the type. It never changes.
            pub const fn stored_type(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind),)*
                }
            }

            const fn entry(self) -> &'static Entry {
                match self {
                    $(Self::$kind => &Entry {
                        aggregate: AggregateKind::$aggregate,
                        version: $version,
                        public_name: $public_name,
                        summary: $summary,
                        personal_fields: &[$(concat!("/", stringify!($kind), "/", $member)),*],
                        ends_sessions: $ends_sessions,
                        notice: $notice,
                    },)*
                }
            }
        }
    };
}

catalogue! {
    UserRegistered {
        aggregate: User,
        version: 1,
        public_name: "registered",
        summary: "An account was made.",
        personal: ["username", "email", "name", "phone"],
        ends_sessions: false,
        notice: None,
    }
    PasswordResetRequested {
        aggregate: User,
        version: 1,
        public_name: "password-reset-requested",
        summary: "Someone asked to reset the account's password; an earlier request no longer counts.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    PasswordReset {
        aggregate: User,
        version: 1,
        public_name: "password-reset",
        summary: "The password was reset with a mailed link; every session that the account had has ended.",
        personal: [],
        ends_sessions: true,
        notice: Some(Notice::PasswordChanged),
    }
    PasswordRehashed {
        aggregate: User,
        version: 1,
        public_name: "password-rehashed",
        summary: "Someone signed in whose password was kept under an older or weaker hash; it is kept under a newer one now.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    PasswordChanged {
        aggregate: User,
        version: 1,
        public_name: "password-changed",
        summary: "The person changed the password; every session has ended but the one in which that was done.",
        personal: [],
        ends_sessions: true,
        notice: Some(Notice::PasswordChanged),
    }
    SessionsRevoked {
        aggregate: User,
        version: 1,
        public_name: "sessions-revoked",
        summary: "Every session of the account has ended but perhaps one.",
        personal: [],
        ends_sessions: true,
        notice: None,
    }
    RoleChanged {
        aggregate: User,
        version: 2,
        public_name: "role-changed",
        summary: "The account may do other things than before; every session that it had has ended.",
        personal: [],
        ends_sessions: true,
        notice: None,
    }
    UserLocked {
        aggregate: User,
        version: 1,
        public_name: "locked",
        summary: "Nobody can sign in to the account until it is unlocked; every session that it had has ended.",
        personal: [],
        ends_sessions: true,
        notice: Some(Notice::AccountLocked),
    }
    UserUnlocked {
        aggregate: User,
        version: 1,
        public_name: "unlocked",
        summary: "The account can be signed in to again.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    EmailVerificationRequested {
        aggregate: User,
        version: 1,
        public_name: "email-verification-requested",
        summary: "A link was asked for that proves whose an e-mail address is; an earlier one is no good any more.",
        personal: ["email"],
        ends_sessions: false,
        notice: Some(Notice::VerificationLink),
    }
    EmailVerified {
        aggregate: User,
        version: 1,
        public_name: "email-verified",
        summary: "The person proved that the account's e-mail address is theirs.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    EmailChanged {
        aggregate: User,
        version: 1,
        public_name: "email-changed",
        summary: "The account has another e-mail address, which the person proved to be theirs.",
        personal: ["email"],
        ends_sessions: false,
        notice: Some(Notice::EmailChanged),
    }
    TotpEnrolled {
        aggregate: User,
        version: 1,
        public_name: "totp-enrolled",
        summary: "An authenticator app was enrolled as a second factor of the account.",
        personal: [],
        ends_sessions: false,
        notice: Some(Notice::SecondFactorAdded),
    }
    PasskeyEnrolled {
        aggregate: User,
        version: 1,
        public_name: "passkey-enrolled",
        summary: "A passkey was enrolled. It signs in by itself, or as a second factor after the password.",
        personal: [],
        ends_sessions: false,
        notice: Some(Notice::SecondFactorAdded),
    }
    PasskeyCounterWentBack {
        aggregate: User,
        version: 1,
        public_name: "passkey-counter-went-back",
        summary: "A passkey was used with a signature counter that is not higher than before: there may be a copy of its key.",
        personal: [],
        ends_sessions: false,
        notice: Some(Notice::PasskeyCounterWentBack),
    }
    FactorRemoved {
        aggregate: User,
        version: 1,
        public_name: "factor-removed",
        summary: "A second factor of the account was removed.",
        personal: [],
        ends_sessions: false,
        notice: Some(Notice::SecondFactorRemoved),
    }
    RecoveryCodesIssued {
        aggregate: User,
        version: 1,
        public_name: "recovery-codes-issued",
        summary: "Recovery codes were made for the account. Earlier ones are invalid.",
        personal: [],
        ends_sessions: false,
        notice: Some(Notice::RecoveryCodes),
    }
    RecoveryCodeUsed {
        aggregate: User,
        version: 1,
        public_name: "recovery-code-used",
        summary: "A recovery code was used instead of an authenticator app, and is invalid now.",
        personal: [],
        ends_sessions: false,
        notice: Some(Notice::RecoveryCodes),
    }
    FactorRenamed {
        aggregate: User,
        version: 1,
        public_name: "factor-renamed",
        summary: "The person named a second factor, or removed its name.",
        personal: ["label"],
        ends_sessions: false,
        notice: None,
    }
    PasswordFoundBreached {
        aggregate: User,
        version: 1,
        public_name: "password-found-breached",
        summary: "The person signed in with a password that is on the list of breached passwords.",
        personal: [],
        ends_sessions: false,
        notice: Some(Notice::PasswordBreached),
    }
    ConsentGiven {
        aggregate: User,
        version: 1,
        public_name: "consent-given",
        summary: "The person consented to what an application may do in their name.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    ConsentWithdrawn {
        aggregate: User,
        version: 1,
        public_name: "consent-withdrawn",
        summary: "The person withdrew the consent to an application, and its sessions are ended.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    UserErased {
        aggregate: User,
        version: 1,
        public_name: "erased",
        summary: "The account was erased: delete what you keep about its person. Nothing happens to it any more.",
        personal: [],
        ends_sessions: true,
        notice: None,
    }
    LoggedIn {
        aggregate: Session,
        version: 3,
        public_name: "logged-in",
        summary: "Someone signed in: a session started.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    TokenRefreshed {
        aggregate: Session,
        version: 1,
        public_name: "token-refreshed",
        summary: "The session's tokens were renewed.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    RefreshTokenReused {
        aggregate: Session,
        version: 1,
        public_name: "refresh-token-reused",
        summary: "A refresh token came back after it had been replaced: it was copied, and the session has ended.",
        personal: [],
        ends_sessions: true,
        notice: Some(Notice::RefreshTokenReused),
    }
    AuthorizationCodeReused {
        aggregate: Session,
        version: 1,
        public_name: "authorization-code-reused",
        summary: "The authorization code or the device code of the session came back after it had been used: it was copied, and the session has ended.",
        personal: [],
        ends_sessions: true,
        notice: Some(Notice::RefreshTokenReused),
    }
    LoggedOut {
        aggregate: Session,
        version: 1,
        public_name: "logged-out",
        summary: "The person ended the session.",
        personal: [],
        ends_sessions: true,
        notice: None,
    }
    SessionRevoked {
        aggregate: Session,
        version: 1,
        public_name: "revoked",
        summary: "The session was ended from outside it.",
        personal: [],
        ends_sessions: true,
        notice: None,
    }
    SteppedUp {
        aggregate: Session,
        version: 1,
        public_name: "stepped-up",
        summary: "The person in the session was authenticated again, at the level of before or a higher one.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    LoginRefused {
        aggregate: RefusedLogins,
        version: 1,
        public_name: "login-refused",
        summary: "A login was refused to somebody who used the account's name.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    ClientRegistered {
        aggregate: Client,
        version: 1,
        public_name: "registered",
        summary: "A client was registered: a program that people sign in to, or that calls services for itself.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    ClientChanged {
        aggregate: Client,
        version: 1,
        public_name: "changed",
        summary: "The settings of a client were replaced.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    ClientSecretIssued {
        aggregate: Client,
        version: 1,
        public_name: "secret-issued",
        summary: "A secret was issued to a client. The event has the id of the secret, and never the secret.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    ClientSecretRetired {
        aggregate: Client,
        version: 1,
        public_name: "secret-retired",
        summary: "A secret of a client became invalid.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    ClientLocked {
        aggregate: Client,
        version: 1,
        public_name: "locked",
        summary: "A client was locked: it can neither sign people in nor get tokens until it is unlocked.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    ClientUnlocked {
        aggregate: Client,
        version: 1,
        public_name: "unlocked",
        summary: "A client can be used again.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    ClientRemoved {
        aggregate: Client,
        version: 1,
        public_name: "removed",
        summary: "A client was removed. Its id is never used again.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
    LogoutNotDelivered {
        aggregate: Client,
        version: 1,
        public_name: "logout-not-delivered",
        summary: "A client did not take a logout token for a day. It may not know that the session has ended.",
        personal: [],
        ends_sessions: false,
        notice: None,
    }
}

impl EventKind {
    /// The kind with this stored name. `None` for an event that a newer program wrote.
    pub fn from_stored(stored_type: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.stored_type() == stored_type)
    }

    /// The aggregate to which such events belong.
    pub const fn aggregate(self) -> AggregateKind {
        self.entry().aggregate
    }

    /// The version in which such events are written. Older versions remain readable.
    pub const fn version(self) -> u32 {
        self.entry().version
    }

    /// The public name, without the name of the aggregate. It never changes.
    pub const fn public_name(self) -> &'static str {
        self.entry().public_name
    }

    /// When such an event occurs, in one sentence. It is published in the JSON Schemas.
    pub const fn summary(self) -> &'static str {
        self.entry().summary
    }

    /// The personal fields of such events: JSON pointers (RFC 6901) into the stored payload, for all versions ever
    /// stored. Pointers to absent or null fields are ignored.
    pub const fn personal_fields(self) -> &'static [&'static str] {
        self.entry().personal_fields
    }

    /// Whether such an event ends sessions, so that their tokens become invalid. (The first version of `RoleChanged`
    /// ended none.)
    pub const fn ends_sessions(self) -> bool {
        self.entry().ends_sessions
    }

    /// The mail that the account's owner gets after such an event; `None` if there is none.
    pub const fn notice(self) -> Option<Notice> {
        self.entry().notice
    }
}

/// Implements the accessors of an aggregate's enum of events from the catalogue. Each variant has the name of its kind
/// and holds a struct with a field `at`. A missing variant does not compile.
macro_rules! catalogued {
    ($event:ident: $($kind:ident),* $(,)?) => {
        impl $event {
            /// The kind of this event.
            pub const fn kind(&self) -> $crate::EventKind {
                match self {
                    $(Self::$kind(_) => $crate::EventKind::$kind,)*
                }
            }

            /// When the event occurred.
            pub const fn at(&self) -> $crate::Timestamp {
                match self {
                    $(Self::$kind(event) => event.at,)*
                }
            }
        }
    };
}
pub(crate) use catalogued;

/// Implements the stored name and version of an aggregate's events, all of which are written in their current version.
macro_rules! stored_in_current_versions {
    ($event:ident) => {
        impl cqrs_es::DomainEvent for $event {
            fn event_type(&self) -> String {
                self.kind().stored_type().to_owned()
            }

            fn event_version(&self) -> String {
                self.kind().version().to_string()
            }
        }
    };
}
pub(crate) use stored_in_current_versions;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_name_and_summary_belongs_to_one_kind() {
        let stored: HashSet<_> = EventKind::ALL.map(EventKind::stored_type).into();
        let public: HashSet<_> = EventKind::ALL
            .map(|kind| (kind.aggregate(), kind.public_name()))
            .into();
        let summaries: HashSet<_> = EventKind::ALL.map(EventKind::summary).into();
        let all = EventKind::ALL.len();
        assert_eq!(
            (stored.len(), public.len(), summaries.len()),
            (all, all, all)
        );
    }

    #[test]
    fn a_kind_is_found_by_its_stored_name() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_stored(kind.stored_type()), Some(kind));
        }
        assert_eq!(EventKind::from_stored("PasswordForgotten"), None);
    }

    #[test]
    fn refused_logins_and_clients_end_no_sessions() {
        let ending = EventKind::ALL
            .into_iter()
            .filter(|kind| kind.ends_sessions());
        for kind in ending {
            let aggregate = kind.aggregate();
            assert!(
                matches!(aggregate, AggregateKind::User | AggregateKind::Session),
                "{kind:?}"
            );
        }
    }
}
