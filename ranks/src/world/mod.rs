//! Which ranks there are, from the environment that a launcher has set.

mod description;
mod error;
mod slurm;
mod torchrun;
mod variables;

pub use description::{Launcher, Rendezvous, StoreServer, World};
pub use error::WorldError;

use variables::Variables;

impl World {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// If a launcher has set some of its variables but not all, or to values that contradict each other.
    pub fn from_environment() -> Result<Self, WorldError> {
        Self::from_variables(&|name| std::env::var(name).ok())
    }

    /// Reads variables by name. `torchrun` inside of a Slurm job counts as torchrun.
    ///
    /// # Errors
    /// As [`from_environment`](Self::from_environment).
    pub fn from_variables(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, WorldError> {
        let world = if get(torchrun::RANK).is_some() {
            torchrun::world(&Variables::new("torchrun", get))?
        } else if get(slurm::STEP).is_some() && get(slurm::RANK).is_some() {
            slurm::world(&Variables::new("srun", get))?
        } else {
            return Ok(Self::single());
        };
        Ok(if world.size == 1 { Self { rendezvous: None, ..world } } else { world })
    }

    /// Returns the names of the variables that make a process a rank of a run.
    pub fn variables() -> impl Iterator<Item = &'static str> {
        [torchrun::RANK, slurm::RANK].into_iter()
    }

    /// Returns the variables, as torchrun sets them, of a rank on this machine, whose launcher serves the
    /// store at `port`.
    pub fn variables_of_rank(
        rank: usize,
        size: usize,
        port: u16,
        restarts: u32,
    ) -> Vec<(&'static str, String)> {
        torchrun::variables(rank, size, port, restarts)
    }

    /// Returns a world of one rank.
    pub const fn single() -> Self {
        Self {
            launcher: Launcher::None,
            rank: 0,
            size: 1,
            local_rank: 0,
            local_size: 1,
            restarts: 0,
            rendezvous: None,
        }
    }

