//! Environment variables that look like ours and are not: most likely somebody thinks that they set something.

use std::ffi::OsString;

use super::sources::known_variables;

/// How alike two names are that are most likely meant to be one (Jaro-Winkler, 0 to 1).
const ALIKE: f64 = 0.85;

/// A sentence for each.
pub(super) fn doubts(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<String> {
    let known = known_variables();
    let mut doubts: Vec<String> = variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with("AUTHLOG_") && !known.contains(name))
        .filter(|(name, value)| !is_of_kubernetes(name, value))
        .map(|(name, _)| {
            let nearest = known
                .iter()
                .map(|known| (likeness(&name, known), known))
                .max_by(|(one, _), (other, _)| one.total_cmp(other));
            match nearest {
                Some((likeness, nearest)) if likeness >= ALIKE => {
                    format!("{name} is no setting and does nothing; is {nearest} meant?")
                }
                _ => format!("{name} is no setting and does nothing"),
            }
        })
        .collect();
    doubts.sort();
    doubts
}

/// How alike two names are beside the prefix that they share.
fn likeness(name: &str, known: &str) -> f64 {
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

    fn doubts_about(variables: &[(&str, &str)]) -> Vec<String> {
        doubts(
            variables
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
        )
    }

    #[test]
    fn a_misspelt_variable_is_told_with_the_one_that_was_meant() {
        assert_eq!(
            doubts_about(&[
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
    fn what_is_ours_or_somebody_elses_is_passed_over() {
        let fine = [
            ("AUTHLOG_LISTEN", "nonsense"),
            ("AUTHLOG_CONFIG", "a.toml"),
            ("AUTHLOG_MASTER_KEY", "x"),
            ("AUTHLOG_PORT", "tcp://10.0.0.7:8080"),
            ("AUTHLOG_PORT_8080_TCP_ADDR", "10.0.0.7"),
            ("AUTHLOG_SERVICE_HOST", "10.0.0.7"),
            ("PATH", "/bin"),
        ];
        assert!(doubts_about(&fine).is_empty());
    }
}
