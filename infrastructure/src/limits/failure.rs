//! A guess that failed, as one node tells others of it: keyed hashes, from which nobody reads names or addresses.

/// A sign-in that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// As whom and from where.
    pub(super) guess: u64,
    /// As whom.
    pub(super) identifier: u64,
    /// From where, if that is known.
    pub(super) network: Option<u64>,
}

impl Failure {
    /// Letters in one.
    const LENGTH: usize = 48;

    /// Failures as text.
    pub(crate) fn write_all(failures: &[Self]) -> String {
        failures
            .iter()
            .map(|failure| {
                let network = failure.network.map_or_else(
                    || "-".repeat(Self::LENGTH / 3),
                    |network| format!("{network:016x}"),
                );
                format!("{:016x}{:016x}{network}", failure.guess, failure.identifier)
            })
            .collect()
    }

    /// Reads them; `None` for what was written by something else.
    pub(crate) fn read_all(text: &str) -> Option<Vec<Self>> {
        if !text.is_ascii() {
            return None;
        }
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let mut failures = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (one, after) = rest.split_at_checked(Self::LENGTH)?;
            let (guess, one) = one.split_at(16);
            let (identifier, network) = one.split_at(16);
            failures.push(Self {
                guess: number(guess)?,
                identifier: number(identifier)?,
                network: match network {
                    "----------------" => None,
                    network => Some(number(network)?),
                },
            });
            rest = after;
        }
        Some(failures)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            failures in prop::collection::vec(any::<(u64, u64, Option<u64>)>(), 0..20),
        ) {
            let failures: Vec<Failure> = failures
                .into_iter()
                .map(|(guess, identifier, network)| Failure { guess, identifier, network })
                .collect();
            prop_assert_eq!(Failure::read_all(&Failure::write_all(&failures)), Some(failures));
        }

        #[test]
        fn anything_else_is_passed_over(text in any::<String>(), hex in "[0-9a-f+-]{40,100}") {
            let _ = Failure::read_all(&text);
            let _ = Failure::read_all(&hex);
        }
    }
}
