//! Between two edges of an epoch: alpha moves a little with every step.
//!
//! A ramp that counts epochs moves the lifecycle's alpha at their edges, by a fifth at a time. Its seed has
//! learned behind the straight-through estimator and has never heard what it gives itself; at a fifth at once
//! it can wreck what the host has learned before either can answer. So the features are mixed by an alpha
//! that is on its way: in the steps of an epoch from where it was to where the lifecycle has put it, and
//! there in its last step, as everything that is measured is.

use crate::state::GlideState;

/// An alpha on its way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Glide {
    /// Training steps that it takes; 0 jumps.
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

    /// Present position, as a checkpoint stores it.
    pub(crate) fn state(&self) -> GlideState {
        GlideState { steps: self.steps, done: self.done, from: self.from, to: self.to }
    }

    /// Goes on from where one was. One that takes another number of steps is at its end.
    pub(crate) fn restored(&self, state: GlideState) -> Self {
        let GlideState { steps, done, from, to } = state;
        Self { steps: self.steps, done: if steps == self.steps { done } else { self.steps }, from, to }
    }

    /// The alpha of the next training step towards this one.
    pub(crate) fn towards(&mut self, alpha: f64) -> f64 {
        if self.to != alpha {
            *self = Self { from: self.after(self.done), to: alpha, done: 0, ..*self };
        }
        self.after(self.done.saturating_add(1))
    }

    /// At rest there, however it got there.
    pub(crate) fn rest(&mut self, alpha: f64) -> f64 {
        *self = Self { from: alpha, to: alpha, done: self.steps, ..*self };
        alpha
    }

    /// A training step was made.
    pub(crate) fn tick(&mut self) {
        self.done = self.done.saturating_add(1).min(self.steps);
    }

    fn after(&self, steps: u32) -> f64 {
        if steps >= self.steps {
            return self.to;
        }
        self.from + (self.to - self.from) * f64::from(steps) / f64::from(self.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The alphas of so many steps towards one.
    fn walk(glide: &mut Glide, to: f64, steps: u32) -> Vec<f64> {
        let step = |_| {
            let alpha = glide.towards(to);
            glide.tick();
            alpha
        };
        (0..steps).map(step).collect()
    }

    #[test]
    fn it_is_where_it_was_put_in_the_last_step_of_an_epoch() {
        let mut glide = Glide::new(4);
        assert_eq!(walk(&mut glide, 0.0, 4), [0.0; 4]);
        assert_eq!(walk(&mut glide, 0.5, 4), [0.125, 0.25, 0.375, 0.5]);
        assert_eq!(walk(&mut glide, 1.0, 4), [0.625, 0.75, 0.875, 1.0]);
        assert_eq!(walk(&mut glide, 1.0, 2), [1.0; 2], "there it stays");
        assert_eq!(walk(&mut glide, 0.0, 4), [0.75, 0.5, 0.25, 0.0], "down as up");
    }

    #[test]
    fn looking_moves_nothing_and_a_change_of_mind_begins_where_it_is() {
        let mut glide = Glide::new(4);
        assert_eq!([glide.towards(1.0), glide.towards(1.0)], [0.25; 2]);
        assert_eq!(walk(&mut glide, 1.0, 2), [0.25, 0.5]);
        assert_eq!(walk(&mut glide, 0.0, 2), [0.375, 0.25]);
        assert_eq!(glide.rest(0.0), 0.0);
        assert_eq!(walk(&mut glide, 1.0, 1), [0.25], "it begins anew");
    }

    #[test]
    fn without_steps_it_jumps() {
        let mut glide = Glide::new(0);
        assert_eq!(walk(&mut glide, 0.2, 2), [0.2; 2]);
    }
}
