//! How large each kind of file may be.

/// The most that is read of one kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What kind of file it is, as `docs/security.md` names it.
    pub kind: &'static str,
    /// The largest size, in bytes.
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
/// Declared blueprints and the sidecars of modules.
pub const DECLARED: Limit = limit("declared blueprint (`*.blueprint.toml`) and sidecar (`*.pt.toml`)", MIB);
/// TorchScript seeds and host modules.
pub const MODULE: Limit = limit("TorchScript module (`*.pt`)", 8 * GIB);
/// Limit of signatures.
pub const SIGNATURE: Limit = limit("signature (`*.minisig`)", 64 * KIB);
/// Limit of keys, public and secret.
pub const KEY: Limit = limit("key (`*.pub`, `*.key`)", 64 * KIB);
/// Limit of lock files.
pub const LOCK: Limit = limit("lock file (`plugins.lock`)", 4 * MIB);
/// The user's own records: quarantine, confirmed projects, bytes that were run, probes, hashes.
pub const STATE: Limit = limit("record in the user's state and cache folders", 64 * MIB);
/// Limit of configurations, scripts and files of thresholds.
pub const CONFIG: Limit = limit("configuration, script, thresholds", 16 * MIB);
/// The journals of a run directory.
pub const JOURNAL: Limit = limit("journal of a run (`*.jsonl`)", 4 * GIB);
/// Texts for the task `chars`, which are read piece by piece and may be larger than the memory.
pub const TEXT: Limit = limit("text of the task `chars`", 64 * GIB);
/// One file of images or labels, unpacked.
pub const IMAGES: Limit = limit("file of images or labels, unpacked", 512 * MIB);

/// Every limit, in the order of `docs/security.md`.
pub const ALL: [Limit; 11] =
    [LIBRARY, DECLARED, MODULE, SIGNATURE, KEY, LOCK, STATE, CONFIG, JOURNAL, TEXT, IMAGES];
