//! The variables of `srun` (its manual page, "OUTPUT ENVIRONMENT VARIABLES").

use super::variables::{Numbers, Variables, wrong};

use super::description::{Launcher, Rendezvous, StoreServer, World};
use super::error::WorldError;

/// Number of this rank.
pub(super) const RANK: &str = "SLURM_PROCID";
/// Number of the job step. `srun` sets it, but a batch script runs without it.
pub(super) const STEP: &str = "SLURM_STEP_ID";
const NUMBERS: Numbers = Numbers { rank: RANK, size: "SLURM_STEP_NUM_TASKS", local_rank: "SLURM_LOCALID" };
const NODE: &str = "SLURM_NODEID";
const TASKS_PER_NODE: &str = "SLURM_STEP_TASKS_PER_NODE";
const NODES: &str = "SLURM_STEP_NODELIST";
const JOB: &str = "SLURM_JOB_ID";
/// Port of job 0. The last four digits of the job's number are added, so that jobs on one machine do not
/// meet.
const FIRST_PORT: u16 = 15_000;

/// Returns the world that `srun` describes. Rank 0 serves the store.
///
/// # Errors
/// If a variable is missing or contradicts another one.
pub(super) fn world(variables: &Variables<'_>) -> Result<World, WorldError> {
    let world = variables.world(Launcher::Slurm, &NUMBERS, || {
        let (text, node) = (variables.text(TASKS_PER_NODE)?, variables.number(NODE)?);
        let tasks = tasks_of(&text, node);
        let tasks =
            tasks.ok_or_else(|| wrong(TASKS_PER_NODE, &text, "it does not list the tasks of this node"))?;
        Ok((tasks, TASKS_PER_NODE))
    })?;
    let (nodes, job) = (variables.text(NODES)?, variables.text(JOB)?);
    let host = first_node(&nodes).ok_or_else(|| wrong(NODES, &nodes, "it is not a list of nodes"))?;
    let number: u64 = job.parse().map_err(|_| wrong(JOB, &job, "it is not the number of a job"))?;
    let restarts = variables.count("SLURM_RESTART_COUNT")?;
    let rendezvous = Rendezvous {
        host,
        port: FIRST_PORT + u16::try_from(number % 10_000).unwrap_or(0),
        server: StoreServer::FirstRank,
        serves: world.rank == 0,
        prefix: format!("kasmina/{job}.{}/{restarts}", variables.text(STEP)?),
    };
    Ok(World { rendezvous: Some(rendezvous), restarts, ..world })
}

/// Returns the number of tasks of a node, from a list such as `3(x2),1`.
fn tasks_of(list: &str, node: usize) -> Option<usize> {
    let mut first = 0_usize;
    for group in list.split(',') {
        let (tasks, nodes) = match group.split_once("(x") {
            None => (group, 1),
            Some((tasks, rest)) => (tasks, rest.strip_suffix(')')?.parse().ok()?),
        };
        let tasks = tasks.trim().parse().ok()?;
        first = first.checked_add(nodes)?;
        if node < first {
            return Some(tasks);
        }
    }
    None
}

/// Returns the first node of a list such as `gpu[07-09,12],cpu1`.
fn first_node(list: &str) -> Option<String> {
    let Some((name, rest)) = list.split_once('[').filter(|(name, _)| !name.contains(',')) else {
        return list.split(',').next().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
    };
    let (numbers, after) = rest.split_once(']')?;
    let first = numbers.split([',', '-']).next().filter(|number| !number.is_empty())?;
    // What follows the brackets belongs to the name, up to the next node.
    let suffix = after.split(',').next().unwrap_or_default();
    Some(format!("{name}{first}{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_slurm_are_read() {
        assert_eq!(
            (0..4).map(|node| tasks_of("3(x2),1", node)).collect::<Vec<_>>(),
            [Some(3), Some(3), Some(1), None]
        );
        assert_eq!(tasks_of("2", 0), Some(2));
        for broken in ["", "x", "2(x", "2(x2", "(x2)"] {
            assert_eq!(tasks_of(broken, 0), None, "{broken}");
        }
        for (list, first) in [
            ("gpu7", "gpu7"),
            ("gpu7,gpu8", "gpu7"),
            ("gpu[07-09]", "gpu07"),
            ("gpu[3,5]", "gpu3"),
            ("rack[1-2]-ib", "rack1-ib"),
            ("a1,b[1-2]", "a1"),
        ] {
            assert_eq!(first_node(list).as_deref(), Some(first), "{list}");
        }
        assert_eq!(first_node(""), None);
        assert_eq!(first_node("gpu["), None);
        assert_eq!(first_node("gpu[]"), None);
    }
}
