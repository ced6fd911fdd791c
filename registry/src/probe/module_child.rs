//! The child's side of trying a TorchScript module as a host.

use super::protocol::{Answer, HostJob};
use crate::error::RegistryError;
use crate::module_file::ModuleFile;
use crate::registry::Registry;
use kasmina_plugin_api::Kind;
use tch::Device;

/// Builds a host of the module. The parent only needs to know whether the process survives; it builds the
/// host again and then finds any error.
pub(super) fn answer(job: &HostJob) -> Answer {
    match build_host(job) {
        Ok(()) => Answer::Fit,
        Err(error) => Answer::Unfit(error.to_string()),
    }
}

fn build_host(job: &HostJob) -> Result<(), RegistryError> {
    let module = ModuleFile::read(&job.host_module.path)?;
    job.host_module.is_still(&module.sha256)?;
    let registry = Registry::built_in()?;
    registry.resolve(Kind::Host, "core::grafted")?.make_host(Device::Cpu, &job.config).map(drop)
}
