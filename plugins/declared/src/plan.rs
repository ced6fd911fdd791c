//! A document resolved for a slot: all widths and shapes as numbers, and the cost.

use crate::document::Document;
use crate::layer::{Mix, Wire};
use crate::resolve::Args;
use crate::shape::{Shape, Space};
use crate::source::{Fault, Result};
use crate::step::Step;
use kasmina_plugin_api::Cost;

/// A document resolved for a slot.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Shape of the slot's features.
    pub(crate) slot: Shape,
    /// Nodes in an order in which each follows its inputs.
    pub(crate) nodes: Vec<Node>,
    /// Index of the value that becomes the output: 0 is the slot's features, `n` the output of node `n - 1`.
    pub(crate) branch: usize,
    pub(crate) mix: Mix,
}

/// A layer with all its numbers.
#[derive(Debug)]
pub(crate) struct Node {
    /// Name of the group of its variables: the layer's name, or its operation and position.
    pub(crate) name: String,
    pub(crate) step: Step,
    /// Indices of the inputs, as in [`Plan::branch`].
    pub(crate) inputs: Vec<usize>,
    /// Shape of the first input.
    pub(crate) input: Shape,
    /// Shape of the output.
    pub(crate) shape: Shape,
}

/// Limit on the parameters of a seed; more are a mistake in the document.
const MAX_PARAMETERS: u64 = 1 << 31;

impl Plan {
    /// Resolves a document for a slot with `channels` channels.
    pub(crate) fn of(document: &Document, space: Space, channels: i64) -> Result<Self> {
        let slot = Shape::slot(space, channels);
        let mut values = vec![None; document.layers.len()];
        let mut nodes: Vec<Node> = Vec::new();
        let index = |wire: &Wire, values: &[Option<usize>]| match wire {
            Wire::Input => 0,
            Wire::Layer(layer) => values.get(*layer).copied().flatten().unwrap_or(0),
        };
        for &at in &document.order {
            let layer = &document.layers[at];
            let inputs: Vec<usize> = layer.inputs.iter().map(|wire| index(wire, &values)).collect();
            let shapes: Vec<Shape> = inputs.iter().map(|&i| shape_of(slot, &nodes, i)).collect();
            let input = shapes.first().copied().unwrap_or(slot);
            let args = Args { document, layer, slot: channels, channels: input.channels };
            let (step, shape) = args.resolve(space, &shapes, input)?;
            let name = layer.name.clone().unwrap_or_else(|| format!("{}-{}", layer.op.name(), at + 1));
            nodes.push(Node { name, step, inputs, input, shape });
            values[at] = Some(nodes.len());
        }
        let branch = index(&document.output.from, &values);
        let made = shape_of(slot, &nodes, branch);
        if made != slot {
            let help = match (made.extent == slot.extent, made.channels == channels) {
                (false, true) => {
                    "restore the size with `upsample`, or multiply the slot's features by it with `mul`"
                }
                _ => "end with a `conv` or `linear` with `channels = \"C\"`",
            };
            let text = format!("the output is {made} but the slot is {slot}; {help}");
            return Err(Fault::at(&document.output.at, text));
        }
        let plan = Self { slot, nodes, branch, mix: document.output.mix };
        let parameters = plan.cost().parameters;
        if parameters > MAX_PARAMETERS {
            let text = format!("the seed would have {parameters} parameters where C = {channels}");
            return Err(Fault::at(&document.output.at, text));
        }
        Ok(plan)
    }

    /// Returns the cost. The number of parameters is exact; multiply-adds that depend on the length of a
    /// sequence are not included.
    pub(crate) fn cost(&self) -> Cost {
        let mut cost = Cost::default();
        for node in &self.nodes {
            cost.parameters += node.step.parameters();
            cost.flops_per_position += node.flops();
        }
        let channels = self.slot.channels.unsigned_abs();
        if self.mix.gain.is_some() {
            cost.parameters += 1;
            cost.flops_per_position += channels;
        }
        if self.mix.add || self.mix.gain.is_some() {
            cost.flops_per_position += channels;
        }
        cost
    }
}

fn shape_of(slot: Shape, nodes: &[Node], value: usize) -> Shape {
    value.checked_sub(1).and_then(|i| nodes.get(i)).map_or(slot, |node| node.shape)
}

impl Node {
    fn flops(&self) -> u64 {
        let width = self.shape.channels.unsigned_abs();
        let each = match self.step {
            Step::Conv(c) => {
                width * (c.from / c.groups).unsigned_abs() * (c.kernel * c.kernel).unsigned_abs()
            }
            Step::Linear { from, to, .. } => (from * to).unsigned_abs(),
            Step::SelfAttention { channels, .. } => 4 * (channels * channels).unsigned_abs(),
            Step::GroupNorm { .. }
            | Step::LayerNorm { .. }
            | Step::BatchNorm { .. }
            | Step::SqueezeExcite { .. } => 2 * width,
            Step::AvgPool { kernel, .. } | Step::MaxPool { kernel, .. } => {
                width * (kernel * kernel).unsigned_abs()
            }
            // It reads its whole input, although its output has one position.
            Step::GlobalAvg => return self.input.of_positions(width),
            Step::Add | Step::Mul => width * (self.inputs.len() as u64 - 1),
            Step::RmsNorm { .. } | Step::Activation(_) | Step::Scale { .. } | Step::Dropout { .. } => width,
            Step::Upsample | Step::Concat | Step::Identity => 0,
        };
        self.shape.of_positions(each)
    }
}
