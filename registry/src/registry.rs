//! The registry: everything loaded, by name, and the way in.

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
use crate::read::{Found, find};
use crate::search::{Origin, SearchPath, candidates};
use crate::verify::{Intent, Trust, Vouched, let_in};
use arc_swap::ArcSwap;
use kasmina_plugin_api::record::EntryRecord;
use kasmina_plugin_api::{Kind, Topology};
use kasmina_torch_ext::script::Script;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tch::Device;

/// Everything loaded. It is shared between threads: whoever looks sees the catalogue of one moment, and a
/// build that is swapped in appears to the next who looks.
#[derive(Debug)]
pub struct Registry {
    catalogue: ArcSwap<Catalogue>,
    /// Held by whoever replaces the catalogue.
    changing: Mutex<()>,
    policy: Policy,
}

/// A file that has passed everything but being opened.
struct Admitted {
    manifest: Manifest,
    vouched: Vouched,
    /// A refusal is an error rather than a note.
    named: bool,
}

impl Registry {
    /// The built-ins alone.
    ///
    /// # Errors
    /// If a built-in's schema cannot be made.
    pub fn built_in() -> Result<Self, RegistryError> {
        Self::empty(&Policy::embedded())
    }

    fn empty(policy: &Policy) -> Result<Self, RegistryError> {
        let catalogue = ArcSwap::from_pointee(Catalogue::built_in(policy)?);
        Ok(Self { catalogue, changing: Mutex::new(()), policy: policy.clone() })
    }

    /// The built-ins and everything in the search path, as far as the policy lets it in. A file that breaks a
    /// rule is skipped in a folder (see [`skipped`](Self::skipped)) and an error when named.
    ///
    /// # Errors
    /// If a named place cannot be read, a named file is refused, or the lock file cannot be read.
    pub fn load(path: &SearchPath, policy: &Policy) -> Result<Self, RegistryError> {
        let registry = Self::empty(policy)?;
        let mut catalogue = Catalogue::clone(&registry.catalogue.load());
        let lock = ProjectLock::of(policy)?;
        let mut admitted: Vec<Admitted> = Vec::new();
        for candidate in candidates(path)? {
            let looked = candidate.path.and_then(|path| {
                match find(&path)? {
                    // A library of another kind is none of our business; a file that is no whole library is.
                    Found::NoPlugin(refusal) if !candidate.named && refusal.rule != Rule::SharedLibrary => {
                        Ok(None)
                    }
                    Found::NoPlugin(refusal) => Err(refusal),
                    Found::Plugin(manifest) => Ok(Some(*manifest)),
                }
            });
            let manifest = match looked {
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
            match let_in(&manifest, candidate.origin, policy, &lock, Intent::Load) {
                Ok(vouched) => admitted.push(Admitted { manifest, vouched, named: candidate.named }),
                Err(refusal) => catalogue.refuse(refusal, candidate.named)?,
            }
        }
        registry.open(&mut catalogue, admitted)?;
        registry.catalogue.store(Arc::new(catalogue));
        Ok(registry)
    }

    /// Probes and opens what was admitted: libraries first, and then what one of them interprets.
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
                    let info = info(&admitted.manifest, &admitted.vouched);
                    Ok((entries(catalogue, &admitted.manifest, &info, &probed, &self.policy)?, info))
                });
                let opened = match opened {
                    // Written down once it is in, and judged by what the lock file says by then.
                    Ok(opened) if admitted.vouched.pin => {
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

    /// Loads one file that was named; where a plugin of its name is loaded already, that one stays.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn load_file(&self, path: &Path) -> Result<(), RegistryError> {
        self.admit(Manifest::read(path)?)
    }

    fn admit(&self, manifest: Manifest) -> Result<(), RegistryError> {
        let lock = ProjectLock::of(&self.policy)?;
        let vouched = let_in(&manifest, Origin::Named, &self.policy, &lock, Intent::Load)?;
        self.change(|catalogue| {
            if catalogue.plugin(&manifest.plugin.name).is_some() {
                return Ok(());
            }
            self.open(catalogue, vec![Admitted { manifest, vouched, named: true }])
        })
    }

    /// Loads one file that was judged elsewhere.
    ///
    /// # Errors
    /// If its bytes are others by now, or the rule that it breaks.
    pub fn load_judged(&self, judged: &Judged) -> Result<(), RegistryError> {
        self.admit(judged.read()?)
    }

    /// Takes in what is to be probed in this very process.
    pub(crate) fn admit_probed(&self, manifest: &Manifest) -> Result<(), Refusal> {
        check::compatible(manifest)?;
        let info = info(manifest, &Vouched { trust: Trust::Unsigned, signer: None, pin: false });
        self.change(|catalogue| {
            let entries = entries(catalogue, manifest, &info, &Probed::default(), &self.policy)?;
            catalogue.insert(&info, entries);
            Ok(())
        })
    }

    /// Replaces the catalogue by a changed copy, or leaves it.
    pub(crate) fn change<T, E>(&self, body: impl FnOnce(&mut Catalogue) -> Result<T, E>) -> Result<T, E> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut catalogue = Catalogue::clone(&self.catalogue.load());
        let value = body(&mut catalogue)?;
        self.catalogue.store(Arc::new(catalogue));
        Ok(value)
    }

    pub(crate) fn now(&self) -> Arc<Catalogue> {
        self.catalogue.load_full()
    }

    /// The hash of the build that is loaded under a name.
    pub fn generation(&self, name: &str) -> Option<String> {
        self.catalogue.load().plugin(name).and_then(|plugin| plugin.sha256.clone())
    }

    /// What files are judged by here.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The entry that a name means: `plugin::id`, or a bare id that one plugin brings; a built-in answers to
    /// its bare id where no plugin does.
    ///
    /// # Errors
    /// If nobody brings it, or several do.
    pub fn resolve(&self, kind: Kind, name: &str) -> Result<Entry, RegistryError> {
        self.catalogue.load().resolve(kind, name)
    }

    /// The same for a seed or blend that is to live in a slot: of several plugins that bring a bare id, the
    /// one is meant that serves the slot's topology.
    ///
    /// # Errors
    /// If nobody brings it, or several do and not one of them alone serves the topology.
    pub fn resolve_for(&self, kind: Kind, name: &str, topology: Topology) -> Result<Entry, RegistryError> {
        self.catalogue.load().resolve_for(kind, name, topology)
    }

    /// Every entry, sorted by kind, id and plugin.
    pub fn entries(&self) -> Vec<Entry> {
        self.catalogue.load().entries.clone()
    }
    /// Every loaded plugin, the built-ins first.
    pub fn plugins(&self) -> Vec<Arc<PluginInfo>> {
        self.catalogue.load().plugins.clone()
    }
    /// Builds that others have taken the place of.
    pub fn retired(&self) -> Vec<Arc<PluginInfo>> {
        self.catalogue.load().retired.clone()
    }
    /// What was found and not loaded.
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
        tracing::info!("{} is passed over: a plugin `{name}` was found before", path.display());
        self.skipped.push(Skipped::Shadowed { path, name, by: earlier.path.clone() });
    }
}

