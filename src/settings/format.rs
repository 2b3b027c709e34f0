//! The format of a setting: how its value is written and parsed, and what its default is.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;

use super::declare::{Declaration, Exposure, Fallback};
use super::sources::Sources;

/// How a value is written.
pub(super) struct Format<T> {
    /// What stands for the value in the help, such as `FILE`.
    placeholder: &'static str,
    /// Which values are valid: an error says that the setting "should be" this.
    expected: &'static str,
    parser: Parser<T>,
    exposure: Exposure,
    other_variable: Option<&'static str>,
}

enum Parser<T> {
    /// Accepts a value or not.
    Plain(fn(&str) -> Option<T>),
    /// Accepts a value or not, and may say why not.
    Explaining(fn(&str) -> anyhow::Result<Option<T>>),
}

/// A setting of type `V`, written as a `T`.
pub(super) struct Setting<T, V = T> {
    format: Format<T>,
    default: Fallback,
    /// Makes the value from the one that was set or is the default; `None` if a value is required.
    finish: fn(Option<T>) -> Option<V>,
}

impl<T> Format<T> {
    pub(super) const fn new(
        placeholder: &'static str,
        expected: &'static str,
        parse: fn(&str) -> Option<T>,
    ) -> Self {
        Self::with(placeholder, expected, Parser::Plain(parse))
    }

    /// A format whose errors say in addition what is wrong. They must not repeat a password.
    pub(super) const fn explaining(
        placeholder: &'static str,
        expected: &'static str,
        parse: fn(&str) -> anyhow::Result<Option<T>>,
    ) -> Self {
        Self::with(placeholder, expected, Parser::Explaining(parse))
    }

    const fn with(placeholder: &'static str, expected: &'static str, parser: Parser<T>) -> Self {
        Self {
            placeholder,
            expected,
            parser,
            exposure: Exposure::Public,
            other_variable: None,
        }
    }

    pub(super) fn holding_a_password(self) -> Self {
        Self {
            exposure: Exposure::HoldsPassword,
            ..self
        }
    }

    pub(super) fn secret(self) -> Self {
        Self {
            exposure: Exposure::Secret,
            ..self
        }
    }

    pub(super) fn or_variable(self, name: &'static str) -> Self {
        Self {
            other_variable: Some(name),
            ..self
        }
    }

    /// A setting with this value unless another is set.
    pub(super) fn default(self, value: &'static str) -> Setting<T> {
        Setting {
            format: self,
            default: Fallback::Value(value),
            finish: |value| value,
        }
    }

    /// A setting without a value unless one is set; `words` say in the help what happens then.
    pub(super) fn optional(self, words: &'static str) -> Setting<T, Option<T>> {
        Setting {
            format: self,
            default: Fallback::Words(words),
            finish: Some,
        }
    }

    /// A list that is empty unless it is set.
    pub(super) fn or_empty(self) -> Setting<T>
    where
        T: Default,
    {
        Setting {
            format: self,
            default: Fallback::Words("none"),
            finish: |value| Some(value.unwrap_or_default()),
        }
    }

    fn parse(&self, text: &str) -> anyhow::Result<Option<T>> {
        match self.parser {
            Parser::Plain(parse) => Ok(parse(text)),
            Parser::Explaining(parse) => parse(text),
        }
    }
}

impl<T, V> Setting<T, V> {
    pub(super) fn declaration(
        &self,
        name: &'static str,
        help: &[&str],
        heading: &'static str,
    ) -> Declaration {
        Declaration {
            name,
            help: help.concat().trim().to_owned(),
            heading,
            placeholder: self.format.placeholder,
            default: self.default,
            exposure: self.format.exposure,
            other_variable: self.format.other_variable,
        }
    }

    /// The value of the setting called `name`.
    ///
    /// # Errors
    /// The value that was set is not valid. The error says where it was set and which values are valid.
    pub(super) fn read(&self, name: &str, sources: &Sources) -> anyhow::Result<V> {
        let value = match (sources.get(name), self.default) {
            (Some((text, origin)), _) => {
                let wrong = || match self.format.exposure {
                    Exposure::Public => {
                        format!(
                            "{origin} is {text:?}, but it should be {}",
                            self.format.expected
                        )
                    }
                    Exposure::HoldsPassword | Exposure::Secret => {
                        format!(
                            "{origin} is not valid: it should be {}",
                            self.format.expected
                        )
                    }
                };
                let parsed = self.format.parse(text).with_context(wrong)?;
                Some(parsed.with_context(wrong)?)
            }
            (None, Fallback::Value(text)) => self.format.parse(text)?,
            (None, Fallback::Words(_)) => None,
        };
        (self.finish)(value).with_context(|| format!("the default of {name} is not valid"))
    }
}

/// A switch.
pub(super) const SWITCH: Format<bool> = Format::new("SWITCH", "on or off", |text| match text {
    "on" | "true" | "1" => Some(true),
    "off" | "false" | "0" => Some(false),
    _ => None,
});

/// The path of a file.
pub(super) const FILE: Format<PathBuf> = Format::new("FILE", "a path", |text| Some(text.into()));

/// Any text.
pub(super) const TEXT: Format<String> = Format::new("TEXT", "a text", |text| Some(text.to_owned()));

/// A number within bounds.
pub(super) fn number<N: FromStr + PartialOrd>(text: &str, bounds: RangeInclusive<N>) -> Option<N> {
    text.parse().ok().filter(|number| bounds.contains(number))
}

/// A time in seconds, minutes, hours or days, up to a year.
pub(super) fn time(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let total = count.checked_mul(seconds)?;
    (1..=365 * 24 * 60 * 60)
        .contains(&total)
        .then(|| Duration::from_secs(total))
}
