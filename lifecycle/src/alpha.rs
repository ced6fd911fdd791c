//! Alpha, the share of the seed in the output of its slot, and the ramps that change it.

use super::curve::Curve;
use super::refusal::{Refusal, RefusalCode};
use super::units::{TOLERANCE, positive_up_to, within};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Direction in which alpha moves.
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

/// Alpha of one seed and its ramp. Alpha stays between the start and the target of the ramp, and ends exactly
/// at the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlphaController {
    alpha: f64,
    start: f64,
    target: f64,
    mode: AlphaMode,
    steps_total: u32,
    steps_done: u32,
    /// Curve of ramps without a curve of their own.
    curve: Curve,
    steepness: f64,
    /// Curve of the present ramp, if its request named one; otherwise `curve` is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ramp_curve: Option<Curve>,
}

impl AlphaController {
    /// Creates a controller with alpha 0 and no ramp. `target` is stored for the first ramp.
    ///
    /// # Errors
    /// `out_of_range` or `non_finite` for a target outside `(0, 1]`, a steepness that is not finite or an
    /// invalid table.
    pub fn new(target: f64, curve: Curve, steepness: f64) -> Result<Self, Refusal> {
        positive_up_to("target", target, 1.0)?;
        curve.check()?;
        within("steepness", steepness, f64::MIN, f64::MAX)?;
        let (alpha, start, mode) = (0.0, 0.0, AlphaMode::Hold);
        let (steps_total, steps_done, ramp_curve) = (0, 0, None);
        Ok(Self { alpha, start, target, mode, steps_total, steps_done, curve, steepness, ramp_curve })
    }

    /// Starts a ramp to `target`, which takes `steps` ticks; with 0 steps alpha is set to the target at once.
    /// `curve` applies to this ramp only; if absent, the seed's own curve is used.
    ///
    /// # Errors
    /// `out_of_range` or `non_finite` for the target or the curve; `ramp_in_progress` while alpha moves.
    pub fn retarget(&mut self, target: f64, steps: u32, curve: Option<Curve>) -> Result<(), Refusal> {
        within("target", target, 0.0, 1.0)?;
        curve.as_ref().map_or(Ok(()), Curve::check)?;
        self.refuse_during_ramp()?;
        self.ramp(target, steps, curve);
        Ok(())
    }

    /// Returns `ramp_in_progress` while alpha moves.
    pub(super) fn refuse_during_ramp(&self) -> Result<(), Refusal> {
        if self.mode == AlphaMode::Hold {
            return Ok(());
        }
        let text = format!("alpha is still moving to {}; wait until the ramp has ended", self.target);
        Err(Refusal::new(RefusalCode::RampInProgress, text))
    }

    /// Replaces the seed's own curve without changing alpha.
    ///
    /// The present ramp changes too, unless it has a curve of its own. If the new curve has exactly the
    /// present alpha at this tick, the ramp continues. Otherwise a new ramp over the remaining ticks starts
    /// at the present alpha.
    ///
    /// # Errors
    /// `out_of_range` or `non_finite` for an invalid table.
    pub(super) fn exchange_curve(&mut self, curve: Curve) -> Result<(), Refusal> {
        curve.check()?;
        let started = self.mode != AlphaMode::Hold && self.steps_done > 0 && self.ramp_curve.is_none();
        if started && self.alpha_on(&curve).to_bits() != self.alpha.to_bits() {
            (self.start, self.steps_total, self.steps_done) =
                (self.alpha, self.steps_total - self.steps_done, 0);
        }
        self.curve = curve;
        Ok(())
    }

    /// Ends the ramp at the present alpha, which becomes the target.
    pub(super) fn freeze(&mut self) {
        self.target = self.alpha;
        self.finish_ramp();
    }

    /// Returns alpha at the present tick of the ramp if it followed `curve`.
    fn alpha_on(&self, curve: &Curve) -> f64 {
        let t = f64::from(self.steps_done) / f64::from(self.steps_total);
        let raw = self.start + (self.target - self.start) * curve.at(t, self.steepness);
        raw.clamp(self.start.min(self.target), self.start.max(self.target))
    }

    /// The seed's own curve, used by ramps that name none.
    pub fn curve(&self) -> &Curve {
        &self.curve
    }

    /// Starts a ramp to 0. Unlike [`retarget`](Self::retarget) it may replace a ramp that has not ended.
    pub(super) fn ramp_out(&mut self, steps: u32, curve: Option<Curve>) {
        self.ramp(0.0, steps, curve);
    }

    fn ramp(&mut self, target: f64, steps: u32, curve: Option<Curve>) {
        (self.start, self.target, self.steps_total, self.steps_done) = (self.alpha, target, steps, 0);
        self.ramp_curve = curve;
        self.mode = AlphaMode::Hold;
        if steps == 0 {
            self.finish_ramp();
        } else if target > self.alpha {
            self.mode = AlphaMode::Up;
        } else if target < self.alpha {
            self.mode = AlphaMode::Down;
        }
    }

    /// Whether alpha equals `target` within the tolerance of decisions.
    pub(super) fn is_at(&self, target: f64) -> bool {
        (target - self.alpha).abs() <= TOLERANCE
    }

    /// Advances the ramp by one tick; does nothing without a ramp. The last tick sets alpha exactly to the
    /// target.
    pub fn step(&mut self) {
        if self.mode == AlphaMode::Hold {
            return;
        }
        self.steps_done += 1;
        if self.steps_done >= self.steps_total {
            self.finish_ramp();
            return;
        }
        self.alpha = self.alpha_on(self.ramp_curve.as_ref().unwrap_or(&self.curve));
    }

    /// Sets alpha exactly to its target and ends the ramp.
    pub fn finish_ramp(&mut self) {
        self.alpha = self.target;
        self.mode = AlphaMode::Hold;
        self.steps_done = self.steps_total;
        self.ramp_curve = None;
    }

    /// Resets alpha and target to 0 and discards the ramp, when the seed is removed.
    pub(super) fn clear(&mut self) {
        (self.alpha, self.start, self.target, self.mode) = (0.0, 0.0, 0.0, AlphaMode::Hold);
        (self.steps_total, self.steps_done, self.ramp_curve) = (0, 0, None);
    }

    /// Present alpha, the share of the seed in the output of its slot, in 0 to 1.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }
    /// Alpha at the end of the present or most recent ramp.
    pub fn target(&self) -> f64 {
        self.target
    }
    /// Direction in which alpha moves.
    pub fn mode(&self) -> AlphaMode {
        self.mode
    }
    /// Ticks of the present or most recent ramp: done, and in total.
    pub fn ticks(&self) -> (u32, u32) {
        (self.steps_done, self.steps_total)
    }
}
