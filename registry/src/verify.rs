//! Decides whether a plugin file is trusted, and why. No other code decides this for plugins.

use crate::error::{Refusal, Rule};
use crate::keys::Signed;
use crate::manifest::Manifest;
use crate::ownership::Exposed;
use crate::policy::Policy;
use crate::project_lock::{ProjectLock, unconfirmed};
use crate::quote::quoted;
use crate::search::Origin;
use crate::{bundled, check, declared};
use serde::{Deserialize, Serialize};

/// Why a plugin is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trust {
    /// The plugin is linked into this program.
    BuiltIn,
    /// The file is beside this program's executable, where only those can write who could replace the
    /// program.
    Bundled,
    /// The file is signed by a trusted key.
    Signed,
    /// A confirmed lock file pins these bytes.
    Pinned,
    /// The file is a run's own copy of bytes that this user has run before, or the user trusts that run
    /// directory.
    Recorded,
    /// The file is watched during this run, because the user is developing it.
    Dev,
    /// The file is unsigned and not pinned. It is loaded only if the policy allows unsigned files.
    Unsigned,
}

impl Trust {
    /// Name of the trust in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::Bundled => "bundled",
            Self::Signed => "signed",
            Self::Pinned => "pinned",
            Self::Recorded => "recorded",
            Self::Dev => "dev",
            Self::Unsigned => "unsigned",
        }
    }
}

/// Why a file is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// The file is loaded at the start or by name, not in place of a build that is in use.
    Load,
    /// The file replaces a loaded build during a run.
    Swap {
        /// Whether the loaded build of the plugin came from the same path.
        in_place: bool,
    },
}

/// Result of a successful verification.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) trust: Trust,
    /// Name of the trusted key that has signed the file.
    pub(crate) signer: Option<String>,
    /// Whether these bytes are used for the first time, and must be pinned once they are open.
    pub(crate) pin: bool,
}

/// Runs every check that precedes opening a file: permissions, trust, and compatibility. This is the only
/// function that decides whether a plugin file may be opened.
pub(crate) fn verify(
    manifest: &Manifest,
    origin: Origin,
    policy: &Policy,
    lock: &ProjectLock,
    intent: Intent,
) -> Result<Verified, Refusal> {
    let exposed = exposed(manifest, origin, policy);
    if let Some(exposed) = exposed.as_ref().filter(|exposed| !exposed.is_foreign()) {
        return Err(exposed.refusal(&manifest.path));
    }
    let verified = check_trust(manifest, origin, policy, lock, intent)?;
    // The other user can replace the file at any time, so its bytes must be trusted, not only its place.
    if let Some(exposed) = exposed
        && !verified.covers_bytes()
    {
        return Err(exposed.refusal(&manifest.path));
    }
    check::compatible(manifest)?;
    Ok(verified)
}

/// Refuses a file that other users can write, or that another user owns.
///
/// # Errors
/// If others can change a part of the file's path; the refusal names it.
pub fn refuse_others(manifest: &Manifest, policy: &Policy) -> Result<(), Refusal> {
    exposed(manifest, Origin::Named, policy).map_or(Ok(()), |exposed| Err(exposed.refusal(&manifest.path)))
}

/// Returns how other users can change a file or its sidecar; `None` if they cannot.
pub(crate) fn exposed(manifest: &Manifest, origin: Origin, policy: &Policy) -> Option<Exposed> {
    let owners = policy.owners(&manifest.path, origin);
    let sidecar = manifest.is_module().then(|| declared::sidecar(&manifest.path));
    let files = std::iter::once(&manifest.path).chain(&sidecar);
    let mut exposed = files.filter_map(|file| owners.check(file).err()).collect::<Vec<_>>();
    // A foreign owner comes last, because pinning the bytes makes such a file acceptable.
    exposed.sort_by_key(Exposed::is_foreign);
    exposed.into_iter().next()
}

impl Verified {
    /// Whether the file is trusted because of its bytes, and not because of its path.
    fn covers_bytes(&self) -> bool {
        matches!(self.trust, Trust::Signed | Trust::Pinned | Trust::Recorded) && !self.pin
    }
}

