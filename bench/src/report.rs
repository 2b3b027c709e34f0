//! The figures: medians of all rounds, and their ratios to the limits measured in the same run.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::load::Sample;

/// The store of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Store {
    Sqlite,
    Postgres,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// Each operation with its limit and the wanted share of the limit.
const LIMITS: [(&str, &str, f64); 21] = [
    ("login", "hash pool", 0.95),
    ("login with a code", "login", 0.90),
    ("login with a passkey", "login", 10.0),
    ("register", "hash pool", 0.95),
    ("hash pool", "Argon2 reference in C", 0.80),
    ("verify", "bare handler", 0.60),
    ("introspect", "verify", 0.80),
    ("introspect, application", "introspect", 0.90),
    ("refresh", "statements of a refresh", 0.50),
    ("refresh, application", "refresh", 0.90),
    ("log to NATS", "JetStream", 0.50),
    ("verify in a storm", "verify", 0.70),
    ("refresh in a storm", "refresh", 0.70),
    ("login in a storm of logins alone", "hash pool", 0.80),
    ("login in a storm, with verify", "hash pool", 0.25),
    ("login in a storm, with refresh", "hash pool", 0.25),
    ("verify, filled", "verify", 0.85),
    ("introspect, filled", "introspect", 0.85),
    ("refresh, filled", "refresh", 0.85),
    ("login, filled", "login", 0.85),
    ("register, filled", "register", 0.85),
];

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Report {
    warnings: Vec<String>,
    series: Vec<Series>,
    singles: Vec<Single>,
}

struct Series {
    name: &'static str,
    store: Store,
    samples: Vec<Sample>,
}

#[derive(Serialize)]
struct Single {
    name: &'static str,
    store: Store,
    value: f64,
    unit: &'static str,
}

/// One line of the table.
#[derive(Serialize)]
struct Line {
    operation: &'static str,
    store: Store,
    /// Operations a second: the median of the rounds, the least and the most.
    per_second: [f64; 3],
    /// Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    p50: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99: Option<f64>,
    /// The service's processor time for one operation, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    processor: Option<f64>,
    /// The peak memory of the service in all rounds, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<f64>,
}

impl Report {
    /// Adds a warning for the reader of the figures.
    pub(crate) fn warn(&mut self, words: &str) {
        eprintln!("warning: {words}");
        self.warnings.push(words.to_owned());
    }

    /// Adds a sample of one round.
    pub(crate) fn sample(&mut self, name: &'static str, store: Store, sample: Sample) {
        let known = self
            .series
            .iter_mut()
            .find(|series| series.name == name && series.store == store);
        match known {
            Some(series) => series.samples.push(sample),
            None => self.series.push(Series {
                name,
                store,
                samples: vec![sample],
            }),
        }
    }

    /// Adds a time.
    pub(crate) fn time(&mut self, name: &'static str, store: Store, time: Duration) {
        self.singles.push(Single {
            name,
            store,
            value: time.as_secs_f64() * 1000.0,
            unit: "ms",
        });
    }

    /// Adds an amount of memory, in MiB.
    pub(crate) fn memory(&mut self, name: &'static str, store: Store, mib: f64) {
        self.singles.push(Single {
            name,
            store,
            value: mib,
            unit: "MiB",
        });
    }

    /// The median of operations a second in the rounds so far.
    pub(crate) fn median(&self, name: &str, store: Store) -> Option<f64> {
        let series = self
            .series
            .iter()
            .find(|series| series.name == name && series.store == store)?;
        median(series.samples.iter().map(Sample::per_second))
    }

    fn lines(&self) -> Vec<Line> {
        self.series.iter().map(|series| self.line(series)).collect()
    }

    fn line(&self, series: &Series) -> Line {
        let samples = &series.samples;
        let rates = || samples.iter().map(Sample::per_second);
        let quantile = |share| median(samples.iter().filter_map(|it| it.quantile(share)));
        let processor = samples
            .iter()
            .filter(|sample| sample.processor > 0.0 && sample.count > 0)
            .map(|sample| sample.processor * 1e6 / sample.count as f64);
        let middle = median(rates()).unwrap_or(f64::NAN);
        let held = LIMITS.iter().find(|(name, ..)| *name == series.name);
        let limit = held.and_then(|(_, limit, _)| self.median(limit, series.store));
        Line {
            operation: series.name,
            store: series.store,
            per_second: [
                middle,
                rates().fold(f64::INFINITY, f64::min),
                rates().fold(0.0, f64::max),
            ],
            p50: quantile(0.50),
            p99: quantile(0.99),
            processor: median(processor),
            peak: samples
                .iter()
                .map(|sample| sample.peak)
                .filter(|peak| *peak > 0.0)
                .max_by(f64::total_cmp),
            limit: held.map(|(_, limit, _)| *limit),
            ratio: limit.map(|limit| middle / limit),
            wanted: held.map(|(.., wanted)| *wanted),
        }
    }

