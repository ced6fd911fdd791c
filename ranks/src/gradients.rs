//! Summing the gradients of each step over the ranks.

use crate::device_wait::read_in_time;
use crate::link::Link;
use crate::shared::{Attention, Share};
use kasmina::consensus::{Consensus, ConsensusError};
use kasmina::model::{GradientReduction, ModelError};
use kasmina_torch_ext::NamedParameter;
use kasmina_torch_ext::cuda::Echo;
use kasmina_torch_ext::ranks::{Buckets, Collective, Plan, SyncBatchNorm};
use kasmina_torch_ext::rng::derive_seed;
use std::sync::Arc;
use tch::{Device, Kind, TchError, Tensor};

/// Number of steps that the CPU may be ahead of a GPU. Ranks learn of each other's requests after as many.
const AHEAD: u64 = 16;

/// How gradients are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReductionSettings {
    /// Largest size of the first bucket in bytes.
    pub first_bucket: usize,
    /// Largest size of the other buckets in bytes.
    pub bucket: usize,
    /// Whether gradients are summed in `bfloat16`.
    pub compressed: bool,
    /// Whether batch normalisation uses the batches of all ranks.
    pub sync_batch_norm: bool,
}

/// Sums the gradients of a model over all ranks, in buckets, while the backward pass runs.
#[derive(Debug)]
pub struct Gradients {
    link: Arc<Link>,
    collective: Collective,
    settings: ReductionSettings,
    share: Share,
    attention: Attention,
    /// 1 if this rank asks for an exchange, otherwise 0; one element on the device.
    request: Tensor,
    requested: bool,
    /// Answers of earlier steps; `None` on the CPU, where each step waits.
    echo: Option<Echo>,
    structure: Option<Structure>,
    /// Number of steps so far.
    steps: u64,
}

/// The parameters that learn at present, and their buckets.
#[derive(Debug)]
struct Structure {
    revision: u64,
    parameters: Vec<NamedParameter>,
    plan: Plan,
    buckets: Buckets,
    /// Whether the buckets have the order in which gradients are computed.
    ordered: bool,
}

impl Gradients {
    /// Creates the sums of a model's gradients on a device.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn new(
        link: &Arc<Link>,
        collective: &Collective,
        device: Device,
        settings: ReductionSettings,
        (share, attention): (&Share, &Attention),
    ) -> Result<Self, kasmina_torch_ext::Error> {
        let torch = |error: TchError| kasmina_torch_ext::Error::Torch(error.to_string());
        Ok(Self {
            link: Arc::clone(link),
            collective: collective.clone(),
            settings,
            share: share.handle(),
            attention: attention.clone(),
            request: Tensor::f_zeros([1], (Kind::Float, device)).map_err(torch)?,
            requested: false,
            echo: device.is_cuda().then(|| Echo::new(device, AHEAD as usize)).transpose()?,
            structure: None,
            steps: 0,
        })
    }

    fn plan(&self, parameters: &[NamedParameter], order: &[usize]) -> Plan {
        Plan::new(parameters, order, self.settings.first_bucket, self.settings.bucket)
    }

    fn buckets(&self, parameters: &[NamedParameter], plan: &Plan) -> Result<Buckets, ConsensusError> {
        let flag = Some(&self.request);
        Buckets::new(parameters, plan, &self.collective, flag, self.settings.compressed)
            .map_err(|error| ConsensusError::Exchange(error.to_string()))
    }

    /// Begins a new structure with buckets in the reverse order of the parameters.
    fn begin(
        &mut self,
        revision: u64,
        parameters: Vec<NamedParameter>,
        consensus: &mut dyn Consensus,
    ) -> Result<(), ConsensusError> {
        // The old buckets are gone before the new ones take their parameters.
        self.structure = None;
        compare(&parameters, consensus)?;
        let order: Vec<usize> = (0..parameters.len()).rev().collect();
        let plan = self.plan(&parameters, &order);
        let buckets = self.buckets(&parameters, &plan)?;
        self.structure = Some(Structure { revision, parameters, plan, buckets, ordered: false });
        Ok(())
    }

    /// Gives the buckets the order in which rank 0 has computed the gradients of the step before.
    fn put_in_order(&mut self, consensus: &mut dyn Consensus) -> Result<(), ConsensusError> {
        let Some(mut structure) = self.structure.take() else { return Ok(()) };
        let found = structure.buckets.order().map_err(|e| ConsensusError::Exchange(e.to_string()))?;
        let all = consensus.exchange(found.iter().map(|index| *index as u64).collect())?;
        let mut order: Vec<usize> = all.first().into_iter().flatten().map(|index| *index as usize).collect();
        let rest = (0..structure.parameters.len()).rev().filter(|index| !order.contains(index));
        order.extend(rest.collect::<Vec<_>>());
        let plan = self.plan(&structure.parameters, &order);
        structure.ordered = true;
        if plan != structure.plan {
            let Structure { revision, parameters, buckets, .. } = structure;
            drop(buckets);
            let buckets = self.buckets(&parameters, &plan)?;
            structure = Structure { revision, parameters, plan, buckets, ordered: true };
        }
        self.structure = Some(structure);
        Ok(())
    }

    /// Writes to the device whether this rank asks for an exchange.
    fn send_request(&mut self) -> Result<(), ConsensusError> {
        let requested = self.attention.is_requested();
        if requested != self.requested {
            let value = f64::from(u8::from(requested));
            let _ = self.request.f_fill_(value).map_err(|e| ConsensusError::Exchange(e.to_string()))?;
            self.requested = requested;
        }
        Ok(())
    }
}

