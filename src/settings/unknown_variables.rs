//! Warnings about environment variables that begin with `AUTHLOG_` and are not settings: most likely they are misspelt.

use std::ffi::OsString;

use super::declarations;
use super::declare::{Declaration, variable};

/// Minimum similarity at which an unknown name is taken for a misspelt known one (Jaro-Winkler, 0 to 1).
const SIMILAR: f64 = 0.85;

/// One warning for each such variable among `variables`, sorted by name. A warning does not show the value.
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
                    format!("{name} is not a setting and has no effect; did you mean {nearest}?")
                }
                _ => format!("{name} is not a setting and has no effect"),
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
    let stem = |name: &str| name.trim_start_matches("AUTHLOG_").to_owned();
    strsim::jaro_winkler(&stem(name), &stem(known))
}

/// Whether Kubernetes may have set the variable. It sets these in every container if a Service is called `authlog`.
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
                "AUTHLOG_PORT is not a setting and has no effect",
                "AUTHLOG_PUBLC_URL is not a setting and has no effect; did you mean AUTHLOG_PUBLIC_URL?",
                "AUTHLOG_RATE_LIMITS is not a setting and has no effect; did you mean AUTHLOG_RATE_LIMIT?",
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
