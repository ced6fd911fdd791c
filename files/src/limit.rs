//! Maximum sizes of all kinds of files.

/// Maximum size of one kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Kind of file, as in the table of `docs/security.md`.
    pub kind: &'static str,
    /// Maximum size in bytes.
    pub bytes: u64,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const fn limit(kind: &'static str, bytes: u64) -> Limit {
    Limit { kind, bytes }
}

/// Limit of plugin libraries.
pub const LIBRARY: Limit = limit("plugin library (`*.so`)", GIB);
/// Limit of declared blueprints and of sidecars of TorchScript modules.
pub const DECLARED: Limit = limit("declared blueprint (`*.blueprint.toml`) and sidecar (`*.pt.toml`)", MIB);
/// Limit of TorchScript seeds and host modules.
pub const MODULE: Limit = limit("TorchScript module (`*.pt`)", 8 * GIB);
/// Limit of signatures.
pub const SIGNATURE: Limit = limit("signature (`*.minisig`)", 64 * KIB);
/// Limit of keys, public and secret.
pub const KEY: Limit = limit("key (`*.pub`, `*.key`)", 64 * KIB);
/// Limit of lock files.
pub const LOCK: Limit = limit("lock file (`plugins.lock`)", 4 * MIB);
/// Limit of Kasmina's own records in the user's state and cache folders: quarantine, confirmed projects,
/// hashes of files that were run, results of probes.
pub const STATE: Limit = limit("record in the user's state and cache folders", 64 * MIB);
/// Limit of configurations, scripts and files of thresholds.
pub const CONFIG: Limit = limit("configuration, script, thresholds", 16 * MIB);
/// Limit of the journals of a run directory.
pub const JOURNAL: Limit = limit("journal of a run (`*.jsonl`)", 4 * GIB);
/// Limit of texts for the task `chars`. They are read in pieces and may be larger than memory.
pub const TEXT: Limit = limit("text of the task `chars`", 64 * GIB);
/// Limit of one file of images or labels, unpacked.
pub const IMAGES: Limit = limit("file of images or labels, unpacked", 512 * MIB);
/// Limit of one picture that `kasmina predict` reads.
pub const PICTURE: Limit = limit("picture to predict", 256 * MIB);
/// Limit of the weights of an exported network.
pub const WEIGHTS: Limit = limit("weights of an export (`*.safetensors`)", 64 * GIB);

/// All limits, in the order of `docs/security.md`.
pub const ALL: [Limit; 13] =
    [LIBRARY, DECLARED, MODULE, SIGNATURE, KEY, LOCK, STATE, CONFIG, JOURNAL, TEXT, IMAGES, PICTURE, WEIGHTS];
