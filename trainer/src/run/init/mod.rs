//! Filling the host with weights that exist.

mod file;
mod names;
mod report;

use crate::config::InitConfig;
use crate::error::TrainError;
pub use file::NamedWeights;
pub(super) use file::weights_file;
use kasmina::MorphogeneticModel;
use report::Report;

/// Fills the host with the configured weights, by name. Does nothing if there are none.
///
/// # Errors
/// If the weights cannot be read, or do not fit the host and `allow_partial` is not set.
pub(super) fn fill_host(model: &MorphogeneticModel, config: &InitConfig) -> Result<(), TrainError> {
    let Some(path) = &config.from else { return Ok(()) };
    let mut given = NamedWeights::read(path, config.names)?;
    let (mut report, mut pairs) = (Report::default(), Vec::new());
    for variable in model.host_variables()? {
        let Some((name, tensor)) = given.take(&variable.name)? else {
            report.missing.push(variable.name);
            continue;
        };
        let (found, wanted) = (tensor.size(), variable.tensor.size());
        if found == wanted {
            pairs.push((variable.tensor, tensor));
        } else {
            report.reshaped.push(format!("{name}: {found:?}, the host needs {wanted:?}"));
        }
    }
    report.unexpected = given.rest();
    let host = model.host().full_name();
    if pairs.is_empty() || !(report.is_empty() || config.allow_partial) {
        return Err(TrainError::Init { path: path.clone(), host, report: report.to_string() });
    }
    let _no_grad = tch::no_grad_guard();
    for (mut to, from) in pairs {
        to.f_copy_(&from)?;
    }
    if !report.is_empty() {
        tracing::warn!("initial weights {} fill a part of host `{host}`:{report}", path.display());
    }
    Ok(())
}
