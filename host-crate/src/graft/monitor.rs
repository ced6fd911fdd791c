//! Measurements that are queued on the device during an epoch and read once, at its end.

use super::contract;
use super::failure::torch;
use crate::lifecycle::GradientCapture;
use crate::state::{RestoredTensors, StateError, StateTensors, rows};
use kasmina_plugin_api::PluginError;
use kasmina_torch_ext::norm;
use tch::{Device, Kind, Tensor};

type Result<T, E = PluginError> = std::result::Result<T, E>;

/// Measures one slot's seed without waiting for the device during training steps: gradient norms, whether its
/// outputs are finite, their distance from the host's features, and the verdicts of shadow checks.
///
/// Call `register` when a seed germinates, `capture`, `watch`, `compare` and `note_isolation` during steps,
/// `materialise` at the end of an epoch, and `reset` when the seed is removed. A gradient in the host is no
/// breach of isolation by itself; only a shadow check can tell.
#[derive(Debug, Default)]
pub struct GradientIsolationMonitor {
    /// The seed's trainable parameters, which share memory with the seed.
    seed: Vec<Tensor>,
    /// Gradient norms, one tensor `[2]` per capture: seed norm, host norm.
    captures: Vec<Tensor>,
    /// For each shadow check, the index of its capture and a 0-dim boolean, true for a breach.
    breaches: Vec<(usize, Tensor)>,
    /// 0-dim booleans: whether every element of a seed output was finite.
    watched: Vec<Tensor>,
    /// 0-dim relative distances from the host's features.
    distances: Vec<Tensor>,
}

/// Lengths of the queues at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    captures: usize,
    watched: usize,
    distances: usize,
}

/// Measurements that one training step has queued.
#[derive(Debug)]
pub(crate) struct Queued {
    captures: Vec<Tensor>,
    watched: Vec<Tensor>,
    distances: Vec<Tensor>,
}

/// Measurements of one epoch, read from the device.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Measured {
    /// Gradient norms, oldest first, each with whether a shadow check found a breach there.
    pub captures: Vec<GradientCapture>,
    /// Number of shadow checks.
    pub isolation_checks: u32,
    /// Whether every checked output was finite; `None` if none was checked.
    pub finite: Option<bool>,
    /// Mean relative distance from the host's features; `None` if never compared.
    pub distance: Option<f64>,
}

impl GradientIsolationMonitor {
    /// Starts to measure a seed, given its trainable parameters; discards all queued measurements.
    ///
    /// # Shapes
    /// `seed`: the parameters, of any shapes.
    pub fn register<'a>(&mut self, seed: impl IntoIterator<Item = &'a Tensor>) {
        self.reset();
        self.seed = seed.into_iter().map(Tensor::shallow_clone).collect();
    }

    /// Queues the gradient norms of seed and host; a missing gradient counts as 0. No host sync.
    ///
    /// # Shapes
    /// `host`: 0-dim, the norm of the host's gradient.
    ///
    /// # Errors
    /// If a libtorch call fails.
    pub fn capture(&mut self, host: Option<&Tensor>, device: Device) -> Result<()> {
        let seed = norm::grad_norm(&self.seed).map_err(torch)?;
        let zero = || Tensor::f_zeros([], (Kind::Float, device));
        let norm = |n: Option<&Tensor>| n.map_or_else(zero, |n| n.f_to_kind(Kind::Float));
        self.captures.push(Tensor::f_stack(&[norm(seed.as_ref())?, norm(host)?], 0)?);
        Ok(())
    }

    /// Queues the verdict of a shadow check, which belongs to the next capture.
    ///
    /// # Shapes
    /// `breach`: a 0-dim boolean.
    pub fn note_isolation(&mut self, breach: Tensor) {
        self.breaches.push((self.captures.len(), breach));
    }

    /// Queues whether all elements of a seed output are finite. No host sync.
    ///
    /// # Shapes
    /// `output`: any; an empty tensor is ignored.
    ///
    /// # Errors
    /// If a libtorch call fails.
    pub fn watch(&mut self, output: &Tensor) -> Result<()> {
        // The largest magnitude is not finite if any element is not finite, and takes one pass.
        if output.numel() > 0 {
            let largest =
                output.detach().f_norm_scalaropt_dtype(f64::INFINITY, contract::alpha_kind(output.kind()))?;
            self.watched.push(largest.f_isfinite()?);
        }
        Ok(())
    }

    /// Queues the relative distance of a seed output from the host's features, `|seed - host| / |host|`. No
    /// host sync.
    ///
    /// # Shapes
    /// `seed` and `host`: equal, `[batch, ...]`.
    ///
    /// # Errors
    /// If a libtorch call fails.
    pub fn compare(&mut self, seed: &Tensor, host: &Tensor) -> Result<()> {
        let (seed, host) = (seed.detach().f_to_kind(Kind::Float)?, host.detach().f_to_kind(Kind::Float)?);
        let length = host.f_norm()?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?;
        self.distances.push((seed - host).f_norm()?.f_div(&length)?);
        Ok(())
    }

    /// Returns the present length of the queues.
    pub(crate) fn mark(&self) -> Mark {
        Mark { captures: self.captures.len(), watched: self.watched.len(), distances: self.distances.len() }
    }

    /// Removes and returns the measurements queued after `mark`.
    pub(crate) fn split_off(&mut self, mark: Mark) -> Queued {
        // If the seed was removed since then, its queues are empty and shorter than the mark.
        let since = |queue: &mut Vec<Tensor>, mark: usize| queue.split_off(mark.min(queue.len()));
        Queued {
            captures: since(&mut self.captures, mark.captures),
            watched: since(&mut self.watched, mark.watched),
            distances: since(&mut self.distances, mark.distances),
        }
    }

    /// Queues copies, on the device, because the next replay overwrites the originals.
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

    /// Stops measuring the seed and discards all queued measurements.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Returns a copy of the monitor on another device, for the parameters of the rebuilt seed.
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

    /// Adds the queues to `tensors`, named `<prefix>.<queue>`, and returns for each shadow check the index of
    /// its capture.
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

    /// Creates a monitor of a seed with the queues of a saved state.
    pub(crate) fn restored<'a>(
        prefix: &str,
        shadow_checks: &[usize],
        tensors: &mut RestoredTensors,
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
            return Err(StateError::TensorMismatch { name, found, wanted });
        }
        Ok(Self {
            seed: seed.into_iter().map(Tensor::shallow_clone).collect(),
            captures: queue("captures")?,
            breaches: shadow_checks.iter().copied().zip(flags).collect(),
            watched: queue("watched")?,
            distances: queue("distances")?,
        })
    }

    /// Reads all queued measurements in one transfer and empties the queues. Waits for the device.
    ///
    /// # Errors
    /// If a libtorch call fails.
    pub fn materialise(&mut self) -> Result<Measured> {
        let captures = std::mem::take(&mut self.captures);
        let (breaches, watched) = (std::mem::take(&mut self.breaches), std::mem::take(&mut self.watched));
        let distances = std::mem::take(&mut self.distances);
        let (at, flags): (Vec<usize>, Vec<Tensor>) = breaches.into_iter().unzip();
        let mut queued: Vec<Tensor> = Vec::with_capacity(4);
        for (tensors, flat) in [(&captures, true), (&flags, false), (&watched, false), (&distances, false)] {
            if !tensors.is_empty() {
                let all = if flat { Tensor::f_cat(tensors, 0)? } else { Tensor::f_stack(tensors, 0)? };
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