    /// Whether this rank prints and writes files.
    pub const fn is_first(&self) -> bool {
        self.rank == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn world(pairs: &[(&str, &str)]) -> Result<World, WorldError> {
        let map: HashMap<String, String> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        World::from_variables(&|name| map.get(name).cloned())
    }

    const TORCHRUN: [(&str, &str); 9] = [
        ("RANK", "5"),
        ("WORLD_SIZE", "8"),
        ("LOCAL_RANK", "1"),
        ("LOCAL_WORLD_SIZE", "4"),
        ("MASTER_ADDR", "node7"),
        ("MASTER_PORT", "29500"),
        ("TORCHELASTIC_RUN_ID", "job"),
        ("TORCHELASTIC_RESTART_COUNT", "2"),
        ("TORCHELASTIC_USE_AGENT_STORE", "True"),
    ];

    const SLURM: [(&str, &str); 8] = [
        ("SLURM_STEP_ID", "0"),
        ("SLURM_PROCID", "5"),
        ("SLURM_STEP_NUM_TASKS", "7"),
        ("SLURM_LOCALID", "2"),
        ("SLURM_NODEID", "1"),
        ("SLURM_STEP_TASKS_PER_NODE", "3(x2),1"),
        ("SLURM_STEP_NODELIST", "gpu[07-09]"),
        ("SLURM_JOB_ID", "1234567"),
    ];

    #[test]
    fn without_a_launcher_there_is_one_rank() {
        assert_eq!(world(&[]), Ok(World::single()));
        // A batch script of Slurm runs before any `srun`.
        assert_eq!(
            world(&[("SLURM_JOB_ID", "7"), ("SLURM_STEP_NUM_TASKS", "4"), ("SLURM_PROCID", "0")]),
            Ok(World::single())
        );
    }

    #[test]
    fn torchrun_describes_the_world() {
        let found = world(&TORCHRUN).unwrap();
        assert_eq!((found.rank, found.size, found.local_rank, found.local_size), (5, 8, 1, 4));
        let meet = found.rendezvous.unwrap();
        assert_eq!((meet.host.as_str(), meet.port, meet.serves), ("node7", 29500, false));
        assert_eq!((meet.prefix.as_str(), found.restarts), ("kasmina/job/2", 2));
        // Without a store of its agent, rank 0 serves.
        let alone = |rank| {
            let mut pairs: Vec<_> = TORCHRUN[..7].to_vec();
            pairs[0] = ("RANK", rank);
            pairs[2] = ("LOCAL_RANK", "0");
            world(&pairs).unwrap().rendezvous.unwrap().serves
        };
        assert!(alone("0") && !alone("4"));
    }

    #[test]
    fn slurm_describes_the_world() {
        let found = world(&SLURM).unwrap();
        assert_eq!((found.rank, found.size, found.local_rank, found.local_size), (5, 7, 2, 3));
        let meet = found.rendezvous.unwrap();
        assert_eq!((meet.host.as_str(), meet.port, meet.serves), ("gpu07", 19567, false));
        assert_eq!(meet.prefix, "kasmina/1234567.0/0");
        let mut first = SLURM.to_vec();
        first[1] = ("SLURM_PROCID", "0");
        first[3] = ("SLURM_LOCALID", "0");
        first[4] = ("SLURM_NODEID", "0");
        assert!(world(&first).unwrap().rendezvous.unwrap().serves);
    }

    #[test]
    fn one_rank_meets_nobody() {
        let one = [("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1")];
        let mut pairs = one.to_vec();
        pairs.extend([("MASTER_ADDR", "localhost"), ("MASTER_PORT", "29500")]);
        let found = world(&pairs).unwrap();
        assert_eq!((found.launcher, found.rendezvous), (Launcher::Torchrun, None));
    }

    #[test]
    fn contradictions_are_named() {
        let with = |name: &'static str, value: &'static str| {
            let pairs: Vec<_> =
                TORCHRUN.iter().map(|(n, v)| if *n == name { (name, value) } else { (*n, *v) }).collect();
            world(&pairs).unwrap_err().to_string()
        };
        assert_eq!(with("RANK", "8"), "RANK is `8`: it must be less than WORLD_SIZE, which is 8");
        assert_eq!(with("RANK", "-1"), "RANK is `-1`: it is not a number from 0");
        assert_eq!(with("WORLD_SIZE", "0"), "WORLD_SIZE is `0`: there must be at least one rank");
        assert_eq!(
            with("LOCAL_RANK", "4"),
            "LOCAL_RANK is `4`: it must be less than LOCAL_WORLD_SIZE, which is 4"
        );
        assert_eq!(
            with("LOCAL_WORLD_SIZE", "9"),
            "LOCAL_WORLD_SIZE is `9`: it is more than WORLD_SIZE, which is 8"
        );
        assert_eq!(with("MASTER_PORT", "99999"), "MASTER_PORT is `99999`: it is not a TCP port");
        assert_eq!(with("MASTER_ADDR", ""), "MASTER_ADDR is ``: it names no host");
        assert_eq!(world(&TORCHRUN[..3]).unwrap_err().to_string(), "torchrun has not set LOCAL_WORLD_SIZE");
        assert_eq!(world(&SLURM[..3]).unwrap_err().to_string(), "srun has not set SLURM_LOCALID");
    }

    proptest! {
        /// Whatever the variables contain, the result is a world in which this rank exists, or one error.
        #[test]
        fn any_environment_is_a_world_or_an_error(values in prop::collection::vec("\\PC{0,12}|[0-9]{1,5}|[a-z0-9\\[\\],()x-]{0,16}", 17)) {
            let names = TORCHRUN.iter().chain(&SLURM).map(|(name, _)| *name);
            let pairs: Vec<(&str, &str)> = names.zip(values.iter().map(String::as_str)).collect();
            for part in [&pairs[..], &pairs[9..]] {
                if let Ok(found) = world(part) {
                    prop_assert!(found.rank < found.size && found.local_rank < found.local_size);
                    prop_assert!(found.local_size <= found.size);
                    prop_assert_eq!(found.rendezvous.is_some(), found.size > 1);
                }
            }
        }
    }
}
