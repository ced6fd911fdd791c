//! Checks which libraries the loader would load together with a plugin. Reads the file as the loader does.
//!
//! The hash of a plugin covers only its own bytes, not the libraries that the loader opens for it. So a
//! plugin may need only libtorch and the system's own libraries, by their plain names.

use crate::error::Rule;
use object::elf::{self, FileHeader64, ProgramHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use object::{Endianness, ReadRef};

/// Libraries that a plugin may need. The loader finds a name without a slash in the program's own search
/// path, never beside the plugin.
const ALLOWED: [&str; 24] = [
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libc10.so",
    "libc10_cuda.so",
    "libcublas.so.13",
    "libcublasLt.so.13",
    "libcuda.so.1",
    "libcudart.so.13",
    "libcudnn.so.9",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libgomp.so.1",
    "libm.so.6",
    "libnccl.so.2",
    "libnvrtc.so.13",
    "libpthread.so.0",
    "librt.so.1",
    "libstdc++.so.6",
    "libtorch.so",
    "libtorch_cpu.so",
    "libtorch_cuda.so",
    "libtorch_global_deps.so",
    "libz.so.1",
];
/// Size of a page in bytes: the loader maps whole pages.
const PAGE: u64 = 4096;
/// Size of an entry of `PT_DYNAMIC` in bytes.
const ENTRY_SIZE: u64 = 16;

/// Why a library is refused: the broken rule, and what was found.
type Violation = (Rule, String);

/// Refuses a library that needs more than libtorch and the system's libraries.
pub(crate) fn check<'d, D: ReadRef<'d>>(data: D) -> Result<(), Violation> {
    let malformed = |what: &str| (Rule::SharedLibrary, format!("its program headers are malformed: {what}"));
    let header = FileHeader64::<Endianness>::parse(data)
        .map_err(|_| (Rule::Target, "it is not a 64-bit ELF library".to_owned()))?;
    let endian = header.endian().map_err(|e| malformed(&e.to_string()))?;
    let headers = header.program_headers(endian, data).map_err(|e| malformed(&e.to_string()))?;
    // PN_XNUM moves the number of headers into the first section header, which loaders and readers treat
    // differently.
    if header.e_phnum(endian) == elf::PN_XNUM {
        return Err(malformed("there are too many"));
    }
    let image = Image::new(endian, headers, data)?;
    let mut dynamics = headers.iter().filter(|h| h.p_type(endian) == elf::PT_DYNAMIC);
    let dynamic = dynamics.next().ok_or_else(|| malformed("it has no PT_DYNAMIC"))?;
    if dynamics.next().is_some() {
        return Err(malformed("it has two PT_DYNAMIC"));
    }
    let (mut needed, mut strings) = (Vec::new(), None);
    let mut at = dynamic.p_vaddr(endian);
    loop {
        // The loader reads up to DT_NULL and ignores the size in the header.
        let entry: &elf::Dyn64<Endianness> = image
            .bytes(at, ENTRY_SIZE)
            .and_then(|bytes| object::pod::from_bytes(bytes).ok())
            .map(|(entry, _)| entry)
            .ok_or_else(|| malformed("PT_DYNAMIC is outside the file"))?;
        let (tag, value) = (entry.tag(endian), entry.val(endian));
        match tag {
            elf::DT_NULL => break,
            elf::DT_STRTAB => strings = Some(value),
            elf::DT_NEEDED => needed.push(value),
            elf::DT_RPATH | elf::DT_RUNPATH => return Err(loads_uncovered_files("DT_RPATH or DT_RUNPATH")),
            elf::DT_AUDIT | elf::DT_DEPAUDIT => return Err(loads_uncovered_files("DT_AUDIT")),
            elf::DT_AUXILIARY | elf::DT_FILTER => {
                return Err(loads_uncovered_files("DT_FILTER or DT_AUXILIARY"));
            }
            _ => {}
        }
        at = at.checked_add(ENTRY_SIZE).ok_or_else(|| malformed("PT_DYNAMIC does not end"))?;
    }
    for offset in needed {
        let name = strings
            .and_then(|table: u64| table.checked_add(offset))
            .and_then(|at| image.text(at))
            .ok_or_else(|| malformed("the name of a library that it needs is outside the file"))?;
        allow(&name)?;
    }
    Ok(())
}

fn allow(name: &str) -> Result<(), Violation> {
    if ALLOWED.contains(&name) {
        return Ok(());
    }
    if name.starts_with("libtorch") || name.starts_with("libc10") {
        let found = format!("it needs its own libtorch, `{name}`; a process cannot load two");
        return Err((Rule::Torch, found));
    }
    let found = format!("it needs the library `{name}`, which its hash does not cover");
    Err((Rule::Libraries, found))
}

fn loads_uncovered_files(entry: &str) -> Violation {
    (Rule::Libraries, format!("its {entry} makes the loader open files that its hash does not cover"))
}

/// The segments of a file as the loader maps them.
struct Image<'d, D> {
    endian: Endianness,
    loads: Vec<&'d ProgramHeader64<Endianness>>,
    data: D,
}

impl<'d, D: ReadRef<'d>> Image<'d, D> {
    /// Refuses overlapping segments: the loader would map a later one over an earlier one, so that it sees
    /// other bytes than this check.
    fn new(
        endian: Endianness,
        headers: &'d [ProgramHeader64<Endianness>],
        data: D,
    ) -> Result<Self, Violation> {
        let loads: Vec<_> = headers.iter().filter(|h| h.p_type(endian) == elf::PT_LOAD).collect();
        let mut end = 0;
        for load in &loads {
            let start = load.p_vaddr(endian) / PAGE * PAGE;
            let stop = load.p_vaddr(endian).checked_add(load.p_memsz(endian));
            match stop {
                Some(stop) if start >= end && load.p_filesz(endian) <= load.p_memsz(endian) => {
                    end = stop.div_ceil(PAGE).saturating_mul(PAGE);
                }
                _ => {
                    let found = "its program headers are malformed: segments overlap";
                    return Err((Rule::SharedLibrary, found.to_owned()));
                }
            }
        }
        Ok(Self { endian, loads, data })
    }

    /// Returns the `count` bytes of the file that are mapped at an address; `None` if they are not in one
    /// segment.
    fn bytes(&self, address: u64, count: u64) -> Option<&'d [u8]> {
        let (offset, left) = self.offset(address)?;
        if left < count {
            return None;
        }
        self.data.read_bytes_at(offset, count).ok()
    }

    /// Returns the text at an address, up to its NUL byte.
    fn text(&self, address: u64) -> Option<String> {
        let (offset, left) = self.offset(address)?;
        let text = self.data.read_bytes_at_until(offset..offset.checked_add(left)?, 0).ok()?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// Returns the offset of an address in the file, and the number of bytes up to the end of its segment.
    fn offset(&self, address: u64) -> Option<(u64, u64)> {
        self.loads.iter().find_map(|load| {
            let into = address.checked_sub(load.p_vaddr(self.endian))?;
            let left = load.p_filesz(self.endian).checked_sub(into).filter(|left| *left > 0)?;
            Some((load.p_offset(self.endian).checked_add(into)?, left))
        })
    }
}
