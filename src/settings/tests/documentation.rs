//! The documentation of settings: `docs/authlog.toml` and the table in the README name each with its default.

use std::collections::{BTreeMap, BTreeSet};

use authlog_infrastructure::hashing::Argon2Parameters;

use crate::settings::declare::Fallback;
use crate::settings::sources::{Sources, parse_file};
use crate::settings::{Settings, declarations};

#[test]
fn the_example_file_names_every_setting_with_its_default() {
    let text = include_str!("../../../docs/authlog.toml");
    let uncommented: String = text
        .lines()
        .filter_map(|line| line.strip_prefix("#").filter(|rest| !rest.starts_with(' ')))
        .map(|line| format!("{line}\n"))
        .collect();
    let example = parse_file(&uncommented).unwrap();
    for setting in declarations() {
        let written = example.get(setting.name);
        let written = written.unwrap_or_else(|| panic!("{} is missing", setting.name));
        let Fallback::Value(default) = setting.default else {
            continue;
        };
        let default = match default {
            "on" => "true",
            "off" => "false",
            other => other,
        };
        assert_eq!(written, default, "{}", setting.name);
    }
}

#[test]
fn the_table_in_the_readme_names_every_setting_with_its_default() {
    let declared: BTreeMap<String, Fallback> = declarations()
        .into_iter()
        .map(|it| (it.variable(), it.default))
        .collect();
    let mut documented = BTreeSet::new();
    let readme = include_str!("../../../README.md").replace('`', "");
    for row in readme.lines().filter(|line| line.starts_with("| AUTHLOG_")) {
        let mut cells = row.trim_start_matches('|').split('|').map(str::trim);
        let (names, defaults) = (cells.next().unwrap(), cells.next().unwrap());
        let names: Vec<_> = names
            .split(", ")
            .filter(|name| !name.starts_with("or "))
            .collect();
        let defaults: Vec<_> = defaults.split(", ").collect();
        for (position, name) in names.iter().enumerate() {
            let name = in_full(name, names[0], &declared);
            let default = declared.get(&name);
            let default = default.unwrap_or_else(|| panic!("{name} is no setting: {row}"));
            if let Fallback::Value(default) = default {
                assert_eq!(defaults.len(), names.len(), "{row}");
                assert_eq!(defaults[position], *default, "{row}");
            }
            documented.insert(name);
        }
    }
    for name in declared.keys() {
        assert!(documented.contains(name), "{name} is missing");
    }
}

/// The variable of a name in the table: `_NAME` has the beginning of the first name of its row.
fn in_full(name: &str, first: &str, declared: &BTreeMap<String, Fallback>) -> String {
    let beginnings = first.match_indices('_').map(|(end, _)| &first[..end]);
    beginnings
        .map(|beginning| format!("{beginning}{name}"))
        .find(|full| name.starts_with('_') && declared.contains_key(full))
        .unwrap_or_else(|| name.to_owned())
}

#[test]
fn every_default_that_is_a_value_is_valid() {
    let defaults = declarations()
        .into_iter()
        .filter_map(|it| match it.default {
            Fallback::Value(value) => Some((it.variable(), value)),
            Fallback::Words(_) => None,
        });
    let defaults: Vec<_> = defaults.collect();
    let set: Vec<_> = defaults
        .iter()
        .map(|(name, value)| (&**name, *value))
        .collect();
    assert!(Settings::from_sources(&Sources::of_environment(&set)).is_ok());
    let unset = Settings::from_sources(&Sources::of_environment(&[])).unwrap();
    assert_eq!(unset.accounts.argon2(), Argon2Parameters::default());
}
