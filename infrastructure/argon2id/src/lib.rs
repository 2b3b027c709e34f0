//! Argon2id (RFC 9106) with AVX-512, for processors that have it.
//!
//! A password hash is nearly all that a login costs, and the `argon2` crate, which has code for AVX2 at the most, takes
//! almost twice as long for one. What is here is that crate's work with wider registers, and no more of it than every
//! login needs: Argon2id 1.3 with one lane, neither secret nor associated data, and a tag of 32 bytes. Parameters, memory
//! and all other variants are the crate's, and so is the truth: what is computed here is compared with it, by the tests
//! for inputs of all shapes, and before its first use on every machine.
//!
//! | file | what is in it |
//! |---|---|
//! | `lib` | what Argon2id does around its memory: hashing the inputs into it, and the tag out of it (§3.2, §3.3) |
//! | `fill` | the order in which the memory is filled, and from which blocks (§3.2, §3.4) |
//! | `memory` | the memory of hashes, here and by the crate: mapped, in huge pages |
//! | `compress` | the compression function G (§3.5, §3.6), in the processor's own instructions |

#[cfg(target_arch = "x86_64")]
mod compress;
#[cfg(target_arch = "x86_64")]
mod fill;
mod memory;

pub use memory::Memory;

use argon2::{Block, Params};
use blake2::digest::consts::U32;
use blake2::{Blake2b, Blake2b512, Digest as _};
use zeroize::Zeroizing;

/// Bytes of a tag.
pub const TAG_BYTES: usize = 32;

/// What Argon2 1.3 calls itself.
const VERSION: u32 = 0x13;

/// What Argon2id calls itself.
const ARGON2ID: u32 = 2;

/// Argon2id 1.3 with one lane and tags of 32 bytes, on a processor that has AVX-512.
#[derive(Clone, Copy, Debug)]
pub struct Argon2id {
    /// There is no other way to one than [`Argon2id::on_this_processor`].
    _found: (),
}

impl Argon2id {
    /// If this processor has AVX-512, and hashes as the `argon2` crate does.
    #[must_use]
    pub fn on_this_processor() -> Option<Self> {
        let found = has_avx512().then_some(Self { _found: () })?;
        found.hashes_as_the_crate_does().then_some(found)
    }

    /// Whether these parameters are served.
    #[must_use]
    pub fn serves(params: &Params) -> bool {
        params.p_cost() == 1
            && params.keyid().is_empty()
            && params.data().is_empty()
            && params.output_len().is_none_or(|bytes| bytes == TAG_BYTES)
    }

    /// Writes the tag of `password` and `salt` with these parameters, which must be [served](Self::serves). What `memory`
    /// holds is of no account; as many blocks of it as the parameters ask for are written.
    ///
    /// `give_way` is called after every 512 blocks or so, some 100 µs, so that the caller can let other threads run.
    ///
    /// Whether it did: not if the salt is shorter than 8 bytes, a length is more than 32 bits hold, or there is not enough
    /// memory.
    #[must_use]
    pub fn hash(
        self,
        params: &Params,
        password: &[u8],
        salt: &[u8],
        memory: &mut [Block],
        tag: &mut [u8; TAG_BYTES],
        give_way: &mut dyn FnMut(),
    ) -> bool {
        debug_assert!(Self::serves(params));
        let (Some(memory), Some(inputs)) = (
            memory.get_mut(..params.block_count()),
            hashed_inputs(params, password, salt),
        ) else {
            return false;
        };
        for (at, block) in (0_u32..).zip(memory.iter_mut().take(2)) {
            let input: [&[u8]; 3] = [&*inputs, &at.to_le_bytes(), &0_u32.to_le_bytes()];
            long_hash(&input, block);
        }
        if !self.fill(memory, params.t_cost(), give_way) {
            return false;
        }
        let mut hash = Blake2b::<U32>::new().chain_update((TAG_BYTES as u32).to_le_bytes());
        for word in memory.last().into_iter().flat_map(AsRef::as_ref) {
            hash.update(word.to_le_bytes());
        }
        hash.finalize_into(tag.into());
        true
    }

