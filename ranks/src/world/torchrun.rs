//! The variables of `torchrun` (torch.distributed.elastic, "Environment Variables").

use super::variables::{Numbers, Variables, wrong};

use super::description::{Launcher, Rendezvous, World};
use crate::error::WorldError;

/// Number of this rank.
pub(super) const RANK: &str = "RANK";
const NUMBERS: Numbers = Numbers { rank: RANK, size: "WORLD_SIZE", local_rank: "LOCAL_RANK" };
const LOCAL_SIZE: &str = "LOCAL_WORLD_SIZE";
const HOST: &str = "MASTER_ADDR";
const PORT: &str = "MASTER_PORT";
/// Whether the agent of torchrun serves the store, so that no rank does.
const AGENT_SERVES: &str = "TORCHELASTIC_USE_AGENT_STORE";

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
    let run = of("TORCHELASTIC_RUN_ID", "none");
    let restarts = variables.count("TORCHELASTIC_RESTART_COUNT")?;
    let rendezvous = Rendezvous {
        host,
        port,
        serves: world.rank == 0 && !agent_serves,
        prefix: format!("kasmina/{run}/{restarts}"),
    };
    Ok(World { rendezvous: Some(rendezvous), restarts, ..world })
}
