//! Environment variables that are named like settings and set nothing: most likely they are misspelt.

use std::ffi::OsString;

use super::declarations;
use super::declare::{Declaration, variable};

/// The similarity from which on one name is taken for a misspelt other (Jaro-Winkler, 0 to 1).
const SIMILAR: f64 = 0.85;

/// A sentence for each of them among `variables`.
pub(super) fn warnings(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<String> {
    let known: Vec<String> = known_variables().collect();
    let mut warnings: Vec<String> = variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with("AUTHLOG_") && !known.contains(name))
        .filter(|(name, value)| !is_of_kubernetes(name, value))
        .map(|(name, _)| {
            let nearest = known
                .iter()
                .map(|known| (similarity(&name, known), known))
                .max_by(|(one, _), (other, _)| one.total_cmp(other));
            match nearest {
                Some((similarity, nearest)) if similarity >= SIMILAR => {
                    format!("{name} is no setting and does nothing; is {nearest} meant?")
                }
                _ => format!("{name} is no setting and does nothing"),
            }
        })
        .collect();
    warnings.sort();
    warnings
}

/// Every environment variable that sets something.
fn known_variables() -> impl Iterator<Item = String> {
    let settings = declarations()
        .into_iter()
        .map(|it| Declaration::variable(&it));
    settings.chain([variable("config")])
}

/// How similar two names are without the prefix that they share.
fn similarity(name: &str, known: &str) -> f64 {
    let own = |name: &str| name.trim_start_matches("AUTHLOG_").to_owned();
    strsim::jaro_winkler(&own(name), &own(known))
}

/// Kubernetes sets such variables in every container for a service that is called `authlog`.
fn is_of_kubernetes(name: &str, value: &OsString) -> bool {
    name.starts_with("AUTHLOG_SERVICE_")
        || name.starts_with("AUTHLOG_PORT_")
        || (name == "AUTHLOG_PORT" && value.to_string_lossy().starts_with("tcp://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings_about(variables: &[(&str, &str)]) -> Vec<String> {
        warnings(
            variables
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
        )
    }

    #[test]
    fn a_warning_about_a_misspelt_variable_suggests_the_right_one() {
        assert_eq!(
            warnings_about(&[
                ("AUTHLOG_PUBLC_URL", "secret"),
                ("AUTHLOG_RATE_LIMITS", "off"),
                ("AUTHLOG_PORT", "8080"),
            ]),
            [
                "AUTHLOG_PORT is no setting and does nothing",
                "AUTHLOG_PUBLC_URL is no setting and does nothing; is AUTHLOG_PUBLIC_URL meant?",
                "AUTHLOG_RATE_LIMITS is no setting and does nothing; is AUTHLOG_RATE_LIMIT meant?",
            ]
        );
    }

    #[test]
    fn settings_and_variables_of_other_programs_are_ignored() {
        let fine = [
            ("AUTHLOG_LISTEN", "nonsense"),
            ("AUTHLOG_CONFIG", "a.toml"),
            ("AUTHLOG_MASTER_KEY", "x"),
            ("AUTHLOG_PORT", "tcp://10.0.0.7:8080"),
            ("AUTHLOG_PORT_8080_TCP_ADDR", "10.0.0.7"),
            ("AUTHLOG_SERVICE_HOST", "10.0.0.7"),
            ("PATH", "/bin"),
        ];
        assert!(warnings_about(&fine).is_empty());
    }
}
