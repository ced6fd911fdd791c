//! The software and hardware that affect the bits of a run's results.

use serde::{Deserialize, Serialize};

/// The software and hardware that affect the bits of a run's results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Environment {
    /// Version of Kasmina.
    pub(crate) program: String,
    /// Version of libtorch.
    pub(crate) torch: String,
    /// Model name of the CPU.
    pub(crate) cpu: String,
    /// Vector instructions that torch uses.
    pub(crate) cpu_capability: String,
    /// Number of CPU threads of libtorch.
    pub(crate) threads: u32,
    /// Description of the GPU and its libraries; `None` on the CPU.
    pub(crate) gpu: Option<String>,
}

impl Environment {
    /// Returns the environment of this process, for a run on `device` with `threads` CPU threads.
    pub(crate) fn now(device: tch::Device, threads: u32) -> Self {
        Self {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            torch: kasmina_plugin_api::TORCH_VERSION.to_owned(),
            cpu: kasmina_torch_ext::cpu_name(),
            cpu_capability: kasmina_torch_ext::cpu_capability(),
            threads,
            gpu: device.is_cuda().then(|| kasmina_torch_ext::describe_gpu(device)),
        }
    }

    /// Returns the differences from an earlier environment, as clauses of a message.
    pub(crate) fn changes_since(&self, then: &Self) -> Vec<String> {
        let none = "none".to_owned();
        [
            ("Kasmina", &then.program, &self.program),
            ("torch", &then.torch, &self.torch),
            ("CPU", &then.cpu, &self.cpu),
            ("CPU capability", &then.cpu_capability, &self.cpu_capability),
            ("CPU threads", &then.threads.to_string(), &self.threads.to_string()),
            ("GPU", then.gpu.as_ref().unwrap_or(&none), self.gpu.as_ref().unwrap_or(&none)),
        ]
        .into_iter()
        .filter(|(_, then, now)| then != now)
        .map(|(what, then, now)| format!("{what} was {then}, it is {now}"))
        .collect()
    }
}
