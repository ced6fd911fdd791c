//! The variables of `torchrun` (torch.distributed.elastic, "Environment Variables").

use super::variables::{Numbers, Variables, wrong};

use super::description::{Launcher, Rendezvous, StoreServer, World};
use super::error::WorldError;

/// Number of this rank.
pub(super) const RANK: &str = "RANK";
const NUMBERS: Numbers = Numbers { rank: RANK, size: "WORLD_SIZE", local_rank: "LOCAL_RANK" };
const LOCAL_SIZE: &str = "LOCAL_WORLD_SIZE";
const HOST: &str = "MASTER_ADDR";
const PORT: &str = "MASTER_PORT";
/// Whether the agent of torchrun serves the store, so that no rank does.
const AGENT_SERVES: &str = "TORCHELASTIC_USE_AGENT_STORE";

const RUN: &str = "TORCHELASTIC_RUN_ID";
const RESTARTS: &str = "TORCHELASTIC_RESTART_COUNT";

/// Returns the variables of a rank on this machine, whose launcher serves the store at `port`.
pub(super) fn variables(rank: usize, size: usize, port: u16, restarts: u32) -> Vec<(&'static str, String)> {
    vec![
        (RANK, rank.to_string()),
        (NUMBERS.local_rank, rank.to_string()),
        (NUMBERS.size, size.to_string()),
        (LOCAL_SIZE, size.to_string()),
        (HOST, "127.0.0.1".to_owned()),
        (PORT, port.to_string()),
        (RUN, "launch".to_owned()),
        (RESTARTS, restarts.to_string()),
        (AGENT_SERVES, "True".to_owned()),
    ]
}

/// Returns the world that torchrun describes.
///
/// # Errors
/// If a variable is missing or contradicts another one.
pub(super) fn world(variables: &Variables<'_>) -> Result<World, WorldError> {
    let local = || Ok((variables.number(LOCAL_SIZE)?, LOCAL_SIZE));
    let world = variables.world(Launcher::Torchrun, &NUMBERS, local)?;
    let (host, port) = (variables.text(HOST)?, variables.text(PORT)?);
    if host.trim().is_empty() {
        return Err(wrong(HOST, &host, "it names no host"));
    }
    let port: u16 = port.parse().map_err(|_| wrong(PORT, &port, "it is not a TCP port"))?;
    let of = |name, default: &str| variables.find(name).unwrap_or_else(|| default.to_owned());
    let agent_serves = of(AGENT_SERVES, "False").eq_ignore_ascii_case("true");
    let run = of(RUN, "none");
    let restarts = variables.count(RESTARTS)?;
    let rendezvous = Rendezvous {
        host,
        port,
        server: if agent_serves { StoreServer::Launcher } else { StoreServer::FirstRank },
        serves: world.rank == 0 && !agent_serves,
        prefix: format!("kasmina/{run}/{restarts}"),
    };
    Ok(World { rendezvous: Some(rendezvous), restarts, ..world })
}
