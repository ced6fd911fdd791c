//! Measurements that queue on the device during an epoch and are read once, at its edge.

use crate::lifecycle::GradientCapture;
use kasmina_plugin_api::Result;
use tch::{Device, Kind, Tensor};

/// The queue of one slot.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    /// `[2]`: seed norm, host norm.
    captures: Vec<Tensor>,
    /// 0-dim booleans: was every element of a seed's output finite?
    watched: Vec<Tensor>,
}

/// What an epoch's queue held.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Measured {
    pub(crate) captures: Vec<GradientCapture>,
    /// Whether every watched output was finite; `None` if none was watched.
    pub(crate) finite: Option<bool>,
}

impl Telemetry {
    /// Queues the two norms; a missing one counts as 0.
    pub(crate) fn capture(
        &mut self,
        seed: Option<&Tensor>,
        host: Option<&Tensor>,
        device: Device,
    ) -> Result<()> {
        let zero = || Tensor::f_zeros([], (Kind::Float, device));
        let norm = |n: Option<&Tensor>| n.map_or_else(zero, |n| n.f_to_kind(Kind::Float));
        self.captures.push(Tensor::f_stack(&[norm(seed)?, norm(host)?], 0)?);
        Ok(())
    }

    /// Queues whether a seed's output is finite.
    pub(crate) fn watch(&mut self, output: &Tensor) -> Result<()> {
        self.watched.push(output.detach().f_isfinite()?.f_all()?);
        Ok(())
    }

    /// Forgets what is queued: the seed is gone.
    pub(crate) fn clear(&mut self) {
        self.captures.clear();
        self.watched.clear();
    }

    /// Reads everything queued, in one transfer, and empties the queue. This waits for the device.
    pub(crate) fn materialise(&mut self) -> Result<Measured> {
        let (captures, watched) = (std::mem::take(&mut self.captures), std::mem::take(&mut self.watched));
        let mut queued: Vec<Tensor> = Vec::with_capacity(2);
        if !captures.is_empty() {
            queued.push(Tensor::f_cat(&captures, 0)?);
        }
        if !watched.is_empty() {
            queued.push(Tensor::f_stack(&watched, 0)?.f_to_kind(Kind::Float)?);
        }
        if queued.is_empty() {
            return Ok(Measured::default());
        }
        let values = Vec::<f32>::try_from(Tensor::f_cat(&queued, 0)?)?;
        let (norms, flags) = values.split_at(2 * captures.len());
        let captures = norms
            .chunks_exact(2)
            .map(|pair| GradientCapture { seed_norm: f64::from(pair[0]), host_norm: f64::from(pair[1]) })
            .collect();
        let finite = (!flags.is_empty()).then(|| flags.iter().all(|f| *f != 0.0));
        Ok(Measured { captures, finite })
    }
}
