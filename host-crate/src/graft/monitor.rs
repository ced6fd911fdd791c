//! Measurements that queue on the device during an epoch and are read once, at its edge.

use super::contract;
use super::failure::torch;
use crate::lifecycle::GradientCapture;
use crate::state::{GivenTensors, StateError, StateTensors, rows};
use kasmina_plugin_api::PluginError;
use kasmina_torch_ext::norm;
use tch::{Device, Kind, Tensor};

type Result<T, E = PluginError> = std::result::Result<T, E>;

/// Watches one slot's seed without ever waiting for the device: gradient norms, whether its outputs are
/// finite, how far it is from its host, and whether isolation holds. (Earlier monitors flagged every healthy
/// host: they took *any* host gradient for a leak.)
///
/// `register` when a seed comes, `capture`, `watch`, `compare` and `note_isolation` during steps,
/// `materialise` at the edge of an epoch, `reset` when the seed leaves.
#[derive(Debug, Default)]
pub struct GradientIsolationMonitor {
    /// The seed's trainable parameters, by handle.
    seed: Vec<Tensor>,
    /// `[2]`: seed norm, host norm.
    captures: Vec<Tensor>,
    /// For each shadow check, the position of the capture that it belongs to, and a 0-dim boolean.
    breaches: Vec<(usize, Tensor)>,
    /// 0-dim booleans: was every element of a seed's output finite?
    watched: Vec<Tensor>,
    /// 0-dim: relative distances from the host's features.
    distances: Vec<Tensor>,
}

/// How much was queued at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    captures: usize,
    watched: usize,
    distances: usize,
}

/// A part of the queue: what one step put in it.
#[derive(Debug)]
pub(crate) struct Queued {
    captures: Vec<Tensor>,
    watched: Vec<Tensor>,
    distances: Vec<Tensor>,
}

/// What an epoch's queue held.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Measured {
    /// Gradient norms, oldest first, with the breaches that were found beside them.
    pub captures: Vec<GradientCapture>,
    /// How many shadow checks were made.
    pub isolation_checks: u32,
    /// Whether every watched output was finite; `None` if none was watched.
    pub finite: Option<bool>,
    /// The mean relative distance from the host's features; `None` if never compared.
    pub distance: Option<f64>,
}

