//! Who is trusted: owners, the lock file and who has confirmed it, signatures, modules, and what every file
//! may cost.

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
