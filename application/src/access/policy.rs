//! The authorisation policy: the roles of each permission, and how old a second factor may be where the settings demand one.

use std::time::Duration;

use authlog_domain::Role;

use super::Authorized;
use super::level::FRESH;

/// A permission that only some roles have.
pub trait Permission: sealed::Sealed + Send + Sync + 'static {
    /// The roles with this permission.
    const ROLES: &'static [Role];

    /// The greatest age of the second factor, if the settings demand one of the account's role.
    const MAX_AGE: Option<Duration>;
}

/// The greatest age of a second factor for a permission to read. NIST SP 800-63B-4 §2.2.3 asks for another authentication
/// at AAL2 after 24 hours at the latest; this is a working day.
const A_WORKING_DAY: Option<Duration> = Some(Duration::from_secs(12 * 60 * 60));

/// May see other people's accounts and their sessions.
pub type Admin = Authorized<ManageAccounts>;

/// May change and erase other people's accounts: an [`Admin`] who showed the second factor in the last minutes, if one is
/// demanded.
pub type FreshAdmin = Authorized<ChangeAccounts>;

/// May read the history of every account, with its personal data, and the proofs of the log.
pub type Auditor = Authorized<Audit>;

/// May read the whole log, without personal data.
pub type LogReader = Authorized<ReadLog>;

/// May introspect tokens.
pub type TokenInspector = Authorized<InspectTokens>;

/// Declares permissions with their roles.
macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident: $($role:ident)|+, $max_age:expr;)+) => {
        $(
            $(#[$doc])*
            pub enum $name {}

            impl Permission for $name {
                const ROLES: &'static [Role] = &[$(Role::$role),+];
                const MAX_AGE: Option<Duration> = $max_age;
            }
        )+

        mod sealed {
            /// Keeps other crates from adding permissions.
            pub trait Sealed {}
            $(impl Sealed for super::$name {})+
        }
    };
}

permissions! {
    /// The permission of an [`Admin`].
    ManageAccounts: Admin, A_WORKING_DAY;
    /// The permission of a [`FreshAdmin`].
    ChangeAccounts: Admin, Some(FRESH);
    /// The permission of an [`Auditor`].
    Audit: Auditor | Admin, A_WORKING_DAY;
    /// The permission of a [`LogReader`].
    ReadLog: Service | Auditor | Admin, A_WORKING_DAY;
    /// The permission of a [`TokenInspector`].
    InspectTokens: Service | Auditor | Admin, None;
}