impl GradientIsolationMonitor {
    /// Begins to watch a seed.
    pub fn register<'a>(&mut self, seed: impl IntoIterator<Item = &'a Tensor>) {
        self.reset();
        self.seed = seed.into_iter().map(Tensor::shallow_clone).collect();
    }

    /// Queues the seed's gradient norm beside the host's; a missing gradient counts as 0. No host sync.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn capture(&mut self, host: Option<&Tensor>, device: Device) -> Result<()> {
        let seed = norm::grad_norm(&self.seed).map_err(torch)?;
        let zero = || Tensor::f_zeros([], (Kind::Float, device));
        let norm = |n: Option<&Tensor>| n.map_or_else(zero, |n| n.f_to_kind(Kind::Float));
        self.captures.push(Tensor::f_stack(&[norm(seed.as_ref())?, norm(host)?], 0)?);
        Ok(())
    }

    /// Queues the verdict of a shadow check for the capture that comes next: a 0-dim boolean, true for a
    /// breach.
    pub fn note_isolation(&mut self, breach: Tensor) {
        self.breaches.push((self.captures.len(), breach));
    }

    /// Queues whether a seed's output is finite.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn watch(&mut self, output: &Tensor) -> Result<()> {
        // The largest magnitude, in one pass: NaN and infinity stay in it.
        if output.numel() > 0 {
            let largest =
                output.detach().f_norm_scalaropt_dtype(f64::INFINITY, contract::alpha_kind(output.kind()))?;
            self.watched.push(largest.f_isfinite()?);
        }
        Ok(())
    }

    /// Queues how far a seed's output is from its host's features: `|seed - host| / |host|`.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn compare(&mut self, seed: &Tensor, host: &Tensor) -> Result<()> {
        let (seed, host) = (seed.detach().f_to_kind(Kind::Float)?, host.detach().f_to_kind(Kind::Float)?);
        let length = host.f_norm()?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?;
        self.distances.push((seed - host).f_norm()?.f_div(&length)?);
        Ok(())
    }

    /// How much is queued now.
    pub(crate) fn mark(&self) -> Mark {
        Mark { captures: self.captures.len(), watched: self.watched.len(), distances: self.distances.len() }
    }

    /// Takes out what was queued since.
    pub(crate) fn split_off(&mut self, mark: Mark) -> Queued {
        // A seed that left meanwhile has taken its queue along.
        let since = |queue: &mut Vec<Tensor>, mark: usize| queue.split_off(mark.min(queue.len()));
        Queued {
            captures: since(&mut self.captures, mark.captures),
            watched: since(&mut self.watched, mark.watched),
            distances: since(&mut self.distances, mark.distances),
        }
    }

    /// Queues copies, on the device: the originals are written again by the next replay.
    pub(crate) fn queue_copies(&mut self, queued: &Queued) -> Result<()> {
        for (to, from) in [
            (&mut self.captures, &queued.captures),
            (&mut self.watched, &queued.watched),
            (&mut self.distances, &queued.distances),
        ] {
            for tensor in from {
                to.push(tensor.f_detach_copy()?);
            }
        }
        Ok(())
    }

    /// Forgets the seed and all that is queued.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// The same monitor where its seed has gone, to another device.
    pub(crate) fn moved_to<'a>(
        &self,
        device: Device,
        seed: impl IntoIterator<Item = &'a Tensor>,
    ) -> Result<Self> {
        let there = |all: &[Tensor]| all.iter().map(|t| Ok(t.f_to(device)?)).collect::<Result<Vec<_>>>();
        let breaches = self.breaches.iter().map(|(at, flag)| Ok((*at, flag.f_to(device)?)));
        Ok(Self {
            seed: seed.into_iter().map(Tensor::shallow_clone).collect(),
            captures: there(&self.captures)?,
            breaches: breaches.collect::<Result<Vec<_>>>()?,
            watched: there(&self.watched)?,
            distances: there(&self.distances)?,
        })
    }

    /// Hands over what is queued, as tensors whose names begin with a prefix, and the positions of the shadow
    /// checks.
    pub(crate) fn state(&self, prefix: &str, tensors: &mut StateTensors) -> Result<Vec<usize>, StateError> {
        let (at, flags): (Vec<usize>, Vec<Tensor>) =
            self.breaches.iter().map(|(at, flag)| (*at, flag.shallow_clone())).unzip();
        for (name, queue) in [
            ("captures", &self.captures),
            ("breaches", &flags),
            ("watched", &self.watched),
            ("distances", &self.distances),
        ] {
            tensors.training.extend(rows(queue)?.map(|rows| (format!("{prefix}.{name}"), rows)));
        }
        Ok(at)
    }

    /// A monitor of a seed with the queue that was handed over.
    pub(crate) fn restored<'a>(
        prefix: &str,
        shadow_checks: &[usize],
        tensors: &mut GivenTensors,
        seed: impl IntoIterator<Item = &'a Tensor>,
        device: Device,
    ) -> Result<Self, StateError> {
        let mut queue = |name: &str| -> Result<Vec<Tensor>, StateError> {
            let rows = tensors.take_rows(&format!("{prefix}.{name}"))?;
            rows.iter().map(|row| Ok(row.f_to(device)?)).collect()
        };
        let flags = queue("breaches")?;
        if flags.len() != shadow_checks.len() {
            let name = format!("{prefix}.breaches");
            let (found, wanted) = (format!("{} rows", flags.len()), format!("{} rows", shadow_checks.len()));
            return Err(StateError::Other { name, found, wanted });
        }
        Ok(Self {
            seed: seed.into_iter().map(Tensor::shallow_clone).collect(),
            captures: queue("captures")?,
            breaches: shadow_checks.iter().copied().zip(flags).collect(),
            watched: queue("watched")?,
            distances: queue("distances")?,
        })
    }

    /// Reads everything queued, in one transfer, and empties the queue. This waits for the device.
    ///
    /// # Errors
    /// If the device cannot be read.
    pub fn materialise(&mut self) -> Result<Measured> {
        let captures = std::mem::take(&mut self.captures);
        let (breaches, watched) = (std::mem::take(&mut self.breaches), std::mem::take(&mut self.watched));
        let distances = std::mem::take(&mut self.distances);
        let (at, flags): (Vec<usize>, Vec<Tensor>) = breaches.into_iter().unzip();
        let mut queued: Vec<Tensor> = Vec::with_capacity(4);
        for (tensors, many) in [(&captures, true), (&flags, false), (&watched, false), (&distances, false)] {
            if !tensors.is_empty() {
                let all = if many { Tensor::f_cat(tensors, 0)? } else { Tensor::f_stack(tensors, 0)? };
                queued.push(all.f_to_kind(Kind::Float)?);
            }
        }
        if queued.is_empty() {
            return Ok(Measured::default());
        }
        let values = Vec::<f32>::try_from(Tensor::f_cat(&queued, 0)?)?;
        let (norms, values) = values.split_at(2 * captures.len());
        let (breached, values) = values.split_at(flags.len());
        let (finite, distances) = values.split_at(watched.len());
        let mut captures: Vec<GradientCapture> = norms
            .chunks_exact(2)
            .map(|pair| GradientCapture::new(f64::from(pair[0]), f64::from(pair[1])))
            .collect();
        for (position, _) in at.into_iter().zip(breached).filter(|(_, flag)| **flag != 0.0) {
            if let Some(capture) = captures.get_mut(position) {
                capture.violation = true;
            }
        }
        let mean = distances.iter().map(|d| f64::from(*d)).sum::<f64>() / distances.len().max(1) as f64;
        Ok(Measured {
            captures,
            isolation_checks: flags.len() as u32,
            finite: (!finite.is_empty()).then(|| finite.iter().all(|f| *f != 0.0)),
            distance: (!distances.is_empty()).then_some(mean),
        })
    }
}
