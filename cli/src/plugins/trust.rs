//! `kasmina plugins trust`.

use super::args::{TrustArgs, TrustVerb};
use crate::failure::Failure;
use crate::table;
use crate::terminal;
use kasmina_files::{limit, read_text};
use kasmina_registry::Policy;
use kasmina_registry::keys::Keys;
use kasmina_registry::lock::{LOCK_FILE, Lock};
use kasmina_registry::projects::TRUSTED_PROJECTS;
use std::path::Path;

pub(crate) fn run(args: &TrustArgs) -> Result<(), Failure> {
    if let TrustVerb::Project { lock, yes, forget, list } = &args.verb {
        return project(lock.as_deref(), *yes, *forget, *list);
    }
    let keys = Keys::of_user().ok_or_else(|| {
        Failure::new("there is no folder for trusted keys").with_help("set HOME, or XDG_CONFIG_HOME")
    })?;
    match &args.verb {
        TrustVerb::Add { name, key } => {
            let text = match read_text(Path::new(key), limit::KEY) {
                Ok(text) => text,
                Err(_) => key.clone(),
            };
            let added = keys.add(name, &text)?;
            outln!("`{}` is trusted from now on: {}", added.name, added.key);
            outln!(
                "Compare that key with the one that its owner publishes. Plugins signed by it run as you."
            );
        }
        TrustVerb::List { json: true } => terminal::out_json(&keys.list()?)?,
        TrustVerb::List { json: false } => {
            let all = keys.list()?;
            if all.is_empty() {
                outln!("no keys are trusted");
                return Ok(());
            }
            let mut rows = table::table(&["NAME", "KEY"], &[]);
            for key in all {
                rows.add_row([key.name, key.key]);
            }
            table::print(&rows);
        }
        TrustVerb::Remove { name } => {
            let removed = keys.remove(name)?;
            outln!("`{}` is no longer trusted: {}", removed.name, removed.key);
        }
        TrustVerb::Project { .. } => {}
    }
    Ok(())
}

/// Confirms the lock file of a project, withdraws the confirmation, or lists the confirmed lock files.
fn project(lock: Option<&Path>, yes: bool, forget: bool, list: bool) -> Result<(), Failure> {
    let path = lock.unwrap_or(Path::new(LOCK_FILE));
    let policy = Policy::standard().with_lock(path).asking_for_lock();
    let shown = path.display();
    if list {
        let all = policy.confirmed_locks()?;
        if all.is_empty() {
            outln!("no lock file is confirmed");
        }
        for confirmed in all {
            outln!("{} {}", confirmed.sha256.get(..12).unwrap_or_default(), confirmed.path.display());
        }
        return Ok(());
    }
    if forget {
        let known = policy.forget_lock()?;
        outln!("{shown} {}", if known { "is no longer confirmed" } else { "was not confirmed" });
        return Ok(());
    }
    let (lock, sha256) = Lock::read_with_hash(path)?;
    let Some(sha256) = sha256 else {
        return Err(Failure::new(format!("there is no lock file {shown}")).with_help(
            "`kasmina plugins lock` writes one in the working directory; --lock FILE names another",
        ));
    };
    let mut rows = table::table(&["PLUGIN", "VERSION", "SHA256", "SIGNED BY"], &[]);
    for plugin in lock.plugins() {
        let signer = plugin.signer.as_ref().map_or("-", |key| key.name.as_str());
        for hash in plugin.sha256.values() {
            let build = hash.get(..12).unwrap_or(hash);
            rows.add_row([plugin.name.as_str(), plugin.version.as_str(), build, signer]);
        }
    }
    for module in lock.modules() {
        rows.add_row([module.name.as_str(), "-", module.sha256.get(..12).unwrap_or(&module.sha256), "-"]);
    }
    table::print(&rows);
    if policy.confirms_lock(&sha256)? {
        outln!("{shown} is confirmed already");
        return Ok(());
    }
    if !yes && !terminal::can_ask() {
        return Err(Failure::new(format!("{shown} is not confirmed, and there is no terminal to ask on"))
            .with_help(format!(
                "read it and pass --yes; in a CI job set {TRUSTED_PROJECTS} to the project's folder instead"
            )));
    }
    if !yes && !terminal::confirm(&format!("May these builds of {shown} run as you?")) {
        return Err(Failure::new("nothing was confirmed"));
    }
    policy.confirm_lock(&sha256)?;
    outln!("{shown} is confirmed; when its text changes you are asked again");
    Ok(())
}
