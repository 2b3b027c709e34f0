//! The compression function G (RFC 9106 §3.5) with AVX-512.
//!
//! A block is a matrix of 8 by 8 pairs of words. G permutes its rows and then its columns with P (§3.6), which is the round of
//! BLAKE2b with an additional multiplication. A register holds eight words. So two rows or two columns are permuted at once,
//! and the four words in half a register are one row of P's matrix of four by four.

use std::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_loadu_si512, _mm512_mul_epu32, _mm512_permutex_epi64,
    _mm512_permutex2var_epi64, _mm512_ror_epi64, _mm512_set_epi64, _mm512_setzero_si512,
    _mm512_shuffle_i64x2, _mm512_storeu_si512, _mm512_xor_si512,
};

use argon2::Block;

/// A block. Its row `i` is in the registers `2i` and `2i + 1`.
#[derive(Clone, Copy)]
pub(crate) struct Registers([__m512i; 16]);

impl Registers {
    /// A block of zeros.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn zero() -> Self {
        Self([_mm512_setzero_si512(); 16])
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn load(block: &Block) -> Self {
        let (eights, _) = block.as_ref().as_chunks::<8>();
        let mut loaded = Self::zero();
        for (register, words) in loaded.0.iter_mut().zip(eights) {
            // SAFETY: the instruction reads the 64 bytes of `words` at any alignment.
            #[expect(unsafe_code, reason = "the instruction takes a pointer")]
            let words = unsafe { _mm512_loadu_si512(words.as_ptr().cast()) };
            *register = words;
        }
        loaded
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn store(self, block: &mut Block) {
        let (eights, _) = block.as_mut().as_chunks_mut::<8>();
        for (register, words) in self.0.into_iter().zip(eights) {
            // SAFETY: the instruction writes the 64 bytes of `words` at any alignment.
            #[expect(unsafe_code, reason = "the instruction takes a pointer")]
            unsafe {
                _mm512_storeu_si512(words.as_mut_ptr().cast(), register);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn xor(mut self, other: Self) -> Self {
        for (register, other) in self.0.iter_mut().zip(other.0) {
            *register = _mm512_xor_si512(*register, other);
        }
        self
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn permute_rows(&mut self) {
        for rows in self.0.as_chunks_mut::<4>().0 {
            let [low, high, next_low, next_high] = *rows;
            let (a, b) = halves(low, next_low);
            let (c, d) = halves(high, next_high);
            let (a, b, c, d) = permute(a, b, c, d);
            let (low, next_low) = halves(a, b);
            let (high, next_high) = halves(c, d);
            *rows = [low, high, next_low, next_high];
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn permute_columns(&mut self) {
        for half in 0..2 {
            let row = |row: usize| self.0[2 * row + half];
            // Of each two rows, the first two columns of this half and the last two.
            let (a, next_a) = zipped_pairs(row(0), row(1));
            let (b, next_b) = zipped_pairs(row(2), row(3));
            let (c, next_c) = zipped_pairs(row(4), row(5));
            let (d, next_d) = zipped_pairs(row(6), row(7));
            let (a, b, c, d) = permute(a, b, c, d);
            let (next_a, next_b, next_c, next_d) = permute(next_a, next_b, next_c, next_d);
            for (rows, (words, next)) in [(a, next_a), (b, next_b), (c, next_c), (d, next_d)]
                .into_iter()
                .enumerate()
            {
                let (row, next_row) = unzipped_pairs(words, next);
                self.0[4 * rows + half] = row;
                self.0[4 * rows + 2 + half] = next_row;
            }
        }
    }
}

/// G of two blocks.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn compress(previous: &Block, reference: &Block) -> Registers {
    let mixed = Registers::load(previous).xor(Registers::load(reference));
    let mut permuted = mixed;
    permuted.permute_rows();
    permuted.permute_columns();
    permuted.xor(mixed)
}

/// The first halves of two registers, and their second halves.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(one: __m512i, other: __m512i) -> (__m512i, __m512i) {
    (
        _mm512_shuffle_i64x2::<0b01_00_01_00>(one, other),
        _mm512_shuffle_i64x2::<0b11_10_11_10>(one, other),
    )
}

/// Pairs of words, in turn of the one register and the other: from their first halves, and from their second halves.
#[inline]
#[target_feature(enable = "avx512f")]
fn zipped_pairs(one: __m512i, other: __m512i) -> (__m512i, __m512i) {
    let first = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    let second = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    (
        _mm512_permutex2var_epi64(one, first, other),
        _mm512_permutex2var_epi64(one, second, other),
    )
}

/// The two registers that [`zipped_pairs`] made these of.
#[inline]
#[target_feature(enable = "avx512f")]
fn unzipped_pairs(first: __m512i, second: __m512i) -> (__m512i, __m512i) {
    let one = _mm512_set_epi64(13, 12, 9, 8, 5, 4, 1, 0);
    let other = _mm512_set_epi64(15, 14, 11, 10, 7, 6, 3, 2);
    (
        _mm512_permutex2var_epi64(first, one, second),
        _mm512_permutex2var_epi64(first, other, second),
    )
}

/// P, twice at once: `a` to `d` are the rows of its matrix, each half of a register another's.
#[inline]
#[target_feature(enable = "avx512f")]
fn permute(a: __m512i, b: __m512i, c: __m512i, d: __m512i) -> (__m512i, __m512i, __m512i, __m512i) {
    let (a, b, c, d) = mix_columns(a, b, c, d);
    // Row `i` is turned by `i`, which makes columns of the diagonals, and back.
    let (b, c, d) = (turn::<ONE>(b), turn::<TWO>(c), turn::<THREE>(d));
    let (a, b, c, d) = mix_columns(a, b, c, d);
    (a, turn::<THREE>(b), turn::<TWO>(c), turn::<ONE>(d))
}

/// How far each half of a register is turned to the left, in words.
const ONE: i32 = 0b00_11_10_01;
const TWO: i32 = 0b01_00_11_10;
const THREE: i32 = 0b10_01_00_11;

#[inline]
#[target_feature(enable = "avx512f")]
fn turn<const BY: i32>(words: __m512i) -> __m512i {
    _mm512_permutex_epi64::<BY>(words)
}

/// GB of every column (§3.6).
#[inline]
#[target_feature(enable = "avx512f")]
fn mix_columns(
    a: __m512i,
    b: __m512i,
    c: __m512i,
    d: __m512i,
) -> (__m512i, __m512i, __m512i, __m512i) {
    let a = multiply_add(a, b);
    let d = _mm512_ror_epi64::<32>(_mm512_xor_si512(d, a));
    let c = multiply_add(c, d);
    let b = _mm512_ror_epi64::<24>(_mm512_xor_si512(b, c));
    let a = multiply_add(a, b);
    let d = _mm512_ror_epi64::<16>(_mm512_xor_si512(d, a));
    let c = multiply_add(c, d);
    let b = _mm512_ror_epi64::<63>(_mm512_xor_si512(b, c));
    (a, b, c, d)
}

/// `x + y`, and twice the product of their lower halves.
#[inline]
#[target_feature(enable = "avx512f")]
fn multiply_add(x: __m512i, y: __m512i) -> __m512i {
    let product = _mm512_mul_epu32(x, y);
    _mm512_add_epi64(_mm512_add_epi64(x, y), _mm512_add_epi64(product, product))
}
