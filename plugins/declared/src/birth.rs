//! Static analysis of a seed before its first step: whether it is the identity, and whether any parameter
//! gets a gradient.
//!
//! The typical mistake is a gain of 0 on a branch that is 0: the gain's gradient is proportional to the
//! branch and the branch's gradient to the gain, so both stay 0.

use crate::ops::Activation;
use crate::plan::{Node, Plan};
use crate::step::Step;

/// What is known of a value in training mode before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// The value is 0 everywhere.
    Zero,
    /// The value equals the slot's features.
    Slot,
    /// Neither is known.
    Other,
}

/// Result of the analysis of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Birth {
    /// Whether the output equals the slot's features.
    pub(crate) identity: bool,
    /// Whether the plan has parameters and none of them gets a gradient.
    pub(crate) dead: bool,
}

impl Birth {
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut values = vec![Known::Slot];
        for node in &plan.nodes {
            let inputs: Vec<Known> = node.inputs.iter().map(|i| values[*i]).collect();
            values.push(forward(node, &inputs));
        }
        let branch = values[plan.branch];
        let identity = match (plan.mix.add, plan.mix.gain) {
            (_, Some(0.0)) => true,
            (true, _) => branch == Known::Zero,
            (false, _) => branch == Known::Slot,
        };
        let dead = plan.cost().parameters > 0 && !any_parameter_learns(plan, &values);
        Self { identity, dead }
    }
}

/// Returns what is known of a node's output, given what is known of its inputs.
fn forward(node: &Node, inputs: &[Known]) -> Known {
    let first = inputs.first().copied().unwrap_or(Known::Other);
    let zero_stays = if first == Known::Zero { Known::Zero } else { Known::Other };
    match node.step {
        step if makes_zeros(&step) => Known::Zero,
        Step::Identity
        | Step::SqueezeExcite { .. }
        | Step::Dropout { p: 0.0 }
        | Step::Scale { value: 1.0, .. } => first,
        Step::Mul if inputs.contains(&Known::Zero) => Known::Zero,
        Step::Concat if inputs.iter().all(|input| *input == Known::Zero) => Known::Zero,
        Step::Activation(Activation::Sigmoid | Activation::Softplus) | Step::Mul | Step::Concat => {
            Known::Other
        }
        Step::Add => {
            let mut rest = inputs.iter().filter(|input| **input != Known::Zero);
            match (rest.next(), rest.next()) {
                (None, _) => Known::Zero,
                (Some(only), None) => *only,
                _ => Known::Other,
            }
        }
        // The other steps map 0 to 0, because biases are 0 at birth.
        _ => zero_stays,
    }
}

/// Whether a step multiplies its input by weights that are 0 at birth, so that its output is 0.
fn makes_zeros(step: &Step) -> bool {
    match *step {
        Step::Conv(conv) => conv.zeros,
        Step::Linear { zeros, .. } | Step::SelfAttention { zeros, .. } => zeros,
        Step::Scale { value, .. } => value == 0.0,
        _ => false,
    }
}

/// Whether any parameter gets a gradient. Follows the gradient from the output backwards.
fn any_parameter_learns(plan: &Plan, values: &[Known]) -> bool {
    let branch = values[plan.branch];
    let nothing = if plan.mix.add { Known::Zero } else { Known::Slot };
    if plan.mix.gain.is_some() && branch != nothing {
        return true;
    }
    let mut reached = vec![false; values.len()];
    reached[plan.branch] = plan.mix.gain != Some(0.0);
    for (index, node) in plan.nodes.iter().enumerate().rev() {
        if !reached[index + 1] {
            continue;
        }
        if node.step.parameters() > 0 && reaches_own_parameters(node, values) {
            return true;
        }
        for input in inputs_with_gradient(node, values) {
            reached[input] = true;
        }
    }
    false
}

/// Whether a gradient at a node's output gives one of the node's own parameters a gradient.
fn reaches_own_parameters(node: &Node, values: &[Known]) -> bool {
    let fed = node.inputs.iter().any(|input| values[*input] != Known::Zero);
    fed || match node.step {
        Step::Conv(c) => c.bias,
        Step::Linear { bias, .. } | Step::SelfAttention { bias, .. } => bias,
        Step::GroupNorm { .. } | Step::LayerNorm { .. } | Step::BatchNorm { .. } => true,
        _ => false,
    }
}

/// Returns the inputs that get a gradient from a gradient at a node's output.
fn inputs_with_gradient(node: &Node, values: &[Known]) -> Vec<usize> {
    let zero = |input: &usize| values[*input] == Known::Zero;
    match node.step {
        step if makes_zeros(&step) => Vec::new(),
        // The derivative of ReLU at 0 is 0.
        Step::Activation(Activation::Relu) => node.inputs.iter().copied().filter(|i| !zero(i)).collect(),
        Step::Mul => {
            let zeros = node.inputs.iter().filter(|input| zero(input)).count();
            node.inputs.iter().copied().filter(|i| zeros == 0 || (zeros == 1 && zero(i))).collect()
        }
        _ => node.inputs.clone(),
    }
}
