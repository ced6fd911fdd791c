//! `kasmina plugins`.

pub(crate) mod args;
mod catalogue;
mod check;
mod doctor;
mod list;
mod lock;
mod new;
mod output;
mod quarantine;
mod schema;
mod settings;
mod sign;
mod trust;

use crate::failure::Failure;
use args::{PluginsArgs, PluginsVerb};
use kasmina_trainer::control::Request;
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn run(args: &PluginsArgs) -> Result<ExitCode, Failure> {
    let done = ExitCode::SUCCESS;
    match &args.verb {
        PluginsVerb::List { access, json } => list::list(access, *json).map(|()| done),
        PluginsVerb::Inspect { file, access, json } => list::inspect(file, access, *json).map(|()| done),
        PluginsVerb::Catalogue { access } => catalogue::run(access).map(|()| done),
        PluginsVerb::Schema { id, access } => schema::run(id, access).map(|()| done),
        PluginsVerb::Lock { files, access, check } => lock::run(files, access, *check),
        PluginsVerb::Trust(args) => trust::run(args).map(|()| done),
        PluginsVerb::Keygen { name, no_password } => sign::keygen(name, *no_password).map(|()| done),
        PluginsVerb::Sign { file, key } => sign::sign(file, key).map(|()| done),
        PluginsVerb::Quarantine(args) => quarantine::run(args).map(|()| done),
        PluginsVerb::Doctor { access, json } => doctor::run(access, *json),
        PluginsVerb::Swap { run, file } => swap(run, file).map(|()| done),
        PluginsVerb::Check { file, only, seed, access, json } => {
            check::run(file, (only, *seed), access, *json)
        }
        PluginsVerb::New(args) => new::run(args).map(|()| done),
    }
}

/// Requests a swap from a live run. The path is made absolute, because the run reads the file itself and may
/// have another working directory.
fn swap(run: &Path, file: &Path) -> Result<(), Failure> {
    let path = std::path::absolute(file).map_err(Failure::new)?;
    crate::control::send(run, &Request::Swap { path })
}