    /// Prints the table as Markdown, and writes the figures as JSON if a file is given.
    pub(crate) fn end(&self, json: Option<&Path>) -> anyhow::Result<()> {
        let mut out = String::new();
        self.table(&mut out);
        print(&out);
        json.map_or(Ok(()), |path| self.write(path))
    }

    fn table(&self, out: &mut String) {
        use fmt::Write as _;
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| operation | store | a second: median (least … most) | p50 ms | p99 ms | CPU µs each | peak MiB | of its limit |\n|---|---|--:|--:|--:|--:|--:|--:|"
        );
        for line in self.lines() {
            let [middle, least, most] = line.per_second.map(number);
            let optional = |value: Option<f64>| value.map_or_else(String::new, number);
            let ratio = match (line.ratio, line.limit, line.wanted) {
                (Some(ratio), Some(limit), Some(wanted)) => {
                    let met = if ratio >= wanted { "" } else { ", missed" };
                    format!("{ratio:.2} of {limit} (wanted {wanted:.2}{met})")
                }
                _ => String::new(),
            };
            let _ = writeln!(
                out,
                "| {} | {} | {middle} ({least} … {most}) | {} | {} | {} | {} | {ratio} |",
                line.operation,
                line.store,
                optional(line.p50),
                optional(line.p99),
                optional(line.processor),
                optional(line.peak),
            );
        }
        let _ = writeln!(out, "\n| | store | |\n|---|---|--:|");
        for single in &self.singles {
            let Single {
                name,
                store,
                value,
                unit,
            } = single;
            let _ = writeln!(out, "| {name} | {store} | {} {unit} |", number(*value));
        }
        for warning in &self.warnings {
            let _ = writeln!(out, "\nWarning: {warning}.");
        }
    }

    /// Prints the program's memory under each load as Markdown. It should be small and not grow.
    pub(crate) fn print_memory(&self, connections: usize) {
        let mut out = String::new();
        self.memory_table(connections, &mut out);
        print(&out);
    }

    fn memory_table(&self, connections: usize, out: &mut String) {
        use fmt::Write as _;
        /// The allowed memory in MiB, and the allowed growth between two moments of a load.
        const MOST: f64 = 118.0;
        const GROWTH: f64 = 10.0;
        let _ = writeln!(
            out,
            "\n| {connections} connections | store | a second | MiB after a third | two thirds | all of the time | peak | |\n|---|---|--:|--:|--:|--:|--:|---|"
        );
        for series in &self.series {
            for sample in &series.samples {
                let least = sample.memory.iter().copied().fold(f64::INFINITY, f64::min);
                let most = sample.memory.iter().copied().fold(0.0, f64::max);
                let met = match (sample.peak <= MOST, most - least <= GROWTH) {
                    (true, true) => "",
                    (false, _) => "missed: peak above 118 MiB",
                    (true, false) => "missed: growth above 10 MiB",
                };
                let memory: Vec<String> = sample.memory.iter().copied().map(number).collect();
                let _ = writeln!(
                    out,
                    "| {} | {} | {} | {} | {} | {met} |",
                    series.name,
                    series.store,
                    number(sample.per_second()),
                    memory.join(" | "),
                    number(sample.peak),
                );
            }
        }
    }

    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let figures = serde_json::json!({
            "warnings": self.warnings,
            "operations": self.lines(),
            "singles": self.singles,
        });
        Ok(std::fs::write(path, format!("{figures:#}\n"))?)
    }
}

/// Formats a number with three significant digits.
fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// Writes figures to the standard output.
pub(crate) fn print(text: &str) {
    use std::io::Write as _;
    // If the terminal is closed, there is no reader.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_between_the_two() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median([].into_iter()), None);
    }

    #[test]
    fn a_ratio_is_of_medians_of_one_store() {
        let mut report = Report::default();
        for count in [10, 20, 30] {
            let second = Duration::from_secs(1);
            report.sample("verify", Store::Sqlite, Sample::counted(count, second));
            report.sample(
                "bare handler",
                Store::Sqlite,
                Sample::counted(2 * count, second),
            );
            report.sample("bare handler", Store::Postgres, Sample::counted(1, second));
        }
        let line = report.line(&report.series[0]);
        assert_eq!(line.ratio, Some(0.5));
        let mut out = String::new();
        report.table(&mut out);
        assert!(
            out.contains("0.50 of bare handler (wanted 0.60, missed)"),
            "{out}"
        );
    }
}