/// Decides whether a file is trusted, by lock file, signature and policy. docs/guide/shipping.md has the
/// table.
fn check_trust(
    manifest: &Manifest,
    origin: Origin,
    policy: &Policy,
    lock: &ProjectLock,
    intent: Intent,
) -> Result<Verified, Refusal> {
    let trusted = |trust, signer, pin| Ok(Verified { trust, signer, pin });
    let refuse =
        |rule, found: String, remedy: String| Refusal { path: manifest.path.clone(), rule, found, remedy };
    let signed = policy.keys.as_ref().map_or(Ok(Signed::No), |keys| keys.signed(manifest))?;
    let locked = lock.lock().find(&manifest.plugin.name);
    let pinned = locked.and_then(|locked| locked.sha256.get(&manifest.plugin.target));
    let is_pinned = pinned == Some(&manifest.sha256);
    if is_pinned {
        match signed {
            Signed::By(key) => return trusted(Trust::Signed, Some(key.name), false),
            Signed::No | Signed::Unknown if lock.is_confirmed() => {
                return trusted(Trust::Pinned, None, false);
            }
            Signed::No | Signed::Unknown => {}
        }
    }
    let swapped = matches!(intent, Intent::Swap { .. });
    if policy.is_watched(&manifest.path)
        || (policy.watching_loaded && intent == (Intent::Swap { in_place: true }))
    {
        return trusted(Trust::Dev, None, false);
    }
    let file = quoted(&manifest.path);
    let stored = policy.is_stored(&manifest.path);
    if stored && policy.vouches_for(&manifest.sha256) {
        return trusted(Trust::Recorded, None, false);
    }
    if stored && !matches!(signed, Signed::By(_)) {
        return Err(refuse(
            Rule::Trust,
            "it is a run's copy of a plugin, and you have not run these bytes before; a run directory is not \
             trusted by itself"
                .to_owned(),
            "if you know where the run directory comes from: --trust-run".to_owned(),
        ));
    }
    if let Some(was) = locked.and_then(|locked| locked.signer.as_ref()).filter(|_| !is_pinned) {
        // A plugin that was locked as signed must be signed by the same key again, also on other targets.
        let now = match &signed {
            Signed::By(now) if now.key == was.key && (pinned.is_none() || swapped) => {
                return trusted(Trust::Signed, Some(now.name.clone()), false);
            }
            Signed::By(now) if now.key == was.key => "its bytes are not those that are locked".to_owned(),
            Signed::By(now) => format!("it is signed by another key, `{}`", now.name),
            Signed::Unknown => "it is signed by a key that is not trusted".to_owned(),
            Signed::No => "it is not signed".to_owned(),
        };
        return Err(refuse(
            Rule::Lock,
            format!("{now}; the lock file lists other bytes, signed by `{}`", was.name),
            format!("if you want this file, lock it: `kasmina plugins lock {file}`"),
        ));
    }
    if let Some(pinned) = pinned
        && !is_pinned
        && !(swapped && (policy.allow_unsigned || matches!(signed, Signed::By(_))))
    {
        return Err(refuse(
            Rule::Lock,
            format!(
                "it was modified: its sha256 begins with {}, the lock file has {}",
                &manifest.sha256[..12],
                short(pinned)
            ),
            format!(
                "if you changed it, lock it: `kasmina plugins lock {file}`; otherwise get the file again"
            ),
        ));
    }
    match signed {
        Signed::By(key) => trusted(Trust::Signed, Some(key.name), false),
        _ if origin == Origin::Executable || bundled::contains(&manifest.path) => {
            trusted(Trust::Bundled, None, false)
        }
        // Nothing is pinned in a lock file that the user has not confirmed.
        _ if policy.allow_unsigned => {
            let pin = policy.lock().is_some() && lock.is_confirmed() && intent == Intent::Load;
            trusted(if pin { Trust::Pinned } else { Trust::Unsigned }, None, pin)
        }
        _ if is_pinned => Err(unconfirmed(&manifest.path, policy)),
        Signed::Unknown => Err(refuse(
            Rule::Trust,
            "it is signed by a key that is not trusted".to_owned(),
            "`kasmina plugins trust add NAME KEY`, if you know whose key it is".to_owned(),
        )),
        Signed::No => Err(refuse(
            Rule::Trust,
            "it is not trusted: it is neither signed by a trusted key nor pinned in plugins.lock".to_owned(),
            format!(
                "pin these bytes with `kasmina plugins lock {file}`, or with --allow-unsigned at first use"
            ),
        )),
    }
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
