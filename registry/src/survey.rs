//! Looking at what is there without opening any of it: what a run would load, and what it would not and why.

use crate::catalogue::Skipped;
use crate::check;
use crate::declared;
use crate::entry::PluginInfo;
use crate::error::{Refusal, RegistryError, Rule};
use crate::keys::signature_path;
use crate::listing::{EntryRow, Listing, RefusedRow, State};
use crate::manifest::{Form, Manifest, ManifestHeader};
use crate::places;
use crate::policy::Policy;
use crate::probe;
use crate::project_lock::{ProjectLock, pin_first_use};
use crate::read::{Found, find, hash_of, header};
use crate::registry::{Registry, info};
use crate::search::{Origin, SearchPath, candidates};
use crate::verify::{Intent, Trust, Vouched, let_in};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One plugin file, looked at.
#[derive(Debug, Clone)]
pub struct Surveyed {
    /// What it says of itself; its bytes are not kept.
    pub manifest: Manifest,
    /// State of the file.
    pub state: State,
    /// The rule that it breaks.
    pub refusal: Option<Refusal>,
    /// Whether it is let in for the first time, and is to be pinned when it has been opened.
    pin: bool,
    /// The build, as a run would have it.
    pub plugin: Arc<PluginInfo>,
    /// Schemas of its entries' configurations, by `kind id`, as far as an earlier probe has left them.
    pub schemas: BTreeMap<String, Value>,
}

/// All plugin files and refused places of a search path.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Plugins, in the order of the search.
    pub files: Vec<Surveyed>,
    /// Files that are no plugins although they should be, and folders that are not searched.
    pub refused: Vec<Skipped>,
}

/// Looks at everything in the search path.
///
/// # Errors
/// If a named place cannot be read, or the lock file cannot.
pub fn survey(path: &SearchPath, policy: &Policy) -> Result<Survey, RegistryError> {
    let (lock, mut hashes) = (ProjectLock::of(policy)?, Hashes::read(policy));
    let mut survey = Survey::default();
    for candidate in candidates(path)? {
        let looked = candidate.path.and_then(|path| look(&path, &mut hashes).map(|found| (path, found)));
        match looked {
            Ok((_, Ok(manifest))) => survey.add(manifest, candidate.origin, policy, &lock),
            Ok((_, Err(refusal))) if !candidate.named && refusal.rule != Rule::SharedLibrary => {}
            Ok((_, Err(refusal))) | Err(refusal) => survey.refused.push(Skipped::Refused(refusal)),
        }
    }
    hashes.keep();
    Ok(survey)
}

/// Looks at one file.
///
/// # Errors
/// If it is no plugin, or the lock file cannot be read.
pub fn inspect(path: &Path, policy: &Policy) -> Result<Surveyed, RegistryError> {
    let mut hashes = Hashes::read(policy);
    let manifest = look(path, &mut hashes)??;
    let mut survey = Survey::default();
    survey.add(manifest, Origin::Named, policy, &ProjectLock::of(policy)?);
    hashes.keep();
    let mut found = survey.files.remove(0);
    // What somebody vouches for may be asked for its schemas, in a process of its own.
    if found.refusal.is_none() && found.schemas.is_empty() && policy.probe.is_some() {
        match probe::probe(&[&found.manifest], None, policy).remove(0) {
            Ok(probed) => {
                found.schemas = probed.schemas;
                if found.pin {
                    pin_first_use(policy, &found.manifest)?;
                }
            }
            Err(refusal) => (found.state, found.refusal) = (State::of(refusal.rule), Some(refusal)),
        }
    }
    Ok(found)
}

