//! Filling the memory of one lane (RFC 9106 §3.2, steps 5 and 6).

use argon2::Block;

use super::ARGON2ID;
use super::compress::{Registers, compress};

/// Slices of a pass, between which lanes would wait for each other.
const SLICES: usize = 4;

/// Words in a block, and so the references that one block of addresses is enough for.
const WORDS: usize = Block::SIZE / 8;

/// How many blocks are filled before other threads may be let run: some hundred microseconds' work, while Linux would let
/// them wait for up to four milliseconds.
const BLOCKS_AT_A_TIME: usize = 512;

/// Fills `memory`, whose first two blocks are made, in so many passes.
#[target_feature(enable = "avx512f")]
pub(crate) fn fill(memory: &mut [Block], passes: u32, give_way: &mut dyn FnMut()) {
    let segment = memory.len() / SLICES;
    for pass in 0..passes {
        for slice in 0..SLICES {
            let begin = if pass == 0 && slice == 0 { 2 } else { 0 };
            fill_segment(memory, passes, pass, slice, begin..segment, give_way);
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
    give_way: &mut dyn FnMut(),
) {
    let length = memory.len();
    let segment = indices.end;
    // At first the references depend on the parameters alone, so that nobody learns of the password from them; later on
    // what was made before, so that nobody knows them beforehand.
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
            give_way();
        }
    }
}

/// The blocks that one may refer to (§3.4.2).
struct Window {
    begin: usize,
    blocks: u64,
    length: usize,
}

impl Window {
    /// All that were filled before it and will not be filled anew before it, but the one just before.
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

    /// Which of them a random number stands for: more often a younger one.
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

/// Random numbers that depend on the parameters alone (§3.4.1.2), for one slice of the first pass.
struct Addresses {
    /// What they are made of: pass, lane, slice, length, passes, type and a counter.
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
        made.make();
        made
    }

    /// The next as many as there are words in a block.
    #[target_feature(enable = "avx512f")]
    fn make(&mut self) {
        const COUNTER: usize = 6;
        self.input.as_mut()[COUNTER] += 1;
        let zero = Block::new();
        compress(&zero, &self.input).store(&mut self.numbers);
        compress(&zero, &self.numbers).store(&mut self.numbers);
    }

    /// The number for the block at this index of the slice, if each index was asked for after the one before.
    #[target_feature(enable = "avx512f")]
    fn next(&mut self, index: usize) -> u64 {
        if index > 0 && index.is_multiple_of(WORDS) {
            self.make();
        }
        self.numbers.as_ref()[index % WORDS]
    }
}
