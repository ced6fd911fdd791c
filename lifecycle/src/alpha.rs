//! Alpha: how much of the seed is in the output, and how that moves.

use super::curve::Curve;
use super::refusal::{Refusal, RefusalCode};
use super::units::{TOLERANCE, positive_up_to, within};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which way alpha is moving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum AlphaMode {
    /// Alpha does not change.
    Hold,
    /// Alpha rises to its target.
    Up,
    /// Alpha falls to its target.
    Down,
}

/// The owner of alpha: start, target, clock, clamp and exact ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlphaController {
    alpha: f64,
    start: f64,
    target: f64,
    mode: AlphaMode,
    steps_total: u32,
    steps_done: u32,
    /// Curve of ramps whose request names none.
    curve: Curve,
    steepness: f64,
    /// Curve of this ramp, if the request named one; otherwise the task's curve is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ramp_curve: Option<Curve>,
}

impl AlphaController {
    /// At 0 and at rest, with a target for later.
    ///
    /// # Errors
    /// `out_of_range` or `non_finite` for a target outside `(0, 1]`, a steepness that is not finite or a
    /// table that is no curve.
    pub fn new(target: f64, curve: Curve, steepness: f64) -> Result<Self, Refusal> {
        positive_up_to("target", target, 1.0)?;
        curve.check()?;
        within("steepness", steepness, f64::MIN, f64::MAX)?;
        let (alpha, start, mode) = (0.0, 0.0, AlphaMode::Hold);
        let (steps_total, steps_done, ramp_curve) = (0, 0, None);
        Ok(Self { alpha, start, target, mode, steps_total, steps_done, curve, steepness, ramp_curve })
    }

    /// Starts a ramp to `target` over `steps`; 0 steps jump there. A curve given holds for this ramp.
    ///
    /// # Errors
    /// `out_of_range` or `non_finite` for the target or the curve; `ramp_in_progress` unless at rest.
    pub fn retarget(&mut self, target: f64, steps: u32, curve: Option<Curve>) -> Result<(), Refusal> {
        within("target", target, 0.0, 1.0)?;
        curve.as_ref().map_or(Ok(()), Curve::check)?;
        self.at_rest()?;
        self.ramp(target, steps, curve);
        Ok(())
    }

    /// Refuses while a ramp runs.
    pub(super) fn at_rest(&self) -> Result<(), Refusal> {
        if self.mode == AlphaMode::Hold {
            return Ok(());
        }
        let text = format!("alpha is on its way to {}; wait until it has arrived", self.target);
        Err(Refusal::new(RefusalCode::RampInProgress, text))
    }

    /// Another shape for the seed's ramps, this one included, with alpha where it is. If the shape passes
    /// through the same bits now, the clock goes on; otherwise what is left of the ramp begins here. A ramp
    /// with a curve of its own keeps it.
    ///
    /// # Errors
    /// `out_of_range` or `non_finite` for a table that is no curve.
    pub(super) fn exchange(&mut self, curve: Curve) -> Result<(), Refusal> {
        curve.check()?;
        let under_way = self.mode != AlphaMode::Hold && self.steps_done > 0 && self.ramp_curve.is_none();
        if under_way && self.on(&curve).to_bits() != self.alpha.to_bits() {
            (self.start, self.steps_total, self.steps_done) =
                (self.alpha, self.steps_total - self.steps_done, 0);
        }
        self.curve = curve;
        Ok(())
    }

    /// Stays where it is from now on, which is then its target.
    pub(super) fn freeze(&mut self) {
        self.target = self.alpha;
        self.settle();
    }

    /// Where a curve leads to at this tick of the ramp.
    fn on(&self, curve: &Curve) -> f64 {
        let t = f64::from(self.steps_done) / f64::from(self.steps_total);
        let raw = self.start + (self.target - self.start) * curve.at(t, self.steepness);
        raw.clamp(self.start.min(self.target), self.start.max(self.target))
    }

    /// The shape of the seed's ramps.
    pub fn curve(&self) -> &Curve {
        &self.curve
    }

    /// Down to 0 from wherever alpha is, whatever it was doing: the one retarget that need not wait.
    pub(super) fn ramp_out(&mut self, steps: u32, curve: Option<Curve>) {
        self.ramp(0.0, steps, curve);
    }

    fn ramp(&mut self, target: f64, steps: u32, curve: Option<Curve>) {
        (self.start, self.target, self.steps_total, self.steps_done) = (self.alpha, target, steps, 0);
        self.ramp_curve = curve;
        self.mode = AlphaMode::Hold;
        if steps == 0 {
            self.settle();
        } else if target > self.alpha {
            self.mode = AlphaMode::Up;
        } else if target < self.alpha {
            self.mode = AlphaMode::Down;
        }
    }

    /// Whether alpha is, for a decision, at this value already.
    pub(super) fn is_at(&self, target: f64) -> bool {
        (target - self.alpha).abs() <= TOLERANCE
    }

    /// One tick. At rest nothing happens; the last tick lands exactly on the target.
    pub fn step(&mut self) {
        if self.mode == AlphaMode::Hold {
            return;
        }
        self.steps_done += 1;
        if self.steps_done >= self.steps_total {
            self.settle();
            return;
        }
        self.alpha = self.on(self.ramp_curve.as_ref().unwrap_or(&self.curve));
    }

    /// Sets alpha to its target, bit for bit, and ends the ramp.
    pub fn settle(&mut self) {
        self.alpha = self.target;
        self.mode = AlphaMode::Hold;
        self.steps_done = self.steps_total;
        self.ramp_curve = None;
    }

    /// Resets to alpha 0 without a target or a ramp, when the seed is gone.
    pub(super) fn clear(&mut self) {
        (self.alpha, self.start, self.target, self.mode) = (0.0, 0.0, 0.0, AlphaMode::Hold);
        (self.steps_total, self.steps_done, self.ramp_curve) = (0, 0, None);
    }

    /// How much of the seed is in the output now.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }
    /// Where it goes, or went.
    pub fn target(&self) -> f64 {
        self.target
    }
    /// Direction in which alpha moves.
    pub fn mode(&self) -> AlphaMode {
        self.mode
    }
    /// Ticks of the newest ramp, done and in all.
    pub fn ticks(&self) -> (u32, u32) {
        (self.steps_done, self.steps_total)
    }
}
