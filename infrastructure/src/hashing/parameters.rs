//! The cost parameters of password hashes, and their bounds.

use argon2::Params;

/// The parameters of Argon2 (RFC 9106 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Parameters {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes. They are computed one after the other on one thread, because a server uses its other cores for other logins.
    pub parallelism: u32,
}

impl Default for Argon2Parameters {
    /// The minimum of the OWASP Password Storage Cheat Sheet: 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1024,
            iterations: 2,
            parallelism: 1,
        }
    }
}

/// Parameters that are not valid for Argon2, or that exceed the bounds below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Argon2 takes 8 to {most_memory} KiB of memory for each of 1 to {most_lanes} lanes, 1 to {most_passes} passes, \
     and no more than {most_work} KiB over all passes together; not m={memory_kib}, t={iterations}, p={parallelism}",
    most_memory = Argon2Parameters::MAX_MEMORY_KIB,
    most_lanes = Argon2Parameters::MAX_LANES,
    most_passes = Argon2Parameters::MAX_PASSES,
    most_work = Argon2Parameters::MAX_WORK_KIB,
    memory_kib = .0.memory_kib, iterations = .0.iterations, parallelism = .0.parallelism,
)]
pub struct InvalidParameters(pub Argon2Parameters);

impl Argon2Parameters {
    /// The maximum memory of one hash: 1 GiB, like `SENSITIVE` of libsodium, the most costly preset of common libraries. A
    /// stored hash contains its parameters, and an imported one may come from an untrusted source.
    pub const MAX_MEMORY_KIB: u32 = 1024 * 1024;

    /// The maximum of memory times passes: four passes over 1 GiB, also like `SENSITIVE`. This takes a few seconds on one core.
    pub const MAX_WORK_KIB: u64 = 4 * 1024 * 1024;

    /// The maximum number of passes. Beyond it, more memory is the better defence (RFC 9106 §4).
    pub const MAX_PASSES: u32 = 1024;

    /// The maximum number of lanes.
    pub const MAX_LANES: u32 = 64;

    /// The parameters in the type of the `argon2` crate, for an output of `output_len` bytes.
    ///
    /// # Errors
    /// They are outside the bounds above or those of Argon2.
    pub(super) fn checked(self, output_len: usize) -> Result<Params, InvalidParameters> {
        let work = u64::from(self.memory_kib) * u64::from(self.iterations);
        let is_affordable = self.memory_kib <= Self::MAX_MEMORY_KIB
            && self.iterations <= Self::MAX_PASSES
            && self.parallelism <= Self::MAX_LANES
            && work <= Self::MAX_WORK_KIB;
        if !is_affordable {
            return Err(InvalidParameters(self));
        }
        Params::new(
            self.memory_kib,
            self.iterations,
            self.parallelism,
            Some(output_len),
        )
        .map_err(|_| InvalidParameters(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn parameters(memory_kib: u32, iterations: u32, parallelism: u32) -> Argon2Parameters {
        Argon2Parameters {
            memory_kib,
            iterations,
            parallelism,
        }
    }

    #[test]
    fn parameters_within_the_bounds_are_accepted() {
        for (parameters, good) in [
            (Argon2Parameters::default(), true),
            (parameters(8, 1, 1), true),
            (parameters(1024 * 1024, 4, 4), true),
            (parameters(7, 1, 1), false),
            (parameters(8, 1, 2), false),
            (parameters(8, 0, 1), false),
            (parameters(8, 1, 0), false),
            (parameters(1024 * 1024, 5, 1), false),
            (parameters(1024 * 1024 + 1, 1, 1), false),
            (parameters(8, u32::MAX, 1), false),
            (parameters(8 * 65, 1, 65), false),
            (parameters(u32::MAX, u32::MAX, u32::MAX), false),
        ] {
            assert_eq!(parameters.checked(32).is_ok(), good, "{parameters:?}");
        }
    }
}
