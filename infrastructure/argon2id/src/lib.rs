//! Argon2id (RFC 9106) with AVX-512, for processors that have it.
//!
//! A password hash is almost the whole cost of a login. The `argon2` crate has code for AVX2 at most, and takes almost twice as
//! long for one hash. This crate computes only what every login needs: Argon2id 1.3 with one lane, without secret and
//! associated data, and with a tag of 32 bytes. Parameters, blocks and all other variants come from the `argon2` crate, which
//! is also the reference: the tests compare tags for inputs of all shapes with it, and every process compares one tag before
//! the first use. `docs/adr/0003` has the reasons.
//!
//! | file | contents |
//! |---|---|
//! | `lib` | hashing the inputs into the first blocks, and the tag from the last one (§3.2, §3.3) |
//! | `fill` | filling the memory: the order of the blocks and their references (§3.2, §3.4) |
//! | `memory` | the memory of all hashes: mapped, in huge pages |
//! | `compress` | the compression function G (§3.5, §3.6) with AVX-512 |

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

/// The version number of Argon2 1.3.
const VERSION: u32 = 0x13;

/// The type number of Argon2id.
const ARGON2ID: u32 = 2;

/// Argon2id 1.3 with one lane and tags of 32 bytes, on a processor that has AVX-512.
#[derive(Clone, Copy, Debug)]
pub struct Argon2id {
    /// Only [`Argon2id::on_this_processor`] creates this type.
    _found: (),
}

impl Argon2id {
    /// The implementation, if this processor has AVX-512 and a test hash equals that of the `argon2` crate.
    #[must_use]
    pub fn on_this_processor() -> Option<Self> {
        let found = has_avx512().then_some(Self { _found: () })?;
        found.equals_the_crate().then_some(found)
    }

    /// Whether these parameters are supported: one lane, no key id, no associated data, and a tag of 32 bytes.
    #[must_use]
    pub fn serves(params: &Params) -> bool {
        params.p_cost() == 1
            && params.keyid().is_empty()
            && params.data().is_empty()
            && params.output_len().is_none_or(|bytes| bytes == TAG_BYTES)
    }

    /// Writes the tag of `password` and `salt` with these parameters, which must be [supported](Self::serves). The content of
    /// `memory` is ignored, and as many of its blocks as the parameters require are overwritten.
    ///
    /// `yield_to_others` is called after about 512 blocks, every 100 µs or so, so that the caller can let other threads run.
    ///
    /// Returns whether the tag was written. It is not if the salt is shorter than 8 bytes, a length exceeds 32 bits, or
    /// `memory` is too short.
    #[must_use]
    pub fn hash(
        self,
        params: &Params,
        password: &[u8],
        salt: &[u8],
        memory: &mut [Block],
        tag: &mut [u8; TAG_BYTES],
        yield_to_others: &mut dyn FnMut(),
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
        if !self.fill(memory, params.t_cost(), yield_to_others) {
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
    fn fill(self, memory: &mut [Block], passes: u32, yield_to_others: &mut dyn FnMut()) -> bool {
        // SAFETY: there is no `self` on a processor without AVX-512.
        #[expect(unsafe_code, reason = "the processor was asked whether it has them")]
        unsafe {
            fill::fill(memory, passes, yield_to_others);
        }
        true
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn fill(self, _memory: &mut [Block], _passes: u32, _give_way: &mut dyn FnMut()) -> bool {
        false
    }

    /// Whether a test hash equals that of the `argon2` crate. Its memory is small, but large enough for every case in filling
    /// it.
    fn equals_the_crate(self) -> bool {
        let (password, salt) = (b"correct horse battery staple", b"sixteen bytes 16");
        let Ok(params) = Params::new(1051, 2, 1, Some(TAG_BYTES)) else {
            return false;
        };
        let mut memory = vec![Block::new(); params.block_count()];
        let (mut ours, mut theirs) = ([0; TAG_BYTES], [0; TAG_BYTES]);
        let is_computed = self.hash(&params, password, salt, &mut memory, &mut ours, &mut || ());
        argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
            .hash_password_into_with_memory(password, salt, &mut theirs, &mut memory)
            .is_ok_and(|()| is_computed && ours == theirs)
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

/// H0, the hash of all inputs (§3.2, step 1).
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

/// H' with the output length of a block (§3.3).
fn long_hash(input: &[&[u8]], block: &mut Block) {
    let mut hash = Blake2b512::new().chain_update((Block::SIZE as u32).to_le_bytes());
    for bytes in input {
        hash.update(bytes);
    }
    // Each hash of the chain contributes half of its bytes, and the last one all.
    let (halves, last) = block.as_mut().split_at_mut(Block::SIZE / 8 - 8);
    let mut link = hash.finalize();
    for half in halves.chunks_exact_mut(4) {
        write_words(&link, half);
        link = Blake2b512::digest(link);
    }
    write_words(&link, last);
}

/// Fills `words` from `bytes`.
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
        fn a_tag_equals_the_crates_for_any_input(
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
            // Blocks beyond the required ones are not changed.
            for beyond in &memory[memory.len() - 3..] {
                prop_assert!(beyond.as_ref().iter().all(|word| *word == left));
            }
        }
    }

    #[test]
    fn a_tag_equals_the_crates_with_common_parameters() {
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
    fn a_tag_equals_the_reference_implementations() {
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
    fn input_that_argon2_refuses_is_refused() {
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
    fn other_variants_of_argon2id_are_not_supported() {
        assert!(Argon2id::serves(&params(64, 1)));
        for (lanes, bytes) in [(2, TAG_BYTES), (1, TAG_BYTES + 1)] {
            let params = Params::new(64, 1, lanes, Some(bytes)).unwrap();
            assert!(!Argon2id::serves(&params));
        }
    }
}
