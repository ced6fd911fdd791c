//! The registry: loads plugins, and finds their entries by name.

use crate::catalogue::{Catalogue, Skipped};
use crate::check;
use crate::declared;
use crate::dl;
use crate::entry::{Entry, Factory, Interpreted, PluginInfo};
use crate::error::{Refusal, RegistryError, Rule};
use crate::manifest::{Form, Manifest};
use crate::policy::Policy;
use crate::probe::{self, Judged, Probed};
use crate::project_lock::{ProjectLock, pin_first_use};
use crate::read::{ReadOutcome, read_plugin};
use crate::search::{Origin, SearchPath, candidates};
use crate::verify::{Intent, Trust, Verified, verify};
use arc_swap::ArcSwap;
use kasmina_plugin_api::record::EntryRecord;
use kasmina_plugin_api::{Kind, Topology};
use kasmina_torch_ext::script::Script;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tch::Device;

/// All loaded plugins and their entries. It is shared between threads. Each call reads one immutable
/// catalogue; a build that is swapped in is visible to the calls that follow.
#[derive(Debug)]
pub struct Registry {
    catalogue: ArcSwap<Catalogue>,
    /// Held while the catalogue is replaced.
    changing: Mutex<()>,
    policy: Policy,
}

/// A file that has passed every check that precedes opening it.
struct Admitted {
    manifest: Manifest,
    verified: Verified,
    /// Whether the file was named by itself. Then a refusal is an error; otherwise the file is skipped.
    named: bool,
}

impl Registry {
    /// Returns a registry with only the built-in entries.
    ///
    /// # Errors
    /// If the schema of a built-in entry cannot be generated.
    pub fn built_in() -> Result<Self, RegistryError> {
        Self::empty(&Policy::embedded())
    }

    fn empty(policy: &Policy) -> Result<Self, RegistryError> {
        let catalogue = ArcSwap::from_pointee(Catalogue::built_in(policy)?);
        Ok(Self { catalogue, changing: Mutex::new(()), policy: policy.clone() })
    }

    /// Loads the built-in entries and every plugin in the search path that the policy trusts. A file in a
    /// folder that breaks a rule is skipped (see [`skipped`](Self::skipped)); a file that was named is an
    /// error.
    ///
    /// # Errors
    /// If a named place cannot be read, a named file is refused, or the lock file cannot be read.
    pub fn load(path: &SearchPath, policy: &Policy) -> Result<Self, RegistryError> {
        let registry = Self::empty(policy)?;
        let mut catalogue = Catalogue::clone(&registry.catalogue.load());
        let lock = ProjectLock::of(policy)?;
        let mut admitted: Vec<Admitted> = Vec::new();
        for candidate in candidates(path)? {
            let read = candidate.path.and_then(|path| {
                match read_plugin(&path)? {
                    // Libraries that are not plugins are ignored in folders. A damaged library is reported,
                    // because it may be a plugin that was not copied completely.
                    ReadOutcome::NotPlugin(refusal)
                        if !candidate.named && refusal.rule != Rule::SharedLibrary =>
                    {
                        Ok(None)
                    }
                    ReadOutcome::NotPlugin(refusal) => Err(refusal),
                    ReadOutcome::Plugin(manifest) => Ok(Some(*manifest)),
                }
            });
            let manifest = match read {
                Ok(Some(manifest)) => manifest,
                Ok(None) => continue,
                Err(refusal) => {
                    catalogue.refuse(refusal, candidate.named)?;
                    continue;
                }
            };
            if let Some(earlier) = admitted.iter().find(|a| a.manifest.plugin.name == manifest.plugin.name) {
                catalogue.shadow(&manifest, &earlier.manifest);
                continue;
            }
            match verify(&manifest, candidate.origin, policy, &lock, Intent::Load) {
                Ok(verified) => admitted.push(Admitted { manifest, verified, named: candidate.named }),
                Err(refusal) => catalogue.refuse(refusal, candidate.named)?,
            }
        }
        registry.open(&mut catalogue, admitted)?;
        registry.catalogue.store(Arc::new(catalogue));
        Ok(registry)
    }

