//! The memory of one hashing thread, which is reused for every hash.

use std::time::Duration;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use authlog_argon2id::{Argon2id, Memory};

use super::cpu_backoff::Backoff;
use super::cpu_time::CpuTime;

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArgonError {
    #[error("there is no memory for the hash")]
    NoMemory(#[source] std::io::Error),
    #[error("Argon2 refuses its input: {0}")]
    Refused(argon2::Error),
}

/// The variant of Argon2 and its parameters.
#[derive(Clone, PartialEq)]
pub(super) struct Scheme {
    pub algorithm: Algorithm,
    pub version: Version,
    pub params: Params,
}

impl Scheme {
    /// The scheme of new hashes.
    pub const fn argon2id(params: Params) -> Self {
        Self {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            params,
        }
    }
}

/// The memory of one thread. If it were allocated for every hash, the kernel would have to map and clear it every time.
///
/// It is not wiped between two hashes. Its content is worth no more to an attacker than the resulting hash, and the next
/// hash overwrites it.
pub(super) struct ArgonMemory {
    /// Memory for hashes of the usual scheme; `None` before the first hash.
    kept: Option<Memory>,
    usual: Scheme,
    /// The implementation with AVX-512, if the processor has it.
    wide: Option<Argon2id>,
    /// The processor time of the last hash of the usual scheme.
    took: Option<Duration>,
    /// The number of blocks written so far, by which tests compare work.
    #[cfg(test)]
    written: u64,
}

impl ArgonMemory {
    /// Memory for hashes with these parameters. It is mapped with the first hash.
    pub fn new(usual: &Params) -> Self {
        Self {
            kept: None,
            usual: Scheme::argon2id(usual.clone()),
            wide: Argon2id::on_this_processor(),
            took: None,
            #[cfg(test)]
            written: 0,
        }
    }

    /// Hashes `password` into `output`.
    pub fn hash(
        &mut self,
        scheme: &Scheme,
        password: &[u8],
        salt: &[u8],
        output: &mut [u8],
    ) -> Result<(), ArgonError> {
        let (needed, usual) = (scheme.params.block_count(), self.usual.params.block_count());
        let map = |blocks| Memory::of_blocks(blocks).map_err(ArgonError::NoMemory);
        let is_fresh = self.kept.is_none();
        let mut larger;
        let blocks = if needed > usual {
            larger = map(needed)?;
            larger.as_mut()
        } else {
            let kept = match self.kept.take() {
                Some(kept) => kept,
                None => map(usual)?,
            };
            self.kept.insert(kept).as_mut()
        };
        let begun = CpuTime::now();
        let hashed = fill_and_hash(self.wide, blocks, scheme, password, salt, output);
        // The first hash in new memory is not measured: it takes longer, because the kernel maps the pages meanwhile.
        if *scheme == self.usual && !is_fresh {
            self.took = Some(begun.elapsed());
        }
        #[cfg(test)]
        {
            self.written += work_of(&scheme.params);
        }
        hashed.map_err(ArgonError::Refused)
    }

    /// Works until this thread has used as much processor time since `begun` as a hash with the usual parameters takes.
    ///
    /// The missing time is spent on passes over memory, so that a busy machine slows it down as it would a hash. The last
    /// twentieth or so is spent in small steps over less memory.
    pub fn spend_remaining_time(&mut self, begun: CpuTime) -> Result<(), ArgonError> {
        let spent = begun.elapsed();
        let mut nothing = [0; 32];
        let Some(usual) = self.took else {
            return self.hash(&self.usual.clone(), &[], &[0; 16], &mut nothing);
        };
        let missing = usual.saturating_sub(spent);
        let usual_params = &self.usual.params;
        let missing =
            u128::from(work_of(usual_params)) * missing.as_nanos() / usual.as_nanos().max(1);
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let passes = missing.div_ceil(usual_params.m_cost()).max(1);
        // A difference below the smallest Argon2 hash cannot be measured.
        let Ok(params) = Params::new(missing / passes, passes, 1, Some(nothing.len())) else {
            return Ok(());
        };
        let scheme = Scheme::argon2id(params);
        self.hash(&scheme, &[], &[0; 16], &mut nothing)?;
        let Ok(params) = Params::new(A_LITTLE_KIB, 1, 1, Some(nothing.len())) else {
            return Ok(());
        };
        let scheme = Scheme::argon2id(params);
        while begun.elapsed() < usual {
            self.hash(&scheme, &[], &[0; 16], &mut nothing)?;
        }
        Ok(())
    }
}

#[cfg(test)]
impl ArgonMemory {
    /// The number of blocks written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The processor time of the last hash with the usual parameters.
    pub fn took(&self) -> Option<Duration> {
        self.took
    }
}

fn fill_and_hash(
    wide: Option<Argon2id>,
    blocks: &mut [Block],
    scheme: &Scheme,
    password: &[u8],
    salt: &[u8],
    output: &mut [u8],
) -> argon2::Result<()> {
    let params = &scheme.params;
    let backoff = Backoff::begin();
    let is_served = scheme.algorithm == Algorithm::Argon2id
        && scheme.version == Version::V0x13
        && Argon2id::serves(params);
    // The crate refuses invalid input with a reason.
    if let Some(wide) = wide
        && is_served
        && let Ok(tag) = output.try_into()
        && wide.hash(params, password, salt, blocks, tag, &mut || {
            backoff.yield_to_others();
        })
    {
        return Ok(());
    }
    Argon2::new(scheme.algorithm, scheme.version, params.clone())
        .hash_password_into_with_memory(password, salt, output, blocks)
}

/// Checks that the system has enough memory for one hash on each of `threads` threads. The memory is released again.
pub(super) fn can_be_had(params: &Params, threads: usize) -> std::io::Result<()> {
    let memories = (0..threads).map(|_| Memory::of_blocks(params.block_count()));
    memories.collect::<std::io::Result<Vec<_>>>().map(drop)
}

/// The number of blocks that a hash writes.
fn work_of(params: &Params) -> u64 {
    u64::from(params.m_cost()) * u64::from(params.t_cost())
}

/// Memory that is filled in a few microseconds.
const A_LITTLE_KIB: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(memory: &mut ArgonMemory, memory_kib: u32) -> [u8; 32] {
        let params = Params::new(memory_kib, 2, 1, Some(32)).unwrap();
        let scheme = Scheme::argon2id(params);
        let mut output = [0; 32];
        memory
            .hash(&scheme, b"password", b"salt of 16 bytes", &mut output)
            .unwrap();
        output
    }

    #[test]
    fn used_memory_gives_the_same_hash_as_fresh_memory() {
        let usual = Params::new(64, 2, 1, Some(32)).unwrap();
        let mut used = ArgonMemory::new(&usual);
        for memory_kib in [64, 8, 256, 64] {
            let fresh = hash(&mut ArgonMemory::new(&usual), memory_kib);
            assert_eq!(hash(&mut used, memory_kib), fresh);
        }
    }

    #[test]
    fn only_the_memory_of_usual_hashes_is_kept() {
        let mut memory = ArgonMemory::new(&Params::new(64, 2, 1, Some(32)).unwrap());
        hash(&mut memory, 8);
        let kept = memory.kept.as_mut().unwrap().as_mut();
        assert_eq!(kept.len(), 64);
        kept[63].as_mut().fill(7);
        for memory_kib in [1024, 8] {
            hash(&mut memory, memory_kib);
            let kept = memory.kept.as_mut().unwrap().as_mut();
            assert_eq!((kept.len(), kept[63].as_ref()[0]), (64, 7));
        }
    }
}
