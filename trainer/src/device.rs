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

/// Returns the number of GPUs that torch sees.
pub fn gpus() -> usize {
    if cuda::open().is_ok() { usize::try_from(Cuda::device_count()).unwrap_or(0) } else { 0 }
}

/// Returns the device of a rank: `cpu`, or the GPU of its number among the ranks of its machine.
///
/// # Errors
/// If there is no such device, the machine has fewer GPUs than ranks, or a GPU is named by its number.
pub fn of_rank(name: &str, local_rank: usize, local_size: usize) -> Result<String, TrainError> {
    let missing = |reason: String| TrainError::Device { device: name.to_owned(), reason };
    if let Some(number) = name.strip_prefix("cuda:").filter(|_| local_size > 1) {
        return Err(missing(format!(
            "each of the {local_size} ranks of this machine needs a GPU of its own, not GPU {number}: name the device `cuda`"
        )));
    }
    let Device::Cuda(_) = resolve(name)? else { return Ok("cpu".to_owned()) };
    let count = gpus();
    if count < local_size {
        return Err(missing(format!("this machine has {local_size} ranks, and torch sees {count} GPUs")));
    }
    Ok(self::name(Device::Cuda(local_rank)))
}

/// Returns the name of a device without the number of a GPU.
pub(crate) fn kind(name: &str) -> &str {
    name.split_once(':').map_or(name, |(kind, _)| kind)
}

/// Returns the name of a device, as [`resolve`] reads it.
pub(crate) fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kind_of_a_device_has_no_number() {
        assert_eq!(["cuda:1", "cuda", "cpu", "auto"].map(super::kind), ["cuda", "cuda", "cpu", "auto"]);
    }
}
