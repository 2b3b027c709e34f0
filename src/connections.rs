//! How many connections the limit of file descriptors allows.

/// File descriptors that are not for connections: those of the store, of mail and of the log.
const OTHER_DESCRIPTORS: u64 = 256;

/// Fewest connections that are worth serving.
const FEWEST_CONNECTIONS: usize = 16;

/// Raises the soft limit of file descriptors so that `wanted` connections fit, and returns how many connections fit into the
/// limit that the system grants: at most `wanted`. Most systems start a program with a soft limit of about a thousand.
///
/// More connections than that would use up the descriptors of the store, and no request could be answered, not even a probe.
pub(crate) fn within_limits(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let needed = wanted as u64 + OTHER_DESCRIPTORS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(current) = current.filter(|current| *current < needed) else {
        return wanted;
    };
    let granted = maximum.map_or(needed, |maximum| maximum.min(needed));
    let limit = Rlimit {
        current: Some(granted),
        maximum,
    };
    let available = match setrlimit(Resource::Nofile, limit) {
        Ok(()) => granted,
        Err(_) => current,
    };
    let connections = connections_of(available, wanted);
    if connections < wanted {
        tracing::warn!(
            descriptors = available,
            needed,
            connections,
            "the system gives fewer file descriptors than AUTHLOG_MAX_CONNECTIONS needs (ulimit -n); fewer connections are accepted"
        );
    }
    connections
}

/// How many of `wanted` connections this many descriptors allow. The store gets at most half of them.
fn connections_of(descriptors: u64, wanted: usize) -> usize {
    let others = OTHER_DESCRIPTORS.min(descriptors / 2);
    let left = usize::try_from(descriptors - others).unwrap_or(wanted);
    left.max(FEWEST_CONNECTIONS).min(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        for (descriptors, connections) in [
            (100_000, 10_000),
            (10_256, 10_000),
            (10_000, 9_744),
            (1_024, 768),
            (64, 32),
            (20, 16),
        ] {
            assert_eq!(
                connections_of(descriptors, 10_000),
                connections,
                "{descriptors} descriptors"
            );
        }
    }
}