    /// Probes and opens the verified files: libraries first, then the files that one of them interprets.
    fn open(&self, catalogue: &mut Catalogue, admitted: Vec<Admitted>) -> Result<(), RegistryError> {
        let (interpreted, libraries): (Vec<_>, Vec<_>) =
            admitted.into_iter().partition(|a| a.manifest.is_interpreted());
        for round in [libraries, interpreted] {
            let interpreter = catalogue.plugin(declared::INTERPRETER).cloned();
            let manifests: Vec<&Manifest> = round.iter().map(|a| &a.manifest).collect();
            let probed = probe::probe(&manifests, interpreter.as_ref(), &self.policy);
            for (admitted, probed) in round.iter().zip(probed) {
                let opened = probed.and_then(|probed| {
                    for (entry, reason) in &probed.unfit {
                        let plugin = &admitted.manifest.plugin.name;
                        tracing::info!("{plugin}: {entry} failed when it was tried: {reason}");
                    }
                    let info = plugin_info(&admitted.manifest, &admitted.verified);
                    Ok((open_entries(catalogue, &admitted.manifest, &info, &probed, &self.policy)?, info))
                });
                let opened = match opened {
                    // Pinned only after it was opened. Another process may have changed the lock file in the
                    // meantime, so it is read again.
                    Ok(opened) if admitted.verified.pin => {
                        match pin_first_use(&self.policy, &admitted.manifest) {
                            Ok(()) => Ok(opened),
                            Err(RegistryError::Refused(refusal)) => Err(refusal),
                            Err(error) => return Err(error),
                        }
                    }
                    other => other,
                };
                match opened {
                    Ok((entries, info)) => catalogue.insert(&info, entries),
                    Err(refusal) => catalogue.refuse(refusal, admitted.named)?,
                }
            }
        }
        Ok(())
    }

    /// Loads one file that was named. If a plugin of the same name is already loaded, that one is kept.
    ///
    /// # Errors
    /// If the file breaks a rule, or the lock file cannot be read.
    pub fn load_file(&self, path: &Path) -> Result<(), RegistryError> {
        self.admit(Manifest::read(path)?)
    }

    fn admit(&self, manifest: Manifest) -> Result<(), RegistryError> {
        let lock = ProjectLock::of(&self.policy)?;
        let verified = verify(&manifest, Origin::Named, &self.policy, &lock, Intent::Load)?;
        self.change(|catalogue| {
            if catalogue.plugin(&manifest.plugin.name).is_some() {
                return Ok(());
            }
            self.open(catalogue, vec![Admitted { manifest, verified, named: true }])
        })
    }

    /// Loads one file whose bytes were already verified by another process.
    ///
    /// # Errors
    /// If the file has changed since then, or breaks a rule.
    pub fn load_judged(&self, judged: &Judged) -> Result<(), RegistryError> {
        self.admit(judged.read()?)
    }

    /// Loads a file in the child process that probes it. The parent has verified it already.
    pub(crate) fn admit_probed(&self, manifest: &Manifest) -> Result<(), Refusal> {
        check::compatible(manifest)?;
        let info = plugin_info(manifest, &Verified { trust: Trust::Unsigned, signer: None, pin: false });
        self.change(|catalogue| {
            let entries = open_entries(catalogue, manifest, &info, &Probed::default(), &self.policy)?;
            catalogue.insert(&info, entries);
            Ok(())
        })
    }

    /// Replaces the catalogue by a copy that `body` has changed. If `body` fails, the catalogue stays as it
    /// is.
    pub(crate) fn change<T, E>(&self, body: impl FnOnce(&mut Catalogue) -> Result<T, E>) -> Result<T, E> {
        let _guard = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut catalogue = Catalogue::clone(&self.catalogue.load());
        let value = body(&mut catalogue)?;
        self.catalogue.store(Arc::new(catalogue));
        Ok(value)
    }

    pub(crate) fn current_catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.load_full()
    }

    /// Returns the SHA-256 of the loaded build of a plugin, in hexadecimal digits; `None` if no plugin of
    /// this name is loaded, or if it is built in.
    pub fn generation(&self, name: &str) -> Option<String> {
        self.catalogue.load().plugin(name).and_then(|plugin| plugin.sha256.clone())
    }

    /// The policy that decides which files are trusted.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns the entry of a name: `plugin::id`, or a bare id that exactly one plugin has. A bare id means
    /// the built-in entry only if no plugin has it.
    ///
    /// # Errors
    /// If no plugin has the entry, or several have it.
    pub fn resolve(&self, kind: Kind, name: &str) -> Result<Entry, RegistryError> {
        self.catalogue.load().resolve(kind, name)
    }

    /// Returns the entry of a name, as [`resolve`](Self::resolve) does, for a blueprint or blend that is used
    /// in a slot. If several plugins have a bare id, the only one that serves the slot's topology is
    /// returned.
    ///
    /// # Errors
    /// If no plugin has the entry, or several have it and not exactly one of them serves the topology.
    pub fn resolve_for(&self, kind: Kind, name: &str, topology: Topology) -> Result<Entry, RegistryError> {
        self.catalogue.load().resolve_for(kind, name, topology)
    }

    /// Returns every entry, sorted by kind, id and plugin.
    pub fn entries(&self) -> Vec<Entry> {
        self.catalogue.load().entries.clone()
    }
    /// Returns every loaded plugin, the built-in one first.
    pub fn plugins(&self) -> Vec<Arc<PluginInfo>> {
        self.catalogue.load().plugins.clone()
    }
    /// Returns the builds that were replaced by other builds of the same plugin.
    pub fn retired(&self) -> Vec<Arc<PluginInfo>> {
        self.catalogue.load().retired.clone()
    }
    /// Returns the files that were found and not loaded.
    pub fn skipped(&self) -> Vec<Skipped> {
        self.catalogue.load().skipped.clone()
    }
}

