//! Training steps on several ranks beside the same steps on one, and beside DistributedDataParallel of
//! PyTorch, at the same batch for each rank.

use crate::hosts::{SUBJECTS, Subject, Training};
use crate::peer::Python;
use crate::setting::Setting;
use crate::stopwatch::{Row, Runner, in_turns, wait};
use anyhow::{Context as _, Result, bail};
use kasmina::model::{Germinate, Precision};
use kasmina_ranks::{
    Attention, Gradients, Link, Messages, ReductionSettings, Rendezvous, Server, Share, StoreServer, Votes,
    World,
};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tch::Device;

const LIMIT: Duration = Duration::from_mins(2);
const MIB: usize = 1 << 20;

/// Starts this program once for each rank, with the same arguments, and waits for all.
pub(crate) fn launch(ranks: usize) -> Result<()> {
    let (server, program) = (Server::start()?, std::env::current_exe()?);
    let mut children = Vec::new();
    for rank in 0..ranks {
        let mut child = Command::new(&program);
        child.args(std::env::args_os().skip(1));
        child.envs(World::variables_of_rank(rank, ranks, server.port(), 0));
        if rank > 0 {
            child.stdout(Stdio::null());
        }
        children.push(child.spawn().context("starting a rank")?);
    }
    for mut child in children {
        if !child.wait()?.success() {
            bail!("a rank has failed");
        }
    }
    Ok(())
}

/// One rank of the measurement.
pub(crate) struct Rank {
    link: Arc<Link>,
    messages: Messages,
    device: Device,
}

impl Rank {
    /// Joins the other ranks, if a launcher has started this program; `None` if not.
    pub(crate) fn join(gpu: bool) -> Result<Option<Self>> {
        let mut world = World::from_environment()?;
        // A single rank sums with itself, which measures what the sums cost without a transfer.
        if let Ok(port) = std::env::var("MASTER_PORT") {
            let (host, prefix) = ("127.0.0.1".to_owned(), "bench".to_owned());
            let alone = || -> Result<_> {
                Ok(Rendezvous {
                    host,
                    port: port.parse()?,
                    server: StoreServer::Launcher,
                    serves: false,
                    prefix,
                })
            };
            if world.rendezvous.is_none() {
                world.rendezvous = Some(alone()?);
            }
        }
        let Some(link) = Link::join(&world, LIMIT)? else { return Ok(None) };
        let device = if gpu { Device::Cuda(world.local_rank) } else { Device::Cpu };
        Ok(Some(Self { messages: Messages::new(&link, "bench"), link, device }))
    }

    /// Whether this rank prints.
    fn is_first(&self) -> bool {
        self.link.world().is_first()
    }

