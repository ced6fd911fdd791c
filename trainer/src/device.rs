//! Devices by their names in a configuration.

use crate::error::TrainError;
use kasmina_torch_ext::cuda;
use tch::{Cuda, Device};

/// Returns the device named `auto`, `cpu`, `cuda` or `cuda:N`. `auto` is the first GPU if there is one,
/// otherwise the CPU.
///
/// # Errors
/// If there is no such device.
pub fn resolve(name: &str) -> Result<Device, TrainError> {
    match name {
        "cpu" => Ok(Device::Cpu),
        "auto" => {
            Ok(if cuda::open().is_ok() && Cuda::is_available() { Device::Cuda(0) } else { Device::Cpu })
        }
        _ => {
            let index = match name.strip_prefix("cuda") {
                Some("") => Some(0),
                Some(rest) => rest.strip_prefix(':').and_then(|n| n.parse::<usize>().ok()),
                None => None,
            };
            let index = index.ok_or_else(|| TrainError::Unknown {
                what: "device",
                name: name.to_owned(),
                known: ["auto", "cpu", "cuda:N"].map(str::to_owned).to_vec(),
            })?;
            let missing = |reason: String| TrainError::Device { device: name.to_owned(), reason };
            cuda::open().map_err(|e| missing(e.to_string()))?;
            let count = Cuda::device_count().max(0) as usize;
            if index >= count {
                return Err(missing(format!("torch sees {count} CUDA devices")));
            }
            Ok(Device::Cuda(index))
        }
    }
}

/// Returns the name of a device, as [`resolve`] reads it.
pub(crate) fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}
