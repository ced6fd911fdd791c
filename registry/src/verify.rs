//! Whether somebody vouches for a file.

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

/// How far a plugin is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trust {
    /// It is part of this program.
    BuiltIn,
    /// It lies beside this program's executable: whoever can write there is this program.
    Bundled,
    /// Signed by a trusted key.
    Signed,
    /// These bytes were decided on, and written into the lock file.
    Pinned,
    /// A run's own copy of bytes that this user has run before.
    Recorded,
    /// A file that is being worked on, named as such for this run.
    Dev,
    /// Nothing vouches for it.
    Unsigned,
}

impl Trust {
    /// Name in listings.
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

/// What a file is let in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// To load it when the program starts.
    Load,
    /// In the place of another build, by whoever owns the run.
    Swap {
        /// It lies where the plugin of its name was loaded from.
        in_place: bool,
    },
}

/// What vouches for a file that is let in.
#[derive(Debug)]
pub(crate) struct Vouched {
    pub(crate) trust: Trust,
    pub(crate) signer: Option<String>,
    /// It is the first use of these bytes, to be written down once they are in.
    pub(crate) pin: bool,
}

/// Whether a file is let in, and who vouches for it: everything that is asked before it is opened. This is
/// the only place that decides so.
pub(crate) fn let_in(
    manifest: &Manifest,
    origin: Origin,
    policy: &Policy,
    lock: &ProjectLock,
    intent: Intent,
) -> Result<Vouched, Refusal> {
    let exposed = exposed(manifest, origin, policy);
    if let Some(exposed) = exposed.as_ref().filter(|exposed| !exposed.is_foreign()) {
        return Err(exposed.refusal(&manifest.path));
    }
    let vouched = vouched(manifest, origin, policy, lock, intent)?;
    // Another user's file may be exchanged by that user at any time, so somebody must vouch for its bytes.
    if let Some(exposed) = exposed
        && !vouched.is_for_bytes()
    {
        return Err(exposed.refusal(&manifest.path));
    }
    check::compatible(manifest)?;
    Ok(vouched)
}

/// Refuses a file that somebody else could have put in the place of what the user means.
///
/// # Errors
/// Who can write which part of its path.
pub fn refuse_others(manifest: &Manifest, policy: &Policy) -> Result<(), Refusal> {
    exposed(manifest, Origin::Named, policy).map_or(Ok(()), |exposed| Err(exposed.refusal(&manifest.path)))
}

/// Who else can change a file, or the text beside it that says what it is.
pub(crate) fn exposed(manifest: &Manifest, origin: Origin, policy: &Policy) -> Option<Exposed> {
    let owners = policy.owners(&manifest.path, origin);
    let sidecar = manifest.is_module().then(|| declared::sidecar(&manifest.path));
    let files = std::iter::once(&manifest.path).chain(&sidecar);
    let mut exposed = files.filter_map(|file| owners.check(file).err()).collect::<Vec<_>>();
    // What cannot be mended by a word is told first.
    exposed.sort_by_key(Exposed::is_foreign);
    exposed.into_iter().next()
}

impl Vouched {
    /// Whether the word is about these very bytes, and not about the place that they lie in.
    fn is_for_bytes(&self) -> bool {
        matches!(self.trust, Trust::Signed | Trust::Pinned | Trust::Recorded) && !self.pin
    }
}

/// Asks lock file, signature and policy, in this order.
fn vouched(
    manifest: &Manifest,
    origin: Origin,
    policy: &Policy,
    lock: &ProjectLock,
    intent: Intent,
) -> Result<Vouched, Refusal> {
    let vouched = |trust, signer, pin| Ok(Vouched { trust, signer, pin });
    let refuse =
        |rule, found: String, remedy: String| Refusal { path: manifest.path.clone(), rule, found, remedy };
    let signed = policy.keys.as_ref().map_or(Ok(Signed::No), |keys| keys.signed(manifest))?;
    let locked = lock.lock().find(&manifest.plugin.name);
    let pinned = locked.and_then(|locked| locked.sha256.get(&manifest.plugin.target));
    let is_pinned = pinned == Some(&manifest.sha256);
    if is_pinned {
        match signed {
            Signed::By(key) => return vouched(Trust::Signed, Some(key.name), false),
            Signed::No | Signed::Unknown if lock.counts() => return vouched(Trust::Pinned, None, false),
            Signed::No | Signed::Unknown => {}
        }
    }
    let swapped = matches!(intent, Intent::Swap { .. });
    if policy.is_watched(&manifest.path)
        || (policy.watching_loaded && intent == (Intent::Swap { in_place: true }))
    {
        return vouched(Trust::Dev, None, false);
    }
    let file = quoted(&manifest.path);
    let stored = policy.is_stored(&manifest.path);
    if stored && policy.vouches_for(&manifest.sha256) {
        return vouched(Trust::Recorded, None, false);
    }
    if stored && !matches!(signed, Signed::By(_)) {
        return Err(refuse(
            Rule::Trust,
            "it is a run's copy of a plugin, and you have not run these bytes before: a run directory vouches for \
             nothing"
                .to_owned(),
            "if you know where the run directory comes from: --trust-run".to_owned(),
        ));
    }
    if let Some(was) = locked.and_then(|locked| locked.signer.as_ref()).filter(|_| !is_pinned) {
        // What was signed once must be signed again, by the same key: also on a target that was never locked.
        let now = match &signed {
            Signed::By(now) if now.key == was.key && (pinned.is_none() || swapped) => {
                return vouched(Trust::Signed, Some(now.name.clone()), false);
            }
            Signed::By(now) if now.key == was.key => "its bytes are not those that are locked".to_owned(),
            Signed::By(now) => format!("it is signed by another key, `{}`", now.name),
            Signed::Unknown => "it is signed by a key that is not trusted".to_owned(),
            Signed::No => "it is not signed".to_owned(),
        };
        return Err(refuse(
            Rule::Lock,
            format!("{now}; the lock file has it as signed by `{}`, with other bytes", was.name),
            format!("if that is what you want, decide it: `kasmina plugins lock {file}`"),
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
                "if you changed it, decide it: `kasmina plugins lock {file}`; otherwise get the file again"
            ),
        ));
    }
    match signed {
        Signed::By(key) => vouched(Trust::Signed, Some(key.name), false),
        _ if origin == Origin::Executable || bundled::contains(&manifest.path) => {
            vouched(Trust::Bundled, None, false)
        }
        // A lock file that the user has not said yes to is not added to.
        _ if policy.allow_unsigned => {
            let pin = policy.lock().is_some() && lock.counts() && intent == Intent::Load;
            vouched(if pin { Trust::Pinned } else { Trust::Unsigned }, None, pin)
        }
        _ if is_pinned => Err(unconfirmed(&manifest.path, policy)),
        Signed::Unknown => Err(refuse(
            Rule::Trust,
            "it is signed by a key that is not trusted".to_owned(),
            "`kasmina plugins trust add NAME KEY`, if you know whose key it is".to_owned(),
        )),
        Signed::No => Err(refuse(
            Rule::Trust,
            "nobody vouches for it: it is neither signed by a trusted key nor in plugins.lock".to_owned(),
            format!(
                "pin these bytes with `kasmina plugins lock {file}`, or with --allow-unsigned at first use"
            ),
        )),
    }
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
