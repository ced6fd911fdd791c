//! The settings (device, batch, precision) in which training steps are compared.

use anyhow::{Result, bail};
use kasmina::model::Precision;
use kasmina_torch_ext::cuda;
use tch::{Cuda, Device};

/// One setting in which steps are compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) device: Device,
    pub(crate) batch: i64,
    pub(crate) precision: Precision,
}

impl Setting {
    /// Name of the setting in the rows of a report.
    pub(crate) fn name(&self) -> String {
        let device = if self.device.is_cuda() { "cuda" } else { "cpu" };
        format!("{device} b{} {}", self.batch, self.precision.as_str())
    }
}

/// The settings for a device: `cpu`, `cuda` or `auto`.
pub(crate) fn settings(device: &str) -> Result<Vec<Setting>> {
    let gpu = cuda::open().is_ok() && Cuda::is_available();
    let setting = |device, batch, precision| Setting { device, batch, precision };
    let cpu = [setting(Device::Cpu, 32, Precision::Fp32)];
    let cuda =
        [(128, Precision::Fp32), (512, Precision::Fp32), (128, Precision::Bf16), (512, Precision::Bf16)]
            .map(|(batch, precision)| setting(Device::Cuda(0), batch, precision));
    Ok(match device {
        "cuda" if gpu => cuda.to_vec(),
        "cuda" => bail!("torch sees no GPU"),
        "auto" if gpu => cpu.into_iter().chain(cuda).collect(),
        "cpu" | "auto" => cpu.to_vec(),
        other => bail!("unknown device `{other}`: use cpu, cuda or auto"),
    })
}
