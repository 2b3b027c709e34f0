//! Where settings come from: flags, environment variables and a TOML file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::declarations;
use super::declare::variable;
use super::flags::Flags;

/// Where a setting was set. Its text is for errors.
#[derive(Clone)]
pub(super) enum Origin {
    Flag(&'static str),
    Environment(String),
    File(&'static str),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{}", name.replace('_', "-")),
            Self::Environment(variable) => f.write_str(variable),
            Self::File(name) => write!(f, "{name} in the settings file"),
        }
    }
}

/// The values that were set, by the name of the setting, and where each was set.
pub(super) struct Sources(BTreeMap<&'static str, (String, Origin)>);

impl Sources {
    pub(super) fn new(flags: Flags) -> anyhow::Result<Self> {
        let Flags { config, given } = flags;
        let environment = |name: &str| std::env::var(name).ok();
        let config = config.or_else(|| environment(&variable("config")).map(PathBuf::from));
        let file = config
            .as_deref()
            .map(read_file)
            .transpose()?
            .unwrap_or_default();
        Ok(Self::merge(given, environment, file))
    }

    fn merge(
        flags: BTreeMap<&'static str, String>,
        environment: impl Fn(&str) -> Option<String>,
        file: BTreeMap<&'static str, String>,
    ) -> Self {
        let mut merged = BTreeMap::new();
        for (name, value) in file {
            merged.insert(name, (value, Origin::File(name)));
        }
        for setting in declarations() {
            let other = setting.other_variable.map(str::to_owned);
            for variable in other.into_iter().chain([setting.variable()]) {
                // An empty variable is how many tools unset one.
                if let Some(value) = environment(&variable).filter(|value| !value.is_empty()) {
                    merged.insert(setting.name, (value, Origin::Environment(variable)));
                }
            }
        }
        for (name, value) in flags {
            merged.insert(name, (value, Origin::Flag(name)));
        }
        Self(merged)
    }

    #[cfg(test)]
    pub(super) fn of_environment(variables: &[(&str, &str)]) -> Self {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name)?;
            Some(found.1.to_owned())
        };
        Self::merge(BTreeMap::new(), lookup, BTreeMap::new())
    }

    /// The value of a setting and where it was set; `None` if it was not set.
    pub(super) fn get(&self, name: &str) -> Option<(&str, &Origin)> {
        let (value, origin) = self.0.get(name)?;
        Some((value, origin))
    }
}

/// Reads the settings file.
///
/// # Errors
/// The file cannot be read or is not TOML, or it contains an unknown name, which is most likely misspelt.
fn read_file(path: &Path) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the settings file {} cannot be read", path.display()))?;
    parse_file(&text).with_context(|| format!("the settings file {}", path.display()))
}

pub(super) fn parse_file(text: &str) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let table: toml::Table = text.parse()?;
    let declarations = declarations();
    let mut settings = BTreeMap::new();
    for (name, value) in table {
        let known = declarations.iter().find(|known| known.name == name);
        let known = known.with_context(|| format!("there is no setting called {name:?}"))?;
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(switch) => switch.to_string(),
            _ => anyhow::bail!("{name} should be a text, a whole number, true or false"),
        };
        settings.insert(known.name, value);
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(value: &str) -> BTreeMap<&'static str, String> {
        BTreeMap::from([("listen", value.to_owned())])
    }

    fn value(sources: &Sources, name: &str) -> Option<String> {
        sources.get(name).map(|(value, _)| value.to_owned())
    }

    #[test]
    fn a_flag_overrides_the_environment_which_overrides_the_file() {
        let environment = |name: &str| (name == "AUTHLOG_LISTEN").then(|| "env".to_owned());
        let nothing = |_: &str| None;
        let all = Sources::merge(set("flag"), environment, set("file"));
        assert_eq!(value(&all, "listen").unwrap(), "flag");
        let without_flag = Sources::merge(BTreeMap::new(), environment, set("file"));
        assert_eq!(value(&without_flag, "listen").unwrap(), "env");
        let file = Sources::merge(BTreeMap::new(), nothing, set("file"));
        assert_eq!(value(&file, "listen").unwrap(), "file");
    }

    #[test]
    fn authlog_database_url_overrides_database_url() {
        let usual = Sources::of_environment(&[("DATABASE_URL", "postgres://usual")]);
        assert_eq!(value(&usual, "database_url").unwrap(), "postgres://usual");
        let both = Sources::of_environment(&[
            ("DATABASE_URL", "postgres://usual"),
            ("AUTHLOG_DATABASE_URL", "postgres://own"),
        ]);
        assert_eq!(value(&both, "database_url").unwrap(), "postgres://own");
    }

    #[test]
    fn an_unknown_name_in_the_file_is_an_error() {
        let error = parse_file("lisen = \"127.0.0.1:1\"").unwrap_err();
        assert!(error.to_string().contains("lisen"), "{error}");
        assert!(parse_file("listen = [1]").is_err());
        let read = parse_file("rate_limit = false\npassword_min_length = 12\n").unwrap();
        assert_eq!(read["rate_limit"], "false");
        assert_eq!(read["password_min_length"], "12");
    }
}
