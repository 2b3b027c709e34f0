//! Memory to hash in.

use std::io;

use argon2::Block;
use memmap2::MmapMut;

/// Blocks in huge pages, where the operating system has them: Argon2 reads blocks from all over its memory, and finding a
/// page of 4 KiB takes longer than reading the block in it.
pub struct Memory(MmapMut);

impl Memory {
    /// So many blocks of zeros.
    ///
    /// # Errors
    /// There is not so much memory.
    pub fn of_blocks(count: usize) -> io::Result<Self> {
        let bytes = count.checked_mul(Block::SIZE);
        let pages = MmapMut::map_anon(bytes.ok_or(io::ErrorKind::OutOfMemory)?)?;
        #[cfg(target_os = "linux")]
        {
            // Refused, it is slower and the same otherwise.
            let _refused = pages.advise(memmap2::Advice::HugePage);
        }
        Ok(Self(pages))
    }
}

impl AsMut<[Block]> for Memory {
    #[expect(unsafe_code, reason = "the library of the pages knows no blocks")]
    fn as_mut(&mut self) -> &mut [Block] {
        // SAFETY: a block is an array of integers, and whatever the bytes are, they are integers.
        let (before, blocks, after) = unsafe { self.0.align_to_mut() };
        debug_assert!(before.is_empty() && after.is_empty());
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_is_blocks_of_zeros_that_can_be_written() {
        let mut memory = Memory::of_blocks(19_456).unwrap();
        let blocks = memory.as_mut();
        assert_eq!(blocks.len(), 19_456);
        for block in blocks {
            assert!(block.as_ref().iter().all(|word| *word == 0));
            block.as_mut().fill(u64::MAX);
        }
    }

    #[test]
    fn more_than_there_can_be_is_an_error() {
        for count in [usize::MAX, usize::MAX / Block::SIZE] {
            assert!(Memory::of_blocks(count).is_err());
        }
    }
}
