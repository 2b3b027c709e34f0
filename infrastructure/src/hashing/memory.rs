//! The memory that one thread hashes in, hash after hash.

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

/// Which Argon2, and what it costs.
#[derive(Clone, PartialEq)]
pub(super) struct Scheme {
    pub algorithm: Algorithm,
    pub version: Version,
    pub params: Params,
}

impl Scheme {
    /// What new hashes are made with.
    pub const fn argon2id(params: Params) -> Self {
        Self {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            params,
        }
    }
}

/// The memory of one thread. Allocated anew for every hash, it would have to be fetched from the kernel and cleared
/// every time.
///
/// It is not wiped between two hashes: what is left in it is worth as much to a thief as the hash that it led to, and the
/// next hash overwrites it.
pub(super) struct ArgonMemory {
    /// Enough for hashes of the usual scheme; none before the first one.
    kept: Option<Memory>,
    usual: Scheme,
    /// On a processor that has wider registers than the `argon2` crate makes use of.
    wide: Option<Argon2id>,
    /// How long the processor worked on the last hash of the usual scheme.
    took: Option<Duration>,
    /// How many blocks have been written: what stories compare work by.
    #[cfg(test)]
    written: u64,
}

impl ArgonMemory {
    /// Memory of which as much is kept as hashes with these parameters need. Nothing is mapped yet.
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
        // The first hash in a memory takes longer, as that is fetched from the kernel meanwhile.
        if *scheme == self.usual && !is_fresh {
            self.took = Some(begun.elapsed());
        }
        #[cfg(test)]
        {
            self.written += work_of(&scheme.params);
        }
        hashed.map_err(ArgonError::Refused)
    }

    /// Works until the processor has worked as long since `begun` as it does on a hash with the usual parameters.
    ///
    /// What is missing is worked off as what it is, passes over memory, so that a busy machine draws it out much as it would
    /// the hash; less memory is passed over faster, so that the last twentieth or so is made of small steps.
    pub fn make_up_for(&mut self, begun: CpuTime) -> Result<(), ArgonError> {
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
        // Less than the least that Argon2 takes is nothing that anybody can tell.
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
    /// How many blocks have been written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// How long the last hash with the usual parameters took.
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
    // What it does not take, the crate refuses with a reason.
    if let Some(wide) = wide
        && is_served
        && let Ok(tag) = output.try_into()
        && wide.hash(params, password, salt, blocks, tag, &mut || {
            backoff.give_way();
        })
    {
        return Ok(());
    }
    Argon2::new(scheme.algorithm, scheme.version, params.clone())
        .hash_password_into_with_memory(password, salt, output, blocks)
}

/// Makes sure that the system gives enough memory for a hash on each of so many threads. Nothing is kept.
pub(super) fn can_be_had(params: &Params, threads: usize) -> std::io::Result<()> {
    let memories = (0..threads).map(|_| Memory::of_blocks(params.block_count()));
    memories.collect::<std::io::Result<Vec<_>>>().map(drop)
}

/// How many blocks are written for a hash.
fn work_of(params: &Params) -> u64 {
    u64::from(params.m_cost()) * u64::from(params.t_cost())
}

/// Memory that is passed over in some microseconds.
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
    fn used_memory_hashes_as_fresh_memory_does() {
        let usual = Params::new(64, 2, 1, Some(32)).unwrap();
        let mut used = ArgonMemory::new(&usual);
        for memory_kib in [64, 8, 256, 64] {
            let fresh = hash(&mut ArgonMemory::new(&usual), memory_kib);
            assert_eq!(hash(&mut used, memory_kib), fresh);
        }
    }

    #[test]
    fn memory_is_kept_for_the_usual_hashes_alone() {
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
