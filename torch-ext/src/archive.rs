//! Checks the central directory of a zip archive before libtorch opens the archive. libtorch's reader
//! allocates as many bytes as the directory states for a record, for the first record already when it opens
//! the archive.

/// Limit in bytes on the unpacked size of all records beyond the size of the archive. torch.jit.save
/// compresses the text of the code and nothing else.
const MAX_EXTRA_UNPACKED: u64 = 64 << 20;
/// Signatures of the parts of the central directory: an entry, the end record, the 64-bit end record and its
/// locator.
const ENTRY: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;
/// Sizes of these parts in bytes, without their variable-length fields.
const ENTRY_SIZE: usize = 46;
const END_SIZE: usize = 22;
const END_64_SIZE: usize = 56;
const LOCATOR_64_SIZE: usize = 20;
/// Value of a 32-bit size field that refers to the 64-bit number in the extra field.
const IS_64: u32 = u32::MAX;
/// Type of the extra field that holds 64-bit numbers.
const EXTRA_64: u16 = 1;

const BROKEN: &str = "its central directory is damaged";
const LARGE: &str = "its archive is much larger unpacked than packed";

/// Refuses an archive whose records are much larger than the archive itself, and a central directory that
/// readers could interpret in different ways: no gap is allowed between its parts.
pub(crate) fn check(archive: &[u8]) -> Result<(), &'static str> {
    let directory = Directory::find(archive).ok_or(BROKEN)?;
    let mut left = archive.len() as u64 + MAX_EXTRA_UNPACKED;
    let mut at = directory.start;
    for _ in 0..directory.entries {
        if u32_at(archive, at) != Some(ENTRY) {
            return Err(BROKEN);
        }
        let field = |offset: usize| u16_at(archive, at + offset).map(usize::from).ok_or(BROKEN);
        let (name, extra, comment) = (field(28)?, field(30)?, field(32)?);
        let extra_at = at + ENTRY_SIZE + name;
        let extra_field = archive.get(extra_at..extra_at + extra).ok_or(BROKEN)?;
        let size = match u32_at(archive, at + 24).ok_or(BROKEN)? {
            IS_64 => size_64(extra_field).ok_or(BROKEN)?,
            size => size.into(),
        };
        left = left.checked_sub(size).ok_or(LARGE)?;
        at = extra_at + extra + comment;
    }
    if at == directory.end { Ok(()) } else { Err(BROKEN) }
}

/// Byte range of the central directory in the archive, and its number of entries.
struct Directory {
    start: usize,
    end: usize,
    entries: u64,
}

impl Directory {
    /// Finds the directory as libtorch's reader does: by the last end signature within the last 64 KiB.
    fn find(archive: &[u8]) -> Option<Self> {
        let last = archive.len().checked_sub(END_SIZE)?;
        let first = last.saturating_sub(usize::from(u16::MAX));
        let end = (first..=last).rev().find(|at| u32_at(archive, *at) == Some(END))?;
        let comment = usize::from(u16_at(archive, end + 20)?);
        if end + END_SIZE + comment != archive.len() {
            return None;
        }
        let locator = end.checked_sub(LOCATOR_64_SIZE).filter(|at| u32_at(archive, *at) == Some(LOCATOR_64));
        let directory = match locator {
            None => Self {
                start: u32_at(archive, end + 16)? as usize,
                end,
                entries: u16_at(archive, end + 10)?.into(),
            },
            Some(locator) => {
                let end_64 = usize::try_from(u64_at(archive, locator + 8)?).ok()?;
                if u32_at(archive, end_64) != Some(END_64) || end_64.checked_add(END_64_SIZE)? != locator {
                    return None;
                }
                Self {
                    start: usize::try_from(u64_at(archive, end_64 + 48)?).ok()?,
                    end: end_64,
                    entries: u64_at(archive, end_64 + 32)?,
                }
            }
        };
        (directory.start <= directory.end).then_some(directory)
    }
}

/// Returns the unpacked size from the extra field of an entry.
fn size_64(mut extra: &[u8]) -> Option<u64> {
    loop {
        let (kind, length) = (u16_at(extra, 0)?, usize::from(u16_at(extra, 2)?));
        let data = extra.get(4..4 + length)?;
        if kind == EXTRA_64 {
            return u64_at(data, 0);
        }
        extra = &extra[4 + length..];
    }
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes_at(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::{BROKEN, LARGE, check};

    /// Returns an archive with one record, whose size in the central directory is `size`.
    fn archive(size: u32, entries: u16) -> Vec<u8> {
        let mut all = b"PK\x03\x04".to_vec();
        all.extend([0; 26]);
        let start = all.len() as u32;
        all.extend(b"PK\x01\x02");
        all.extend([0; 20]);
        all.extend(size.to_le_bytes());
        all.extend([1, 0]);
        all.extend([0; 16]);
        all.push(b'a');
        let end = all.len() as u32;
        all.extend(b"PK\x05\x06\0\0\0\0");
        all.extend(entries.to_le_bytes());
        all.extend(entries.to_le_bytes());
        all.extend((end - start).to_le_bytes());
        all.extend(start.to_le_bytes());
        all.extend([0, 0]);
        all
    }

    #[test]
    fn the_sizes_of_all_records_are_added_up() {
        assert_eq!(check(&archive(5, 1)), Ok(()));
        assert_eq!(check(&archive(64 << 20, 1)), Ok(()));
        assert_eq!(check(&archive(65 << 20, 1)), Err(LARGE));
        // The size refers to an extra field, which is missing.
        assert_eq!(check(&archive(u32::MAX, 1)), Err(BROKEN));
    }

    #[test]
    fn a_directory_that_could_be_read_in_two_ways_is_refused() {
        let good = archive(5, 1);
        assert_eq!(check(&archive(5, 0)), Err(BROKEN), "an entry that is not counted");
        assert_eq!(check(&archive(5, 2)), Err(BROKEN), "an entry that is not there");
        assert_eq!(check(&[good.clone(), vec![0]].concat()), Err(BROKEN), "bytes behind the end");
        assert_eq!(check(&good[..good.len() - 1]), Err(BROKEN));
        assert_eq!(check(b"not an archive"), Err(BROKEN));
    }
}