    /// Measures all hosts, and prints the results on the first rank.
    pub(crate) fn measure(
        &mut self,
        filter: &str,
        python: &Python,
        rounds: usize,
        quick: bool,
    ) -> Result<()> {
        for subject in SUBJECTS {
            for precision in [Precision::Fp32, Precision::Bf16] {
                let batch = if subject.name == "transformer" { 16 } else { 512 };
                let batch = if self.device.is_cuda() { batch } else { 2 };
                let setting = Setting { device: self.device, batch, precision };
                let name = format!("{} {}", setting.name(), subject.name);
                if name.contains(filter) {
                    eprintln!("{name} ...");
                    let mut here = self.subject(&name, subject, setting, rounds, quick)?;
                    here.extend(python.ranks(setting, subject.name, &name, self.port()?)?);
                    if self.is_first() {
                        print(&here);
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns a free port of the machine of rank 0, the same on all ranks.
    fn port(&mut self) -> Result<u16> {
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let first = self.messages.from_first(&free.to_le_bytes())?;
        Ok(u16::from_le_bytes(first.try_into().ok().context("the message of a port")?))
    }

    fn subject(
        &mut self,
        name: &str,
        subject: Subject,
        setting: Setting,
        rounds: usize,
        quick: bool,
    ) -> Result<Vec<Row>> {
        let collective = self.link.collective(setting.device, false)?;
        let share = Share::new(setting.device)?;
        let mut ranked = Vec::new();
        for (side, sync_batch_norm) in [("ranks", true), ("ranks, local statistics", false)] {
            if subject.name == "transformer" && !sync_batch_norm {
                continue;
            }
            let settings =
                ReductionSettings { first_bucket: MIB, bucket: 25 * MIB, compressed: false, sync_batch_norm };
            let attention = Attention::default();
            let mut training = Training::new(subject, setting, false, setting.device.is_cuda());
            let gradients =
                Gradients::new(&self.link, &collective, setting.device, settings, (&share, &attention))?;
            training.stepper.set_reduction(Box::new(gradients));
            training.model.set_consensus(Box::new(Votes::new(&self.link)));
            ranked.push((side, training));
        }
        let mut alone = Training::new(subject, setting, false, setting.device.is_cuda());
        let mut runners = vec![Runner {
            name: name.to_owned(),
            side: "1 rank",
            step: Box::new(move || alone.step()) as Box<dyn FnMut()>,
        }];
        for (side, training) in &mut ranked {
            runners.push(Runner { name: name.to_owned(), side, step: Box::new(|| training.step()) });
        }
        let mut rows = in_turns(runners, setting.device, rounds, if quick { 2 } else { 50 });
        rows.extend(self.growth(name, subject, setting, &collective, &share)?);
        for (_, mut training) in ranked {
            training.stepper.forget();
        }
        collective.close();
        Ok(rows)
    }

    /// Measures a germination and a prune: the command, and the step after it.
    fn growth(
        &self,
        name: &str,
        subject: Subject,
        setting: Setting,
        collective: &kasmina_torch_ext::ranks::Collective,
        share: &Share,
    ) -> Result<Vec<Row>> {
        let settings = ReductionSettings {
            first_bucket: MIB,
            bucket: 25 * MIB,
            compressed: false,
            sync_batch_norm: true,
        };
        let mut training = Training::new(subject, setting, true, setting.device.is_cuda());
        training.clear_slots();
        let attention = Attention::default();
        let gradients =
            Gradients::new(&self.link, collective, setting.device, settings, (share, &attention))?;
        training.stepper.set_reduction(Box::new(gradients));
        training.model.set_consensus(Box::new(Votes::new(&self.link)));
        (0..6).for_each(|_| training.step());
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..6 {
            let germinate = Germinate::new("early", format!("seed{round}"), subject.blueprint, "linear");
            let prune = kasmina::Command::Prune { slot: "early".to_owned(), reason: "bench".to_owned() };
            for (command, times) in [kasmina::Command::Germinate(germinate), prune].iter().zip(&mut times) {
                wait(setting.device);
                let begun = Instant::now();
                training.execute(command);
                training.step();
                wait(setting.device);
                times.push(begun.elapsed().as_secs_f64() * 1e6);
                (0..6).for_each(|_| training.step());
            }
        }
        training.stepper.forget();
        let row = |side: &str, us: Vec<f64>| Row { name: name.to_owned(), side: side.to_owned(), us };
        let [germinations, prunes] = times;
        Ok(vec![row("germination and step", germinations), row("prune and step", prunes)])
    }
}

/// Prints the medians, and the ratios of each side to one rank of the same kind.
fn print(rows: &[Row]) {
    println!("{:<28} {:<28} {:>10} {:>10}", "net", "side", "us", "1 rank / ");
    for row in rows {
        let base = if row.side.starts_with("pytorch") { "pytorch 1 rank" } else { "1 rank" };
        let one = rows.iter().find(|other| other.name == row.name && other.side == base);
        let ratio = one.map_or(f64::NAN, |one| one.median() / row.median());
        println!("{:<28} {:<28} {:>10.1} {:>10.3}", row.name, row.side, row.median(), ratio);
    }
}
