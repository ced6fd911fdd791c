//! Whether somebody vouches for a file.

use crate::error::{Refusal, RegistryError, Rule};
use crate::keys::Signed;
use crate::lock::Lock;
use crate::manifest::Manifest;
use crate::policy::Policy;
use crate::search::{Origin, beside};
use serde::{Deserialize, Serialize};

/// How far a plugin is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trust {
    /// Part of this program.
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
    /// Nobody vouches for it.
    Unsigned,
}

impl Trust {
    /// The word in listings.
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
    /// At the start.
    Load,
    /// In the place of another build, by whoever owns the run.
    Swap {
        /// It lies where the plugin of its name was loaded from.
        in_place: bool,
    },
}

/// Somebody vouches for it.
#[derive(Debug)]
pub(crate) struct Vouched {
    pub(crate) trust: Trust,
    pub(crate) signer: Option<String>,
    /// It is the first use of these bytes, to be written down once they are in.
    pub(crate) pin: bool,
}

/// Asks lock file, signature and policy, in this order.
pub(crate) fn vouched(
    manifest: &Manifest,
    origin: Origin,
    policy: &Policy,
    lock: &Lock,
    intent: Intent,
) -> Result<Vouched, Refusal> {
    let vouched = |trust, signer, pin| Ok(Vouched { trust, signer, pin });
    let refuse =
        |rule, found: String, remedy: String| Refusal { path: manifest.path.clone(), rule, found, remedy };
    let signed = policy.keys.as_ref().map_or(Ok(Signed::No), |keys| keys.signed(manifest))?;
    let locked = lock.find(&manifest.plugin.name);
    let pinned = locked.and_then(|locked| locked.sha256.get(&manifest.plugin.target));
    if pinned == Some(&manifest.sha256) {
        return match signed {
            Signed::By(key) => vouched(Trust::Signed, Some(key.name), false),
            Signed::No | Signed::Unknown => vouched(Trust::Pinned, None, false),
        };
    }
    let swapped = matches!(intent, Intent::Swap { .. });
    if policy.is_watched(&manifest.path)
        || (policy.watching_loaded && intent == (Intent::Swap { in_place: true }))
    {
        return vouched(Trust::Dev, None, false);
    }
    let file = manifest.path.display();
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
    if let Some(was) = locked.and_then(|locked| locked.signer.as_ref()) {
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
        _ if origin == Origin::Executable || beside(&manifest.path) => vouched(Trust::Bundled, None, false),
        _ if policy.allow_unsigned => {
            let pin = policy.lock.is_some() && intent == Intent::Load;
            vouched(if pin { Trust::Pinned } else { Trust::Unsigned }, None, pin)
        }
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

/// The lock file that a policy names.
pub(crate) fn lock_of(policy: &Policy) -> Result<Lock, RegistryError> {
    policy.lock.as_deref().map_or_else(|| Ok(Lock::default()), Lock::read)
}
