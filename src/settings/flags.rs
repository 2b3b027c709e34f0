//! Settings as flags of the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};

use super::declarations;
use super::declare::Declaration;

/// The settings that were given on the command line. Every setting except a secret has a flag.
pub(crate) struct Flags {
    /// The settings file.
    pub(super) config: Option<PathBuf>,
    /// The other settings: their values by their names.
    pub(super) given: BTreeMap<&'static str, String>,
}

impl Flags {
    /// The flags, which every command accepts.
    pub(crate) fn arguments() -> Vec<Arg> {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("TOML file with settings [none, or AUTHLOG_CONFIG]")
            .help_heading("Settings file")
            .global(true);
        let settings = declarations().into_iter().filter(Declaration::is_flag);
        let settings = settings.map(|it| {
            Arg::new(it.name)
                .long(it.flag())
                .value_name(it.placeholder)
                .help(format!("{} [{}]", it.help, it.default))
                .help_heading(it.heading)
                .global(true)
        });
        std::iter::once(config).chain(settings).collect()
    }

    /// The value of a setting, if its flag was given.
    #[cfg(test)]
    pub(crate) fn value_of(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        command.args(Self::arguments())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flags = declarations().into_iter().filter(Declaration::is_flag);
        let given = flags.filter_map(|it| {
            let value = matches.get_one::<String>(it.name)?;
            Some((it.name, value.clone()))
        });
        Ok(Self {
            config: matches.get_one::<PathBuf>("config").cloned(),
            given: given.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
