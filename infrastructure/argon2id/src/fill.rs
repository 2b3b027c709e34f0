//! Filling the memory of one lane (RFC 9106 §3.2, steps 5 and 6).

use argon2::Block;

use super::ARGON2ID;
use super::compress::{Registers, compress};

/// Slices of a pass. With several lanes, they would wait for each other between slices.
const SLICES: usize = 4;

/// Words in a block, and so the number of references from one block of addresses.
const WORDS: usize = Block::SIZE / 8;

/// Blocks between two calls of `yield_to_others`, about a hundred microseconds of work. Without the calls, Linux would let other
/// threads wait for up to four milliseconds.
const BLOCKS_AT_A_TIME: usize = 512;

/// Fills `memory` in `passes` passes. Its first two blocks have to be computed already.
#[target_feature(enable = "avx512f")]
pub(crate) fn fill(memory: &mut [Block], passes: u32, yield_to_others: &mut dyn FnMut()) {
    let segment = memory.len() / SLICES;
    for pass in 0..passes {
        for slice in 0..SLICES {
            let begin = if pass == 0 && slice == 0 { 2 } else { 0 };
            fill_segment(memory, passes, pass, slice, begin..segment, yield_to_others);
        }
    }
}

#[target_feature(enable = "avx512f")]
fn fill_segment(
    memory: &mut [Block],
    passes: u32,
    pass: u32,
    slice: usize,
    indices: std::ops::Range<usize>,
    yield_to_others: &mut dyn FnMut(),
) {
    let length = memory.len();
    let segment = indices.end;
    // In the first half of the first pass, references depend only on the parameters, so memory accesses reveal nothing about
    // the password. After that, they depend on earlier blocks, so they cannot be computed in advance.
    let mut addresses =
        (pass == 0 && slice < SLICES / 2).then(|| Addresses::new(length, passes, slice));
    let mut previous = (slice * segment + indices.start)
        .checked_sub(1)
        .unwrap_or(length - 1);
    for index in indices {
        let random = match &mut addresses {
            Some(addresses) => addresses.next(index),
            None => memory[previous].as_ref()[0],
        };
        let reference = Window::of(length, pass, slice, index).locate(random);
        let current = slice * segment + index;
        let overwritten = if pass == 0 {
            Registers::zero()
        } else {
            Registers::load(&memory[current])
        };
        compress(&memory[previous], &memory[reference])
            .xor(overwritten)
            .store(&mut memory[current]);
        previous = current;
        if (index + 1).is_multiple_of(BLOCKS_AT_A_TIME) {
            yield_to_others();
        }
    }
}

/// The blocks that a block may refer to (§3.4.2).
struct Window {
    begin: usize,
    blocks: u64,
    length: usize,
}

impl Window {
    /// All blocks that are filled at this point and not overwritten before this block, except the previous one.
    fn of(length: usize, pass: u32, slice: usize, index: usize) -> Self {
        let segment = length / SLICES;
        let (begin, filled) = if pass == 0 {
            (0, slice * segment)
        } else {
            ((slice + 1) % SLICES * segment, length - segment)
        };
        Self {
            begin,
            blocks: (filled + index - 1) as u64,
            length,
        }
    }

    /// The block that a random number selects. Recent blocks are selected more often.
    fn locate(&self, random: u64) -> usize {
        let low = random & u64::from(u32::MAX);
        let back = (self.blocks * ((low * low) >> 32)) >> 32;
        let at = self.begin + (self.blocks - 1 - back) as usize;
        if at < self.length {
            at
        } else {
            at - self.length
        }
    }
}

/// Random numbers that depend only on the parameters (§3.4.1.2), for one slice of the first pass.
struct Addresses {
    /// The input of the numbers: pass, lane, slice, length, passes, type and a counter.
    input: Block,
    numbers: Block,
}

impl Addresses {
    #[target_feature(enable = "avx512f")]
    fn new(length: usize, passes: u32, slice: usize) -> Self {
        let mut input = Block::new();
        for (word, value) in input.as_mut().iter_mut().zip([
            0,
            0,
            slice as u64,
            length as u64,
            u64::from(passes),
            u64::from(ARGON2ID),
        ]) {
            *word = value;
        }
        let mut made = Self {
            input,
            numbers: Block::new(),
        };
        made.refill();
        made
    }

    /// Computes the next block of numbers.
    #[target_feature(enable = "avx512f")]
    fn refill(&mut self) {
        const COUNTER: usize = 6;
        self.input.as_mut()[COUNTER] += 1;
        let zero = Block::new();
        compress(&zero, &self.input).store(&mut self.numbers);
        compress(&zero, &self.numbers).store(&mut self.numbers);
    }

    /// The number for the block at this index of the slice. Indexes have to be requested in order.
    #[target_feature(enable = "avx512f")]
    fn next(&mut self, index: usize) -> u64 {
        if index > 0 && index.is_multiple_of(WORDS) {
            self.refill();
        }
        self.numbers.as_ref()[index % WORDS]
    }
}
