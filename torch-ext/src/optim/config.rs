//! Optimizer algorithms and their constants.

/// Stochastic gradient descent with momentum; no dampening.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Momentum factor; 0 keeps no buffer.
    pub momentum: f64,
    /// Coefficient of the L2 penalty added to the gradient.
    pub weight_decay: f64,
    /// Whether to use Nesterov momentum.
    pub nesterov: bool,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { momentum: 0.9, weight_decay: 0.0, nesterov: false }
    }
}

/// Adam with decoupled weight decay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Number added to the root of the second moment.
    pub eps: f64,
    /// Coefficient of decoupled weight decay.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
    }
}

/// Update rule that a step applies to every group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Algorithm {
    /// [`Sgd`].
    Sgd(Sgd),
    /// [`AdamW`].
    AdamW(AdamW),
}

impl From<Sgd> for Algorithm {
    fn from(config: Sgd) -> Self {
        Self::Sgd(config)
    }
}

impl From<AdamW> for Algorithm {
    fn from(config: AdamW) -> Self {
        Self::AdamW(config)
    }
}