impl GradientReduction for Gradients {
    fn prepare(
        &mut self,
        structure: u64,
        parameters: &dyn Fn() -> Vec<NamedParameter>,
        consensus: &mut dyn Consensus,
    ) -> Result<(), ConsensusError> {
        match &self.structure {
            Some(known) if known.revision == structure => {
                if !known.ordered {
                    self.put_in_order(consensus)?;
                }
            }
            _ => self.begin(structure, parameters(), consensus)?,
        }
        self.send_request()
    }

    fn reduce(
        &mut self,
        parts: usize,
        pass: &mut dyn FnMut(usize) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let _sync = if self.settings.sync_batch_norm {
            Some(SyncBatchNorm::begin(&self.collective, &self.share.present)?)
        } else {
            None
        };
        let last = parts.saturating_sub(1);
        (0..last).try_for_each(&mut *pass)?;
        let Some(structure) = &mut self.structure else { return pass(last) };
        let mut armed = structure.buckets.arm()?;
        if let Err(error) = pass(last) {
            // The backward pass reports only that a sum has failed, not why.
            return Err(armed.take_error().map_or(error, ModelError::from));
        }
        Ok(armed.finish()?)
    }

    fn sum(&mut self, tensors: &[Tensor]) -> Result<(), ModelError> {
        let torch = |error: TchError| kasmina_torch_ext::Error::Torch(error.to_string());
        let _no_grad = tch::no_grad_guard();
        // One dense vector, whatever the strides of the tensors are.
        let flat = |tensor: &Tensor| tensor.f_flatten(0, -1)?.f_to_kind(Kind::Float);
        let flat = tensors.iter().map(flat).collect::<Result<Vec<_>, _>>().map_err(torch)?;
        let sizes: Vec<i64> = flat.iter().map(|part| part.numel() as i64).collect();
        let all = Tensor::f_cat(&flat, 0).map_err(torch)?;
        self.collective.sum(&all)?;
        for (tensor, part) in tensors.iter().zip(all.f_split_with_sizes(&sizes, 0).map_err(torch)?) {
            let part = part.f_view(tensor.size().as_slice()).map_err(torch)?;
            tensor.shallow_clone().f_copy_(&part).map_err(torch)?;
        }
        Ok(())
    }

    fn end_step(&mut self, step: u64) -> Result<(), ConsensusError> {
        let (now, failed) = (self.steps, |e: &dyn std::fmt::Display| ConsensusError::Exchange(e.to_string()));
        self.steps += 1;
        self.link.report(step);
        let Some(answer) = self.structure.as_ref().and_then(|s| s.buckets.flag()) else { return Ok(()) };
        let (asked, number) = match &mut self.echo {
            None => (now, answer.f_double_value(&[0]).map_err(|e| failed(&e))? as f32),
            Some(echo) => {
                echo.push(now, &answer.f_to_kind(Kind::Float).map_err(|e| failed(&e))?)
                    .map_err(|e| failed(&e))?;
                // The oldest place of the ring is the next to be written.
                let Some(asked) = (now + 1).checked_sub(AHEAD) else { return Ok(()) };
                let Some(echo) = &self.echo else { return Ok(()) };
                (asked, read_in_time(&self.link, echo, asked).map_err(|e| failed(&e))?)
            }
        };
        if number > 0.0 {
            self.attention.grant(asked, now);
        }
        Ok(())
    }
}

/// Compares names, shapes and dtypes of the parameters of all ranks.
fn compare(parameters: &[NamedParameter], consensus: &mut dyn Consensus) -> Result<(), ConsensusError> {
    let line = |p: &NamedParameter| format!("{} {:?} {:?}", p.name, p.tensor.kind(), p.tensor.size());
    let lines: Vec<String> = parameters.iter().map(line).collect();
    let hash = derive_seed(0, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let all = consensus.exchange(vec![hash])?;
    if all.iter().all(|other| other == &[hash]) {
        return Ok(());
    }
    let all = consensus.exchange_bytes(lines.join("\n").as_bytes())?;
    let text =
        |rank: usize| all.get(rank).map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default();
    let first = text(0);
    for rank in 1..all.len() {
        let other = text(rank);
        let (mut a, mut b) = (first.lines(), other.lines());
        loop {
            match (a.next(), b.next()) {
                (None, None) => break,
                (a, b) if a == b => {}
                (a, b) => {
                    let none = "no further parameter";
                    return Err(ConsensusError::OutOfStep(format!(
                        "rank {rank} trains `{}` where rank 0 trains `{}`",
                        b.unwrap_or(none),
                        a.unwrap_or(none)
                    )));
                }
            }
        }
    }
    Err(ConsensusError::OutOfStep("the ranks train different parameters".to_owned()))
}
