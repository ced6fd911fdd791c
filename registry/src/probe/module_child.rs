//! The child's side of trying a TorchScript module as a host.

use super::protocol::{Answer, HostJob};
use crate::error::RegistryError;
use crate::module_file::ModuleFile;
use crate::registry::Registry;
use kasmina_plugin_api::Kind;
use tch::Device;

/// Builds a host of the module. Whether it can be built is found again by the parent; here only the process
/// counts.
pub(super) fn answer(job: &HostJob) -> Answer {
    match make(job) {
        Ok(()) => Answer::Fit,
        Err(error) => Answer::Unfit(error.to_string()),
    }
}

fn make(job: &HostJob) -> Result<(), RegistryError> {
    let module = ModuleFile::read(&job.host_module.path)?;
    job.host_module.is_still(&module.sha256)?;
    let registry = Registry::built_in()?;
    registry.resolve(Kind::Host, "core::grafted")?.make_host(Device::Cpu, &job.config).map(drop)
}
