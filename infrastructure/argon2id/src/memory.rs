//! The memory of hashes.

use std::io;

use argon2::Block;
use memmap2::MmapMut;

/// Blocks in huge pages, if the operating system has them. Argon2 reads blocks from all over its memory, and the address
/// translation of a 4 KiB page takes longer than reading the block in it.
pub struct Memory(MmapMut);

impl Memory {
    /// Maps `count` blocks of zeros.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn of_blocks(count: usize) -> io::Result<Self> {
        let bytes = count.checked_mul(Block::SIZE);
        let pages = MmapMut::map_anon(bytes.ok_or(io::ErrorKind::OutOfMemory)?)?;
        #[cfg(target_os = "linux")]
        {
            // If this is refused, hashing is slower but gives the same result.
            let _refused = pages.advise(memmap2::Advice::HugePage);
        }
        Ok(Self(pages))
    }
}

impl AsMut<[Block]> for Memory {
    #[expect(unsafe_code, reason = "memmap2 maps bytes, not blocks")]
    fn as_mut(&mut self) -> &mut [Block] {
        // SAFETY: a block is an array of integers, and any bytes are valid integers.
        let (before, blocks, after) = unsafe { self.0.align_to_mut() };
        debug_assert!(before.is_empty() && after.is_empty());
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_memory_consists_of_writable_blocks_of_zeros() {
        let mut memory = Memory::of_blocks(19_456).unwrap();
        let blocks = memory.as_mut();
        assert_eq!(blocks.len(), 19_456);
        for block in blocks {
            assert!(block.as_ref().iter().all(|word| *word == 0));
            block.as_mut().fill(u64::MAX);
        }
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        for count in [usize::MAX, usize::MAX / Block::SIZE] {
            assert!(Memory::of_blocks(count).is_err());
        }
    }
}
