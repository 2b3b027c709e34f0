//! The authorisation policy: the roles of each permission.

use authlog_domain::Role;

use super::Authorized;

/// A permission that only some roles have.
pub trait Permission: sealed::Sealed + Send + Sync + 'static {
    /// The roles with this permission.
    const ROLES: &'static [Role];
}

/// May change and erase other people's accounts.
pub type Admin = Authorized<ManageAccounts>;

/// May read the history of every account, with its personal data, and the proofs of the log.
pub type Auditor = Authorized<Audit>;

/// May read the whole log, without personal data.
pub type LogReader = Authorized<ReadLog>;

/// May introspect tokens.
pub type TokenInspector = Authorized<InspectTokens>;

/// Declares permissions with their roles.
macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident: $($role:ident)|+;)+) => {
        $(
            $(#[$doc])*
            pub enum $name {}

            impl Permission for $name {
                const ROLES: &'static [Role] = &[$(Role::$role),+];
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
    ManageAccounts: Admin;
    /// The permission of an [`Auditor`].
    Audit: Auditor | Admin;
    /// The permission of a [`LogReader`].
    ReadLog: Service | Auditor | Admin;
    /// The permission of a [`TokenInspector`].
    InspectTokens: Service | Auditor | Admin;
}
