//! How a setting is declared: once, with its name, type, format, default and help. Everything else is derived.

/// Declares settings that belong together, each as a field of a structure: `/// help` and `name: type = format.default(…)`.
/// The name is the field's. It gives the flag (`--data-dir`), the environment variable (`AUTHLOG_DATA_DIR`) and the key in
/// the settings file (`data_dir`).
macro_rules! settings {
    ($(#[$about:meta])* $visibility:vis struct $group:ident in $heading:literal {
        $($(#[doc = $help:literal])+ $name:ident: $type:ty = $setting:expr,)+
    }) => {
        $(#[$about])*
        $visibility struct $group {
            $($(#[doc = $help])+ $visibility $name: $type,)+
        }

        impl $group {
            /// The declarations of this group, in the order of the help.
            pub(in crate::settings) fn declarations() -> Vec<$crate::settings::declare::Declaration> {
                vec![$($setting.declaration(stringify!($name), &[$($help),+], $heading),)+]
            }

            /// Reads the settings and checks each by itself.
            ///
            /// # Errors
            /// The first setting that is not valid.
            fn read(sources: &$crate::settings::sources::Sources) -> anyhow::Result<Self> {
                Ok(Self { $($name: $setting.read(stringify!($name), sources)?,)+ })
            }
        }
    };
}
pub(super) use settings;

/// Where a value may be shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Exposure {
    /// Everywhere.
    Public,
    /// Not in errors, because the value may contain a password.
    HoldsPassword,
    /// Not in errors, because the value is a secret. The setting has no flag either: other users of a machine can read
    /// command lines.
    Secret,
}

/// A setting without its type, for the help and the sources.
#[derive(Clone)]
pub(super) struct Declaration {
    pub(super) name: &'static str,
    pub(super) help: String,
    pub(super) heading: &'static str,
    pub(super) placeholder: &'static str,
    pub(super) default: Fallback,
    pub(super) exposure: Exposure,
    /// Another environment variable, which is read if the setting's own is not set.
    pub(super) other_variable: Option<&'static str>,
}

/// What is used when a setting is not set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fallback {
    /// This value, written as a user would set it.
    Value(&'static str),
    /// No value. These words describe for the help what happens then.
    Words(&'static str),
}

impl Declaration {
    /// Whether it can be given on the command line.
    pub(super) fn is_flag(&self) -> bool {
        self.exposure != Exposure::Secret
    }

    pub(super) fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    pub(super) fn variable(&self) -> String {
        variable(self.name)
    }
}

/// The environment variable of a setting.
pub(super) fn variable(name: &str) -> String {
    format!("AUTHLOG_{}", name.to_uppercase())
}

impl std::fmt::Display for Fallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Value(text) | Self::Words(text)) = self;
        f.write_str(text)
    }
}
