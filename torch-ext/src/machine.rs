//! What torch runs on.

use crate::ffi;
use std::ffi::CStr;
use tch::Device;

/// The name of this machine's CPU, as the system tells it.
pub fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

/// The vector instructions that torch's CPU kernels use: `AVX2`, `AVX512`, `DEFAULT`.
pub fn cpu_capability() -> String {
    // SAFETY: a NUL-terminated text that is never freed.
    unsafe { CStr::from_ptr(ffi::kte_cpu_capability()) }.to_string_lossy().into_owned()
}

/// A GPU by its model, with the versions of CUDA's runtime and of cuDNN; for people.
pub fn describe_gpu(device: Device) -> String {
    let Device::Cuda(index) = device else { return "none".to_owned() };
    let (mut runtime, mut cudnn) = (0, 0);
    // SAFETY: both places are valid.
    let known = ffi::check(unsafe { ffi::kte_cuda_versions(&raw mut runtime, &raw mut cudnn) });
    let versions = known.map_or_else(|_| String::new(), |()| format!(", CUDA {runtime}, cuDNN {cudnn}"));
    format!("{}{versions}", model(index).unwrap_or_else(|| "GPU".to_owned()))
}

/// The model's name as the driver tells it.
fn model(index: usize) -> Option<String> {
    let mut cards: Vec<_> =
        std::fs::read_dir("/proc/driver/nvidia/gpus").ok()?.flatten().map(|e| e.path()).collect();
    cards.sort();
    let text = std::fs::read_to_string(cards.get(index)?.join("information")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Model:"))?;
    Some(line.trim().to_owned())
}
