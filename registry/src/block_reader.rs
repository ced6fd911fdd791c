//! Reads parts of a file with few system calls.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;

/// Size of a block in bytes.
const BLOCK: u64 = 16 << 10;

/// A file that is read in blocks, each of them once. Parsers of ELF files read a few bytes at a time:
/// headers, entries, names.
pub(crate) struct BlockReader {
    file: File,
    /// Length of the file in bytes when it was opened.
    length: u64,
    position: u64,
    /// Blocks that were read, by their number. The last one of a file may be shorter than the others.
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl BlockReader {
    /// Returns a reader at the beginning of a file.
    pub(crate) fn new(file: File) -> Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length, position: 0, blocks: BTreeMap::new() })
    }

    /// Returns a block, which is empty beyond the end of the file.
    fn block(&mut self, number: u64) -> Result<&[u8]> {
        if !self.blocks.contains_key(&number) {
            let start = number * BLOCK;
            let mut bytes = vec![0; self.length.saturating_sub(start).min(BLOCK) as usize];
            let mut filled = 0;
            while filled < bytes.len() {
                match self.file.read_at(&mut bytes[filled..], start + filled as u64) {
                    Ok(0) => break,
                    Ok(n) => filled += n,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            bytes.truncate(filled);
            self.blocks.insert(number, bytes);
        }
        Ok(self.blocks.get(&number).map_or(&[], Vec::as_slice))
    }
}

impl Read for BlockReader {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let (number, offset) = (self.position / BLOCK, (self.position % BLOCK) as usize);
        let left = self.block(number)?.get(offset..).unwrap_or_default();
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for BlockReader {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        let outside =
            || Error::new(ErrorKind::InvalidInput, "the position is before the beginning of the file");
        self.position = position.ok_or_else(outside)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    proptest! {
        #[test]
        fn reads_return_the_bytes_of_the_file(
            length in 0..3 * BLOCK + 7,
            places in prop::collection::vec((0..4 * BLOCK, 0..2 * BLOCK), 1..20),
        ) {
            let bytes: Vec<u8> = (0..length).map(|i| (i * 31 % 251) as u8).collect();
            let mut reader = BlockReader::new(file_of(&bytes)).unwrap();
            for (start, count) in places {
                reader.seek(SeekFrom::Start(start)).unwrap();
                let mut read = Vec::new();
                reader.by_ref().take(count).read_to_end(&mut read).unwrap();
                let (from, to) = (start.min(length) as usize, (start + count).min(length) as usize);
                prop_assert_eq!(read, &bytes[from..to]);
            }
        }
    }

    #[test]
    fn seeks_are_relative_to_the_start_the_end_or_the_position() {
        let mut reader = BlockReader::new(file_of(b"0123456789")).unwrap();
        assert_eq!(reader.seek(SeekFrom::End(-3)).unwrap(), 7);
        assert_eq!(reader.seek(SeekFrom::Current(-2)).unwrap(), 5);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "56789");
        assert!(reader.seek(SeekFrom::Current(-11)).is_err());
    }
}