/// What a file says of itself and its hash, reading as little as that takes.
fn look(path: &Path, hashes: &mut Hashes) -> Result<Result<Manifest, Refusal>, Refusal> {
    // A signature is over the whole file.
    if signature_path(path).exists() {
        return match find(path)? {
            Found::Plugin(manifest) => Ok(Ok(*manifest)),
            Found::NoPlugin(refusal) => Ok(Err(refusal)),
        };
    }
    let ManifestHeader { plugin, entries, form } = match header(path)? {
        Ok(header) => header,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let sha256 = hashes.of(path)?;
    Ok(Ok(Manifest { path: path.to_owned(), sha256, plugin, entries, form, bytes: Vec::new() }))
}

impl Survey {
    fn add(&mut self, mut manifest: Manifest, origin: Origin, policy: &Policy, lock: &ProjectLock) {
        let earlier =
            self.files.iter().find(|f| f.manifest.plugin.name == manifest.plugin.name && f.refusal.is_none());
        if let Some(earlier) = earlier {
            if earlier.manifest.sha256 != manifest.sha256 {
                let (path, name) = (manifest.path.clone(), manifest.plugin.name.clone());
                let by = earlier.manifest.path.clone();
                self.refused.push(Skipped::Shadowed { path, name, by });
            }
            return;
        }
        let judged = let_in(&manifest, origin, policy, lock, Intent::Load).and_then(|vouched| {
            probe::suspect(&manifest).refuse(policy)?;
            Ok(vouched)
        });
        let nobody = Vouched { trust: Trust::Unsigned, signer: None, pin: false };
        let (state, refusal, vouched) = match judged {
            Ok(vouched) => (State::Found, None, vouched),
            Err(refusal) => (State::of(refusal.rule), Some(refusal), nobody),
        };
        let mut schemas = probe::schemas(policy, &manifest.sha256);
        if let Form::Declared(head) | Form::Module { head, .. } = &manifest.form {
            let entries = manifest.entries.iter();
            schemas.extend(entries.map(|e| (probe::key(&e.kind, &e.id), head.schema())));
        }
        manifest.bytes = Vec::new();
        let plugin = info(&manifest, &vouched);
        let pin = vouched.pin;
        self.files.push(Surveyed { manifest, state, refusal, pin, plugin, schemas });
    }

    /// The listing, with the built-ins.
    ///
    /// # Errors
    /// If a built-in's schema cannot be made.
    pub fn listing(&self) -> Result<Listing, RegistryError> {
        let mut listing = Registry::built_in()?.listing();
        for file in &self.files {
            listing.entries.extend(file.rows());
        }
        listing.entries.sort_by(|a, b| (&a.kind, &a.id, &a.plugin).cmp(&(&b.kind, &b.id, &b.plugin)));
        let order = ["blueprint", "blend", "host"];
        listing.entries.sort_by_key(|row| order.iter().position(|kind| row.kind == *kind));
        let refused = self.files.iter().filter_map(|f| f.refusal.as_ref()).map(RefusedRow::from);
        listing.refused = refused.chain(self.refused.iter().map(RefusedRow::from)).collect();
        Ok(listing)
    }
}

impl Surveyed {
    /// A row for each of its entries.
    pub fn rows(&self) -> impl Iterator<Item = EntryRow> {
        self.manifest.entries.iter().map(|record| {
            let schema = self.schemas.get(&probe::key(&record.kind, &record.id)).cloned();
            let mut row = EntryRow::new(record, &self.plugin, self.state, schema);
            row.trust = row.trust.filter(|_| self.refusal.is_none());
            row
        })
    }

    /// Whether a run of this program could open it, whoever vouches for it.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn compatible(&self) -> Result<(), Refusal> {
        check::compatible(&self.manifest)
    }
}

/// Hashes of files that have not changed since.
struct Hashes {
    kept: Option<PathBuf>,
    known: BTreeMap<PathBuf, Known>,
    changed: bool,
}

/// A file as it was when it was hashed. Who writes it again moves at least the last of these, which nobody
/// can set.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Known {
    size: u64,
    #[serde(default)]
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    sha256: String,
}

impl Hashes {
    fn read(policy: &Policy) -> Self {
        let kept = policy.cache.as_ref().map(|cache| cache.join("hashes.json"));
        let known = kept.as_deref().map(places::read_json).unwrap_or_default();
        Self { kept, known, changed: false }
    }

    fn of(&mut self, path: &Path) -> Result<String, Refusal> {
        let meta = path.canonicalize().and_then(|real| Ok((std::fs::metadata(&real)?, real)));
        let Ok((meta, real)) = meta else { return hash_of(path) };
        // It consists of two files.
        if declared::is_module(path) {
            return hash_of(path);
        }
        let mut now = Known {
            size: meta.size(),
            device: meta.dev(),
            inode: meta.ino(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            sha256: String::new(),
        };
        if let Some(known) = self.known.get(&real) {
            now.sha256.clone_from(&known.sha256);
            if *known == now {
                return Ok(now.sha256);
            }
        }
        now.sha256 = hash_of(path)?;
        let sha256 = now.sha256.clone();
        self.known.insert(real, now);
        self.changed = true;
        Ok(sha256)
    }

    fn keep(&self) {
        if let Some(kept) = self.kept.as_deref().filter(|_| self.changed) {
            places::write_json(kept, &self.known);
        }
    }
}
