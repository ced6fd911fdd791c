//! The glide: alpha moves a little in every training step of an epoch.
//!
//! A ramp that counts epochs moves the lifecycle's alpha only at the end of an epoch, in large jumps. The
//! seed has learned behind the straight-through estimator, so its output has never affected the loss, and a
//! jump can undo what the host has learned before either adapts. Training steps therefore mix by an alpha
//! that moves linearly from the previous value to the lifecycle's, which it reaches in the last step of the
//! epoch. Measurements use the lifecycle's alpha.

use crate::state::GlideState;

/// A linear movement of alpha over the training steps of an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Glide {
    /// Training steps of the whole glide; 0 jumps to the end.
    steps: u32,
    done: u32,
    from: f64,
    to: f64,
}

impl Glide {
    /// Creates a glide that does not move, at alpha 0.
    pub(crate) fn new(steps: u32) -> Self {
        Self { steps, done: steps, from: 0.0, to: 0.0 }
    }

    /// Returns the state for a checkpoint.
    pub(crate) fn state(&self) -> GlideState {
        GlideState { steps: self.steps, done: self.done, from: self.from, to: self.to }
    }

    /// Returns a glide that continues from a state, or is at its end if the number of steps differs.
    pub(crate) fn restored(&self, state: GlideState) -> Self {
        let GlideState { steps, done, from, to } = state;
        Self { steps: self.steps, done: if steps == self.steps { done } else { self.steps }, from, to }
    }

    /// Returns the alpha of the next training step on the way to `target`. Does not count the step.
    pub(crate) fn next_alpha(&mut self, target: f64) -> f64 {
        if self.to != target {
            *self = Self { from: self.alpha_after(self.done), to: target, done: 0, ..*self };
        }
        self.alpha_after(self.done.saturating_add(1))
    }

    /// Ends the glide at `alpha` and returns it.
    pub(crate) fn jump_to(&mut self, alpha: f64) -> f64 {
        *self = Self { from: alpha, to: alpha, done: self.steps, ..*self };
        alpha
    }

    /// Counts a training step.
    pub(crate) fn tick(&mut self) {
        self.done = self.done.saturating_add(1).min(self.steps);
    }

    fn alpha_after(&self, steps: u32) -> f64 {
        if steps >= self.steps {
            return self.to;
        }
        self.from + (self.to - self.from) * f64::from(steps) / f64::from(self.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the alphas of `steps` training steps on the way to `to`.
    fn walk(glide: &mut Glide, to: f64, steps: u32) -> Vec<f64> {
        let step = |_| {
            let alpha = glide.next_alpha(to);
            glide.tick();
            alpha
        };
        (0..steps).map(step).collect()
    }

    #[test]
    fn alpha_reaches_its_target_in_the_last_step_of_an_epoch() {
        let mut glide = Glide::new(4);
        assert_eq!(walk(&mut glide, 0.0, 4), [0.0; 4]);
        assert_eq!(walk(&mut glide, 0.5, 4), [0.125, 0.25, 0.375, 0.5]);
        assert_eq!(walk(&mut glide, 1.0, 4), [0.625, 0.75, 0.875, 1.0]);
        assert_eq!(walk(&mut glide, 1.0, 2), [1.0; 2], "it stays at its target");
        assert_eq!(walk(&mut glide, 0.0, 4), [0.75, 0.5, 0.25, 0.0], "it moves down as it moves up");
    }

    #[test]
    fn reading_alpha_counts_no_step_and_a_new_target_starts_from_the_present_alpha() {
        let mut glide = Glide::new(4);
        assert_eq!([glide.next_alpha(1.0), glide.next_alpha(1.0)], [0.25; 2]);
        assert_eq!(walk(&mut glide, 1.0, 2), [0.25, 0.5]);
        assert_eq!(walk(&mut glide, 0.0, 2), [0.375, 0.25]);
        assert_eq!(glide.jump_to(0.0), 0.0);
        assert_eq!(walk(&mut glide, 1.0, 1), [0.25], "a jump ends the glide before");
    }

    #[test]
    fn a_glide_of_no_steps_jumps() {
        let mut glide = Glide::new(0);
        assert_eq!(walk(&mut glide, 0.2, 2), [0.2; 2]);
    }
}