    #[cfg(target_arch = "x86_64")]
    fn fill(self, memory: &mut [Block], passes: u32, give_way: &mut dyn FnMut()) -> bool {
        // SAFETY: there is no `self` on a processor without AVX-512.
        #[expect(unsafe_code, reason = "the processor was asked whether it has them")]
        unsafe {
            fill::fill(memory, passes, give_way);
        }
        true
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn fill(self, _memory: &mut [Block], _passes: u32, _give_way: &mut dyn FnMut()) -> bool {
        false
    }

    /// Whether it makes what the crate makes of some input, in memory that is small, and large enough for everything that
    /// happens in filling it.
    fn hashes_as_the_crate_does(self) -> bool {
        let (password, salt) = (b"correct horse battery staple", b"sixteen bytes 16");
        let Ok(params) = Params::new(1051, 2, 1, Some(TAG_BYTES)) else {
            return false;
        };
        let mut memory = vec![Block::new(); params.block_count()];
        let (mut ours, mut theirs) = ([0; TAG_BYTES], [0; TAG_BYTES]);
        let is_made = self.hash(&params, password, salt, &mut memory, &mut ours, &mut || ());
        argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
            .hash_password_into_with_memory(password, salt, &mut theirs, &mut memory)
            .is_ok_and(|()| is_made && ours == theirs)
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
}

#[cfg(not(target_arch = "x86_64"))]
const fn has_avx512() -> bool {
    false
}

/// H0, of all inputs (§3.2, step 1).
fn hashed_inputs(params: &Params, password: &[u8], salt: &[u8]) -> Option<Zeroizing<[u8; 64]>> {
    if salt.len() < argon2::MIN_SALT_LEN {
        return None;
    }
    let length = |bytes: &[u8]| Some(u32::try_from(bytes.len()).ok()?.to_le_bytes());
    let mut hash = Blake2b512::new();
    for number in [
        params.p_cost(),
        TAG_BYTES as u32,
        params.m_cost(),
        params.t_cost(),
        VERSION,
        ARGON2ID,
    ] {
        hash.update(number.to_le_bytes());
    }
    for bytes in [password, salt, &[], &[]] {
        hash.update(length(bytes)?);
        hash.update(bytes);
    }
    let mut hashed = Zeroizing::new([0; 64]);
    hash.finalize_into((&mut *hashed).into());
    Some(hashed)
}

/// H' with the length of a block (§3.3).
fn long_hash(input: &[&[u8]], block: &mut Block) {
    let mut hash = Blake2b512::new().chain_update((Block::SIZE as u32).to_le_bytes());
    for bytes in input {
        hash.update(bytes);
    }
    // Of all but the last of the hashes in the chain half is taken.
    let (halves, last) = block.as_mut().split_at_mut(Block::SIZE / 8 - 8);
    let mut link = hash.finalize();
    for half in halves.chunks_exact_mut(4) {
        write_words(&link, half);
        link = Blake2b512::digest(link);
    }
    write_words(&link, last);
}

/// As many words as there is room for.
fn write_words(bytes: &[u8], words: &mut [u64]) {
    let (eights, _) = bytes.as_chunks::<8>();
    for (word, bytes) in words.iter_mut().zip(eights) {
        *word = u64::from_le_bytes(*bytes);
    }
}

#[cfg(test)]
mod tests {
    use argon2::{Algorithm, Argon2, Version};
    use proptest::prelude::*;

    use super::*;

    fn of_the_crate(params: Params, password: &[u8], salt: &[u8]) -> [u8; TAG_BYTES] {
        let mut tag = [0; TAG_BYTES];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password, salt, &mut tag)
            .unwrap();
        tag
    }

    fn params(memory_kib: u32, passes: u32) -> Params {
        Params::new(memory_kib, passes, 1, Some(TAG_BYTES)).unwrap()
    }

    fn ours() -> Option<Argon2id> {
        let ours = Argon2id::on_this_processor();
        assert_eq!(ours.is_some(), has_avx512());
        if ours.is_none() {
            eprintln!("skipped: this processor has no AVX-512");
        }
        ours
    }

    impl Argon2id {
        fn tag(
            self,
            params: &Params,
            password: &[u8],
            salt: &[u8],
            memory: &mut [Block],
        ) -> Option<[u8; TAG_BYTES]> {
            let mut tag = [0; TAG_BYTES];
            self.hash(params, password, salt, memory, &mut tag, &mut || ())
                .then_some(tag)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn a_tag_is_the_crates_whatever_the_input(
            memory_kib in 8_u32..700,
            passes in 1_u32..5,
            password in prop::collection::vec(any::<u8>(), 0..200),
            salt in prop::collection::vec(any::<u8>(), 8..80),
            left in any::<u64>(),
        ) {
            let Some(ours) = ours() else { return Ok(()) };
            let params = params(memory_kib, passes);
            let mut memory = vec![Block::new(); params.block_count() + 3];
            for block in &mut memory {
                block.as_mut().fill(left);
            }
            let tag = ours.tag(&params, &password, &salt, &mut memory);
            prop_assert_eq!(tag, Some(of_the_crate(params, &password, &salt)));
            // What was not asked for is not touched.
            for beyond in &memory[memory.len() - 3..] {
                prop_assert!(beyond.as_ref().iter().all(|word| *word == left));
            }
        }
    }

    #[test]
    fn a_tag_is_the_crates_with_the_parameters_that_people_use() {
        let Some(ours) = ours() else { return };
        // OWASP's five, and RFC 9106's second recommendation with one lane.
        for (memory_kib, passes) in [
            (47_104, 1),
            (19_456, 2),
            (12_288, 3),
            (9_216, 4),
            (7_168, 5),
            (65_536, 3),
        ] {
            let params = params(memory_kib, passes);
            let mut memory = vec![Block::new(); params.block_count()];
            let tag = ours.tag(&params, b"password", b"some salt", &mut memory);
            assert_eq!(tag, Some(of_the_crate(params, b"password", b"some salt")));
        }
    }

    #[test]
    fn a_tag_is_the_reference_implementations() {
        let Some(ours) = ours() else { return };
        // phc-winner-argon2, src/test.c: version 1.3, Argon2id, one lane.
        for (memory_kib, password, salt, tag) in [
            (
                65_536,
                "password",
                "somesalt",
                "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7",
            ),
            (
                256,
                "password",
                "somesalt",
                "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe",
            ),
            (
                65_536,
                "differentpassword",
                "somesalt",
                "0b84d652cf6b0c4beaef0dfe278ba6a80df6696281d7e0d2891b817d8c458fde",
            ),
            (
                65_536,
                "password",
                "diffsalt",
                "bdf32b05ccc42eb15d58fd19b1f856b113da1e9a5874fdcc544308565aa8141c",
            ),
        ] {
            let params = params(memory_kib, 2);
            let mut memory = vec![Block::new(); params.block_count()];
            let made = ours.tag(&params, password.as_bytes(), salt.as_bytes(), &mut memory);
            let hex: String = made
                .unwrap()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(hex, tag, "{memory_kib} {password} {salt}");
        }
    }

    #[test]
    fn what_argon2_refuses_is_refused() {
        let Some(ours) = ours() else { return };
        let params = params(8, 1);
        let mut memory = vec![Block::new(); 8];
        assert_eq!(
            ours.tag(&params, b"password", b"7 bytes", &mut memory),
            None
        );
        assert_eq!(
            ours.tag(&params, b"password", b"8 bytes.", &mut memory[..7]),
            None
        );
        assert!(
            ours.tag(&params, b"password", b"8 bytes.", &mut memory)
                .is_some()
        );
    }

    #[test]
    fn other_kinds_of_argon2id_are_the_crates_to_serve() {
        assert!(Argon2id::serves(&params(64, 1)));
        for (lanes, bytes) in [(2, TAG_BYTES), (1, TAG_BYTES + 1)] {
            let params = Params::new(64, 1, lanes, Some(bytes)).unwrap();
            assert!(!Argon2id::serves(&params));
        }
    }
}
