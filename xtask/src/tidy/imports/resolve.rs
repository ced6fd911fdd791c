//! Resolves a path in a file to the file that defines the name.

use std::collections::BTreeMap;

use super::graph::Arrows;
use super::source::{self, Path, Source};

/// Most re-exports that are followed in a row. A longer chain is taken for a cycle of re-exports.
const MOST_REEXPORTS: usize = 16;

/// The parsed files of one crate.
pub(super) struct Crate {
    files: Vec<Source>,
    /// Module path of each file.
    modules: Vec<Path>,
    /// File of each module, as an index.
    by_module: BTreeMap<Path, usize>,
}

impl Crate {
    /// Parses the files of a crate, given as path below `src/` and text.
    pub(super) fn new(files: &[(&str, &str)]) -> Result<Self, ()> {
        let modules: Vec<Path> = files.iter().map(|(path, _)| module(path)).collect();
        let by_module = modules.iter().cloned().zip(0..).collect();
        let files = files.iter().map(|(_, text)| source::read(text)).collect::<Result<_, _>>()?;
        Ok(Self { files, modules, by_module })
    }

    /// Imports between the files of the crate.
    pub(super) fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (file, source) in self.files.iter().enumerate() {
            let here = &self.modules[file];
            let imported = source.imports.values().map(|path| self.definition(here, path, 0));
            let spelled = source.paths.iter().map(|path| {
                // The first segment may be a module that `use` brings into scope.
                let path = match source.imports.get(&path[0]).or_else(|| source.reexports.get(&path[0])) {
                    Some(prefix) => [prefix, &path[1..]].concat(),
                    None => path.clone(),
                };
                self.definition(here, &path, 0)
            });
            // A re-export counts as an import if the file uses the name itself.
            let used = source.reexports.iter().filter(|(name, _)| source.words.contains(*name));
            let used = used.map(|(_, path)| self.definition(here, path, 0));
            let globs = source.globs.iter().filter_map(|path| {
                let target = self.module_of(here, path)?;
                Some((*self.by_module.get(&target)?, "*".to_owned()))
            });
            for (to, name) in imported.chain(spelled).chain(used).flatten().chain(globs) {
                if to != file {
                    arrows.entry((file, to)).or_default().insert(name);
                }
            }
        }
        arrows
    }

    /// Resolves a path as seen from the module `here`. Returns the defining file and the name, or `None` if
    /// the path names a module or an item of another crate. `followed`: re-exports followed so far.
    fn definition(&self, here: &Path, path: &[String], followed: usize) -> Option<(usize, String)> {
        let (mut module, rest) = self.start(here, path)?;
        let mut rest = rest.iter();
        while let Some(name) = rest.next() {
            let child = [module.as_slice(), std::slice::from_ref(name)].concat();
            if self.by_module.contains_key(&child) {
                module = child;
                continue;
            }
            let file = *self.by_module.get(&module)?;
            if followed < MOST_REEXPORTS {
                let source = &self.files[file];
                // Child modules see what their parent imports, re-exported or not.
                let renamed = source.reexports.get(name).or_else(|| source.imports.get(name));
                let target = renamed.map(|target| [target.as_slice(), rest.as_slice()].concat());
                if let Some(target) = target {
                    return self.definition(&module, &target, followed + 1);
                }
            }
            return Some((file, name.clone()));
        }
        None
    }

    /// The module that a path names, if it names one of this crate.
    fn module_of(&self, here: &Path, path: &[String]) -> Option<Path> {
        let (module, rest) = self.start(here, path)?;
        let target = [module.as_slice(), rest].concat();
        self.by_module.contains_key(&target).then_some(target)
    }

    /// Resolves the first segments of a path. Returns the module to start from and the rest of the path.
    fn start<'p>(&self, here: &Path, path: &'p [String]) -> Option<(Path, &'p [String])> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some((Vec::new(), rest)),
            "self" => Some((here.clone(), rest)),
            "super" => {
                let mut module = here.clone();
                module.pop()?;
                let mut rest = rest;
                while let Some(("super", further)) = rest.split_first().map(|(f, r)| (f.as_str(), r)) {
                    module.pop()?;
                    rest = further;
                }
                Some((module, rest))
            }
            _ => {
                let child = [here.as_slice(), std::slice::from_ref(first)].concat();
                self.by_module.contains_key(&child).then(|| (here.clone(), path))
            }
        }
    }
}

/// Module path of a file, given by its path below `src/`.
fn module(path: &str) -> Path {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let mut segments: Path = path.split('/').map(str::to_owned).collect();
    let last = segments.last().map_or("", String::as_str);
    if last == "mod" || (segments.len() == 1 && matches!(last, "lib" | "main")) {
        segments.pop();
    }
    segments
}