pub(crate) fn info(manifest: &Manifest, vouched: &Vouched) -> Arc<PluginInfo> {
    Arc::new(PluginInfo {
        name: manifest.plugin.name.clone(),
        version: manifest.plugin.version.clone(),
        path: Some(manifest.path.canonicalize().unwrap_or_else(|_| manifest.path.clone())),
        sha256: Some(manifest.sha256.clone()),
        trust: vouched.trust,
        signer: vouched.signer.clone(),
    })
}

/// Opens a file, and makes entries of what it brings.
pub(crate) fn entries(
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
        // The interpreter reads the whole of it, and finds what is wrong.
        entry.check_config("").map_err(|e| match e {
            RegistryError::Build { error, .. } => refuse(&error.message),
            other => refuse(&other.to_string()),
        })?;
        entries.push(entry);
    }
    Ok(entries)
}

/// Refuses a module that does more than compute, before the plugin that interprets it loads it.
fn refuse_operators(manifest: &Manifest) -> Result<(), Refusal> {
    let Err(error) = Script::load(&manifest.bytes, Device::Cpu) else { return Ok(()) };
    Err(match &error {
        kasmina_torch_ext::Error::Forbidden { .. } => Refusal {
            path: manifest.path.clone(),
            rule: Rule::Operators,
            found: error.to_string(),
            remedy: "docs/security.md says what a module may do".to_owned(),
        },
        // Nor is what could not be looked at.
        _ => declared::refusal(&manifest.path, &error.to_string()),
    })
}
