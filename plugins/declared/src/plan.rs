//! A document at a slot: every width a number, every shape known, and the price.

use crate::document::Document;
use crate::layer::{Mix, Wire};
use crate::resolve::Args;
use crate::shape::{Shape, Space};
use crate::source::{Fault, Result};
use crate::step::Step;
use kasmina_plugin_api::Cost;

/// What is to be built.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) slot: Shape,
    /// Nodes in an order in which each follows its inputs.
    pub(crate) nodes: Vec<Node>,
    /// The value that becomes the output: 0 is the slot's features, `n` is what node `n - 1` makes.
    pub(crate) branch: usize,
    pub(crate) mix: Mix,
}

/// A layer with its numbers.
#[derive(Debug)]
pub(crate) struct Node {
    /// The name of its variables: the layer's, or made of its operation and place.
    pub(crate) name: String,
    pub(crate) step: Step,
    /// Indices of the inputs, as in [`Plan::branch`].
    pub(crate) inputs: Vec<usize>,
    /// Shape of the first input.
    pub(crate) input: Shape,
    /// Shape of the output.
    pub(crate) shape: Shape,
}

/// More parameters than this are a slip of the pen.
const MOST_PARAMETERS: u64 = 1 << 31;

impl Plan {
    /// What the document says of a slot with this many channels.
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
                    "bring it back with `upsample`, or multiply the slot's features by it with `mul`"
                }
                _ => "end with a `conv` or `linear` of `channels = \"C\"`",
            };
            let text = format!("the output is {made} where the slot is {slot}; {help}");
            return Err(Fault::at(&document.output.at, text));
        }
        let plan = Self { slot, nodes, branch, mix: document.output.mix };
        let parameters = plan.cost().parameters;
        if parameters > MOST_PARAMETERS {
            let text = format!("the seed would have {parameters} parameters where C = {channels}");
            return Err(Fault::at(&document.output.at, text));
        }
        Ok(plan)
    }

    /// Exact in parameters. Multiply-adds leave out what depends on the length of a sequence.
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
            // It reads all of its input, though it makes one position.
            Step::GlobalAvg => return self.input.of_positions(width),
            Step::Add | Step::Mul => width * (self.inputs.len() as u64 - 1),
            Step::RmsNorm { .. } | Step::Activation(_) | Step::Scale { .. } | Step::Dropout { .. } => width,
            Step::Upsample | Step::Concat | Step::Identity => 0,
        };
        self.shape.of_positions(each)
    }
}
