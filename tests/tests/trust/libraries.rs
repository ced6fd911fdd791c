//! Libraries that a plugin would make the loader load besides itself.

use kasmina_registry::{Manifest, Origin, Policy, Registry, Rule, SearchPath};
use kasmina_tests::fixture;
use std::path::{Path, PathBuf};

/// `DT_NEEDED`, the tag of a needed library.
const NEEDED: u64 = 1;
/// Bytes of a dynamic entry: a tag and a value.
const ENTRY: usize = 16;

/// The bytes of a plugin, with the offset of its dynamic entries.
struct Library {
    folder: tempfile::TempDir,
    bytes: Vec<u8>,
    dynamic: usize,
}

impl Library {
    fn new() -> Self {
        let bytes = std::fs::read(fixture("gated")).unwrap();
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let (table, size) = (word(32) as usize, usize::from(u16::from_le_bytes([bytes[54], bytes[55]])));
        let count = usize::from(u16::from_le_bytes([bytes[56], bytes[57]]));
        let header =
            (0..count).map(|i| table + i * size).find(|at| bytes[*at..*at + 4] == [2, 0, 0, 0]).unwrap();
        let dynamic = word(header + 8) as usize;
        Self { folder: tempfile::tempdir().unwrap(), bytes, dynamic }
    }

    /// Replaces the tag of the first entry of a needed library.
    fn with_tag(mut self, tag: u64) -> Self {
        let entries = (self.bytes.len() - self.dynamic) / ENTRY;
        let at = (0..entries)
            .map(|i| self.dynamic + i * ENTRY)
            .find(|at| self.bytes[*at..*at + 8] == NEEDED.to_le_bytes());
        let at = at.unwrap();
        self.bytes[at..at + 8].copy_from_slice(&tag.to_le_bytes());
        self
    }

    /// Replaces bytes of the library, such as the name of a needed library, by as many others.
    fn with_name(mut self, from: &[u8], to: &[u8]) -> Self {
        assert_eq!(from.len(), to.len());
        let at = self.bytes.windows(from.len()).position(|bytes| bytes == from).unwrap();
        self.bytes[at..at + to.len()].copy_from_slice(to);
        self
    }

    /// Reads the manifest; returns "read", or why the library is refused.
    fn found(&self) -> String {
        let path: PathBuf = self.folder.path().join("libx.so");
        std::fs::write(&path, &self.bytes).unwrap();
        match Manifest::read(&path) {
            Ok(_) => "read".to_owned(),
            Err(refusal) => {
                assert!(matches!(refusal.rule, Rule::Libraries | Rule::SharedLibrary));
                refusal.found
            }
        }
    }
}

/// docs/security.md: 15
#[test]
fn a_plugin_loads_nothing_that_its_hash_does_not_cover() {
    assert_eq!(Library::new().found(), "read");
    let cases = [
        ("a path", Library::new().with_name(b"\0libgcc_s.so.1\0", b"\0./plugins/x.s\0")),
        ("an unknown library", Library::new().with_name(b"\0libgcc_s.so.1\0", b"\0libother.so.1\0")),
        ("DT_RPATH", Library::new().with_tag(15)),
        ("DT_RUNPATH", Library::new().with_tag(29)),
        ("DT_AUDIT", Library::new().with_tag(0x6fff_fefc)),
        ("DT_DEPAUDIT", Library::new().with_tag(0x6fff_fefb)),
        ("DT_FILTER", Library::new().with_tag(0x7fff_ffff)),
        ("DT_AUXILIARY", Library::new().with_tag(0x7fff_fffd)),
    ];
    let mut table = String::new();
    for (what, library) in &cases {
        table += &format!("{what}: {}\n", library.found());
    }
    insta::assert_snapshot!(table);
}

/// A library whose constructors have run stays mapped with its descriptor open, even if it is refused
/// afterwards; otherwise a later library could reuse the descriptor and be mistaken for it.
#[test]
fn a_library_without_its_entry_point_is_refused_and_never_closed() {
    let good = std::fs::read(fixture("gated")).unwrap();
    let bytes = good.clone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("libx.so");
    let symbol = Manifest::read(&fixture("gated")).unwrap().plugin.entry_symbol;
    let library = Library { folder: tempfile::tempdir().unwrap(), bytes, dynamic: 0 };
    // Only the name in the JSON record is changed, not the symbol.
    let quoted = format!("\"{symbol}\"");
    let other = format!("\"{}X\"", &symbol[..symbol.len() - 1]);
    let library = library.with_name(quoted.as_bytes(), other.as_bytes());
    std::fs::write(&path, &library.bytes).unwrap();
    let load = |path: &Path| {
        let mut search = SearchPath::empty();
        search.extend([path.to_owned()], Origin::Named);
        Registry::load(&search, &Policy::embedded())
    };
    let images = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines()
            .filter(|line| line.contains("memfd:kasmina-fixture_gated") && line.contains("r-x"))
            .count()
    };
    let before = images();
    let refused = load(&path).unwrap_err().to_string();
    let named = format!(
        "its record names the entry point `{}`, but it exports no such symbol",
        other.trim_matches('"')
    );
    assert!(refused.contains(&named), "{refused}");
    assert_eq!(images(), before + 1, "the refused library stays mapped");
    // The next library gets a descriptor and an image of its own.
    std::fs::write(&path, &good).unwrap();
    load(&path).unwrap();
    assert_eq!(images(), before + 2);
}

/// The loader reads program headers, so a search path must be found whatever the section headers claim.
#[test]
fn a_search_path_is_found_despite_wrong_section_headers() {
    let mut library = Library::new().with_tag(29);
    // The records are found by section headers, so these are kept, except for the type of `.dynamic`.
    let sections = library.bytes.len();
    let table = u64::from_le_bytes(library.bytes[40..48].try_into().unwrap()) as usize;
    assert!(table < sections);
    let size = usize::from(u16::from_le_bytes([library.bytes[58], library.bytes[59]]));
    let count = usize::from(u16::from_le_bytes([library.bytes[60], library.bytes[61]]));
    for section in 0..count {
        let kind = table + section * size + 4;
        // SHT_DYNAMIC becomes SHT_NOTE.
        if library.bytes[kind..kind + 4] == [6, 0, 0, 0] {
            library.bytes[kind] = 7;
        }
    }
    assert!(library.found().contains("DT_RPATH or DT_RUNPATH"), "{}", library.found());
}
