//! Descriptions of the CPU and GPU that torch runs on, for reports.

use crate::ffi;
use std::ffi::CStr;
use tch::Device;

/// Returns the model name of this machine's CPU as Linux reports it, or `unknown`.
pub fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

/// Returns the vector instructions that torch's CPU kernels use: `AVX2`, `AVX512` or `DEFAULT`.
pub fn cpu_capability() -> String {
    // SAFETY: the pointer is to a NUL-terminated string that is never freed.
    unsafe { CStr::from_ptr(ffi::kte_cpu_capability()) }.to_string_lossy().into_owned()
}

/// Returns a description of a GPU for people: its model and the versions of the CUDA runtime and cuDNN;
/// `none` for a CPU.
pub fn describe_gpu(device: Device) -> String {
    let Device::Cuda(index) = device else { return "none".to_owned() };
    let (mut runtime, mut cudnn) = (0, 0);
    // SAFETY: both output pointers are valid.
    let result = ffi::check(unsafe { ffi::kte_cuda_versions(&raw mut runtime, &raw mut cudnn) });
    let versions = result.map_or_else(|_| String::new(), |()| format!(", CUDA {runtime}, cuDNN {cudnn}"));
    format!("{}{versions}", model(index).unwrap_or_else(|| "GPU".to_owned()))
}

/// Returns the model name of a GPU as NVIDIA's driver reports it.
fn model(index: usize) -> Option<String> {
    let mut cards: Vec<_> =
        std::fs::read_dir("/proc/driver/nvidia/gpus").ok()?.flatten().map(|e| e.path()).collect();
    cards.sort();
    let text = std::fs::read_to_string(cards.get(index)?.join("information")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Model:"))?;
    Some(line.trim().to_owned())
}
