//! The ranks of a run, and where they meet.

/// The program that has started the ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launcher {
    /// None: there is one rank.
    None,
    /// `torchrun`, or a program that sets the same variables, such as `kasmina launch`.
    Torchrun,
    /// `srun` of Slurm.
    Slurm,
}

/// The process that serves the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreServer {
    /// The program that has started the ranks.
    Launcher,
    /// Rank 0.
    FirstRank,
}

/// Where the ranks meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendezvous {
    /// Host name or address of the store.
    pub host: String,
    /// TCP port of the store.
    pub port: u16,
    /// The process that serves the store.
    pub server: StoreServer,
    /// Whether this rank does.
    pub serves: bool,
    /// Text that begins every key of this start of the run, so that an earlier start leaves nothing behind.
    pub prefix: String,
}

/// The ranks of a run, and which one this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// The program that has started the ranks.
    pub launcher: Launcher,
    /// Number of this rank, from 0. It may change when a launcher starts the ranks again.
    pub rank: usize,
    /// Number of ranks.
    pub size: usize,
    /// Number of this rank among those of its machine, from 0. It chooses the GPU.
    pub local_rank: usize,
    /// Number of ranks of this machine.
    pub local_size: usize,
    /// How often the launcher has started the ranks again.
    pub restarts: u32,
    /// Where the ranks meet; `None` if there is one rank.
    pub rendezvous: Option<Rendezvous>,
}
