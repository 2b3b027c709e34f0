//! The authorisation policy: the roles and the scope of each permission, and how old a second factor may be where the settings
//! demand one.

use std::time::Duration;

use authlog_domain::Role;
use authlog_domain::client::ServiceScope;

use super::level::FRESH;
use super::{Authorized, AuthorizedActor};

/// A permission that only some roles have.
pub trait Permission: sealed::Sealed + Send + Sync + 'static {
    /// The roles with this permission.
    const ROLES: &'static [Role];

    /// The greatest age of the second factor, if the settings demand one of the account's role.
    const MAX_AGE: Option<Duration>;
}

/// A permission that clients have as well, with an access token of their own.
pub trait ScopedPermission: Permission {
    /// The scope that the token needs, and for which the client has to be registered.
    const SCOPE: ServiceScope;
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
pub type Auditor = AuthorizedActor<Audit>;

/// May read the whole log, without personal data.
pub type LogReader = AuthorizedActor<ReadLog>;

/// May introspect tokens.
pub type TokenInspector = AuthorizedActor<InspectTokens>;

/// Declares permissions with their roles, the greatest age of a second factor, and the scope of clients.
macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident: $($role:ident)|+, $max_age:expr $(, $scope:ident)?;)+) => {
        $(
            $(#[$doc])*
            pub enum $name {}

            impl Permission for $name {
                const ROLES: &'static [Role] = &[$(Role::$role),+];
                const MAX_AGE: Option<Duration> = $max_age;
            }

            $(
                impl ScopedPermission for $name {
                    const SCOPE: ServiceScope = ServiceScope::$scope;
                }
            )?
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
    Audit: Auditor | Admin, A_WORKING_DAY, ReadAudit;
    /// The permission of a [`LogReader`].
    ReadLog: Service | Auditor | Admin, A_WORKING_DAY, ReadEvents;
    /// The permission of a [`TokenInspector`].
    InspectTokens: Service | Auditor | Admin, None, IntrospectTokens;
}
