//! Reads all files of a search path without opening any of them, and reports which of them a run would load.

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
use crate::read::{ReadOutcome, hash_of, header, read_plugin};
use crate::registry::{Registry, plugin_info};
use crate::search::{Origin, SearchPath, candidates};
use crate::verify::{Intent, Trust, Verified, verify};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A plugin file that was read but not opened.
#[derive(Debug, Clone)]
pub struct Surveyed {
    /// Records and hash of the file; its bytes are not kept.
    pub manifest: Manifest,
    /// State of the file.
    pub state: State,
    /// Why the file is refused; `None` if a run would load it.
    pub refusal: Option<Refusal>,
    /// Whether the file is used for the first time, and must be pinned once it was opened.
    pin: bool,
    /// Description of the build, as in a run that loads it.
    pub plugin: Arc<PluginInfo>,
    /// JSON Schemas of the entries' configurations, by `kind id`. Those of a library are known only if it was
    /// probed before.
    pub schemas: BTreeMap<String, Value>,
}

/// All plugin files and refused places of a search path.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Plugins, in the order of the search.
    pub files: Vec<Surveyed>,
    /// Files that are not valid plugins or are shadowed, and folders that are not searched.
    pub refused: Vec<Skipped>,
}

/// Reads all files in the search path without opening any of them.
///
/// # Errors
/// If a named place or the lock file cannot be read.
pub fn survey(path: &SearchPath, policy: &Policy) -> Result<Survey, RegistryError> {
    let (lock, mut hashes) = (ProjectLock::of(policy)?, HashCache::read(policy));
    let mut survey = Survey::default();
    for candidate in candidates(path)? {
        let read =
            candidate.path.and_then(|path| read_manifest(&path, &mut hashes).map(|found| (path, found)));
        match read {
            Ok((_, Ok(manifest))) => survey.add(manifest, candidate.origin, policy, &lock),
            Ok((_, Err(refusal))) if !candidate.named && refusal.rule != Rule::SharedLibrary => {}
            Ok((_, Err(refusal))) | Err(refusal) => survey.refused.push(Skipped::Refused(refusal)),
        }
    }
    hashes.save();
    Ok(survey)
}

/// Reads one file. If it is trusted and its schemas are not known yet, it is also probed in a child process.
///
/// # Errors
/// If the file is not a plugin, the lock file cannot be read, or the file cannot be pinned.
pub fn inspect(path: &Path, policy: &Policy) -> Result<Surveyed, RegistryError> {
    let mut hashes = HashCache::read(policy);
    let manifest = read_manifest(path, &mut hashes)??;
    let mut survey = Survey::default();
    survey.add(manifest, Origin::Named, policy, &ProjectLock::of(policy)?);
    hashes.save();
    let mut found = survey.files.remove(0);
    // Only a trusted file may run, and only in a child process.
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

/// Reads the records and the hash of a file, and as little else as possible.
fn read_manifest(path: &Path, hashes: &mut HashCache) -> Result<Result<Manifest, Refusal>, Refusal> {
    // Verifying a signature requires all bytes of the file.
    if signature_path(path).exists() {
        return match read_plugin(path)? {
            ReadOutcome::Plugin(manifest) => Ok(Ok(*manifest)),
            ReadOutcome::NotPlugin(refusal) => Ok(Err(refusal)),
        };
    }
    let ManifestHeader { plugin, entries, form } = match header(path)? {
        Ok(header) => header,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let sha256 = hashes.hash(path)?;
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
        let verified = verify(&manifest, origin, policy, lock, Intent::Load).and_then(|verified| {
            probe::tried_file(&manifest).refuse_quarantined(policy)?;
            Ok(verified)
        });
        let untrusted = Verified { trust: Trust::Unsigned, signer: None, pin: false };
        let (state, refusal, verified) = match verified {
            Ok(verified) => (State::Found, None, verified),
            Err(refusal) => (State::of(refusal.rule), Some(refusal), untrusted),
        };
        let mut schemas = probe::schemas(policy, &manifest.sha256);
        if let Form::Declared(head) | Form::Module { head, .. } = &manifest.form {
            let entries = manifest.entries.iter();
            schemas.extend(entries.map(|e| (probe::key(&e.kind, &e.id), head.schema())));
        }
        manifest.bytes = Vec::new();
        let plugin = plugin_info(&manifest, &verified);
        let pin = verified.pin;
        self.files.push(Surveyed { manifest, state, refusal, pin, plugin, schemas });
    }

    /// Returns the listing of the surveyed files and the built-in entries.
    ///
    /// # Errors
    /// If the schema of a built-in entry cannot be generated.
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
    /// Returns one row for each entry of the file.
    pub fn rows(&self) -> impl Iterator<Item = EntryRow> {
        self.manifest.entries.iter().map(|record| {
            let schema = self.schemas.get(&probe::key(&record.kind, &record.id)).cloned();
            let mut row = EntryRow::new(record, &self.plugin, self.state, schema);
            row.trust = row.trust.filter(|_| self.refusal.is_none());
            row
        })
    }

    /// Checks that this program could open the file, whether it is trusted or not.
    ///
    /// # Errors
    /// If the records break a rule.
    pub fn compatible(&self) -> Result<(), Refusal> {
        check::compatible(&self.manifest)
    }
}

/// Cache of the hashes of files, which is valid as long as a file's metadata does not change.
struct HashCache {
    /// Path of the cache; `None` if it is not saved.
    file: Option<PathBuf>,
    known: BTreeMap<PathBuf, CachedHash>,
    changed: bool,
}

/// Hash of a file, and its metadata when it was hashed. Every write changes at least `changed`, the time that
/// no program can set.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct CachedHash {
    size: u64,
    #[serde(default)]
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    sha256: String,
}

impl HashCache {
    fn read(policy: &Policy) -> Self {
        let file = policy.cache.as_ref().map(|cache| cache.join("hashes.json"));
        let known = file.as_deref().map(places::read_json).unwrap_or_default();
        Self { file, known, changed: false }
    }

    /// Returns the SHA-256 of a file, in hexadecimal digits.
    fn hash(&mut self, path: &Path) -> Result<String, Refusal> {
        let meta = path.canonicalize().and_then(|real| Ok((std::fs::metadata(&real)?, real)));
        let Ok((meta, real)) = meta else { return hash_of(path) };
        // A module's hash covers two files, so it is not cached.
        if declared::is_module(path) {
            return hash_of(path);
        }
        let mut now = CachedHash {
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

    fn save(&self) {
        if let Some(file) = self.file.as_deref().filter(|_| self.changed) {
            places::write_json(file, &self.known);
        }
    }
}