impl Catalogue {
    fn refuse(&mut self, refusal: Refusal, named: bool) -> Result<(), Refusal> {
        if named {
            return Err(refusal);
        }
        tracing::info!("{refusal}; {}", refusal.remedy);
        self.skipped.push(Skipped::Refused(refusal));
        Ok(())
    }

    fn shadow(&mut self, manifest: &Manifest, earlier: &Manifest) {
        if earlier.sha256 == manifest.sha256 {
            return;
        }
        let (path, name) = (manifest.path.clone(), manifest.plugin.name.clone());
        tracing::info!("skipped {}: a plugin `{name}` was found earlier", path.display());
        self.skipped.push(Skipped::Shadowed { path, name, by: earlier.path.clone() });
    }
}

/// Describes the build of a verified file.
pub(crate) fn plugin_info(manifest: &Manifest, verified: &Verified) -> Arc<PluginInfo> {
    Arc::new(PluginInfo {
        name: manifest.plugin.name.clone(),
        version: manifest.plugin.version.clone(),
        path: Some(manifest.path.canonicalize().unwrap_or_else(|_| manifest.path.clone())),
        sha256: Some(manifest.sha256.clone()),
        trust: verified.trust,
        signer: verified.signer.clone(),
    })
}

/// Opens a file, and returns its entries.
pub(crate) fn open_entries(
    catalogue: &Catalogue,
    manifest: &Manifest,
    info: &Arc<PluginInfo>,
    probed: &Probed,
    policy: &Policy,
) -> Result<Vec<Entry>, Refusal> {
    let unfit = |record: &EntryRecord| probed.unfit.get(&probe::key(&record.kind, &record.id)).cloned();
    let (head, source) = match &manifest.form {
        Form::Library => {
            let opened = dl::open(manifest, policy)?;
            let entry = |l: dl::Listed| {
                let unfit = unfit(&l.record);
                Entry::new(info, l.record, l.schema, Factory::Library(opened.plugin), unfit)
            };
            return Ok(opened.listed.into_iter().filter_map(entry).collect());
        }
        Form::Declared(head) => (head, String::from_utf8_lossy(&manifest.bytes).into_owned()),
        Form::Module { head, sidecar } => (head, sidecar.clone()),
    };
    let refuse = |found: &str| declared::refusal(&manifest.path, found);
    if manifest.is_module() {
        refuse_operators(manifest)?;
    }
    let module = match manifest.form {
        Form::Module { .. } => Some(dl::sealed_copy(manifest).map_err(|e| refuse(&e.to_string()))?),
        _ => None,
    };
    let id = if module.is_some() { declared::TORCHSCRIPT } else { declared::GRAPH };
    let interpreter = catalogue.resolve(Kind::Blueprint, &format!("{}::{id}", declared::INTERPRETER));
    let interpreter = interpreter.map_err(|_| Refusal {
        path: manifest.path.clone(),
        rule: Rule::Interpreter,
        found: format!("the plugin that interprets it, `{}`, is not loaded", declared::INTERPRETER),
        remedy: "put that plugin, which ships with Kasmina, into the plugin path".to_owned(),
    })?;
    let mut entries = Vec::new();
    for record in &manifest.entries {
        let file = manifest.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let module =
            module.as_ref().map(std::fs::File::try_clone).transpose().map_err(|e| refuse(&e.to_string()))?;
        let made = Interpreted { interpreter: interpreter.clone(), file, source: source.clone(), module };
        let factory = Factory::Interpreted(made);
        let entry = Entry::new(info, record.clone(), head.schema(), factory, unfit(record));
        let Some(entry) = entry else { continue };
        // The interpreter parses the whole file, and reports what is wrong with it.
        entry.check_config("").map_err(|e| match e {
            RegistryError::Build { error, .. } => refuse(&error.message),
            other => refuse(&other.to_string()),
        })?;
        entries.push(entry);
    }
    Ok(entries)
}

/// Refuses a module with operators that do more than compute, before the plugin that interprets it loads it.
fn refuse_operators(manifest: &Manifest) -> Result<(), Refusal> {
    let Err(error) = Script::load(&manifest.bytes, Device::Cpu) else { return Ok(()) };
    Err(match &error {
        kasmina_torch_ext::Error::Forbidden { .. } => Refusal {
            path: manifest.path.clone(),
            rule: Rule::Operators,
            found: error.to_string(),
            remedy: "docs/security.md says what a module may do".to_owned(),
        },
        // A module whose operators cannot be read is refused too.
        _ => declared::refusal(&manifest.path, &error.to_string()),
    })
}
