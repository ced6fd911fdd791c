//! Trust in plugins and modules: owners and permissions of files, the lock file and its confirmation,
//! signatures, TorchScript code, and limits.

mod copies;
mod decisions;
mod libraries;
mod limits;
mod matrix;
mod modules;
mod owners;
mod project;
mod projects;
mod replaced;
mod scene;
mod terminal;
