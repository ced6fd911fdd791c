//! The PyTorch source of a document resolved for a slot.

use crate::ops::Activation;
use crate::plan::{Node, Plan};
use crate::shape::Space;
use crate::step::{Conv, Step};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Layers that have no PyTorch module whose parameters have the same names.
const CHANNEL_NORM: &str = include_str!("../pytorch/channel_norm.py");
const BATCH_NORM: &str = include_str!("../pytorch/batch_norm.py");
const SQUEEZE_EXCITE: &str = include_str!("../pytorch/squeeze_excite.py");
const SELF_ATTENTION: &str = include_str!("../pytorch/self_attention.py");
const SCALE: &str = include_str!("../pytorch/scale.py");

/// Returns the source of a plan's module. Its sizes are constants, so the constructor ignores its arguments.
pub(crate) fn source(plan: &Plan, id: &str) -> String {
    let mut helpers = BTreeSet::new();
    let (mut modules, mut lines) = (String::new(), String::new());
    for (at, node) in plan.nodes.iter().enumerate() {
        if let Some((module, helper)) = module(node, plan.slot.space) {
            helpers.extend(helper);
            let _ = writeln!(modules, "        self.add_module({:?}, {module})", node.name);
        }
        let inputs: Vec<String> = node.inputs.iter().map(|input| value(*input)).collect();
        let _ = writeln!(lines, "        {} = {}", value(at + 1), expression(node, &inputs, plan.slot.space));
    }
    if let Some(gain) = plan.mix.gain {
        let _ = writeln!(modules, "        self.gain = nn.Parameter(torch.tensor({gain:?}))");
    }
    let branch = value(plan.branch);
    let output = match (plan.mix.gain, plan.mix.add) {
        (None, false) => branch,
        (None, true) => format!("x + {branch}"),
        (Some(_), true) => format!("x + self.gain * {branch}"),
        (Some(_), false) => format!("torch.lerp(x, {branch}, self.gain)"),
    };
    let helpers: String = helpers.into_iter().flat_map(|helper| [helper, "\n\n"]).collect();
    format!(
        "{helpers}class {}(nn.Module):\n    \"\"\"The declared blueprint {id}\"\"\"\n\n    def __init__(self, channels, topology, **settings):\n        super().__init__()\n{modules}\n    def forward(self, x):\n{lines}        return {output}\n",
        class_name(id)
    )
}

/// Returns the Python variable of a value: 0 is the slot's features, `n` the output of node `n - 1`.
fn value(index: usize) -> String {
    if index == 0 { "x".to_owned() } else { format!("y{index}") }
}

fn class_name(id: &str) -> String {
    let words = id.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let capital = |word: &str| {
        let (first, rest) = word.split_at(1);
        first.to_ascii_uppercase() + rest
    };
    let name: String = words.map(capital).collect();
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("Declared{name}") }
}

/// Returns the expression that creates a node's module, and the source of its class if PyTorch has none.
/// `None` for a node without variables.
fn module(node: &Node, space: Space) -> Option<(String, Option<&'static str>)> {
    let sequence = python(space == Space::Sequence);
    Some(match node.step {
        Step::Conv(Conv { from, to, kernel, stride, groups, dilation, bias, .. }) => {
            let padding = dilation * (kernel / 2);
            let text = format!(
                "nn.Conv2d({from}, {to}, {kernel}, stride={stride}, padding={padding}, dilation={dilation}, groups={groups}, bias={})",
                python(bias)
            );
            (text, None)
        }
        Step::Linear { from, to, bias, .. } => {
            (format!("nn.Linear({from}, {to}, bias={})", python(bias)), None)
        }
        Step::GroupNorm { channels, groups } => (format!("nn.GroupNorm({groups}, {channels})"), None),
        Step::LayerNorm { channels, eps } => {
            (format!("ChannelNorm({channels}, {eps:?}, {sequence})"), Some(CHANNEL_NORM))
        }
        Step::RmsNorm { channels, eps } => {
            (format!("ChannelNorm({channels}, {eps:?}, {sequence}, centred=False)"), Some(CHANNEL_NORM))
        }
        Step::BatchNorm { channels, momentum, eps } => {
            (format!("DeclaredBatchNorm({channels}, {momentum:?}, {eps:?})"), Some(BATCH_NORM))
        }
        Step::SqueezeExcite { channels, squeezed } => {
            (format!("SqueezeExcite({channels}, {squeezed})"), Some(SQUEEZE_EXCITE))
        }
        Step::SelfAttention { channels, heads, causal, bias, .. } => {
            let text = format!("SelfAttention({channels}, {heads}, {}, {})", python(causal), python(bias));
            (text, Some(SELF_ATTENTION))
        }
        Step::Scale { factors, value } => {
            let shape = match (space, factors) {
                (_, 1) => "()".to_owned(),
                (Space::Map, n) => format!("(1, {n}, 1, 1)"),
                (Space::Sequence, n) => format!("({n},)"),
            };
            (format!("Scale({shape}, {value:?})"), Some(SCALE))
        }
        _ => return None,
    })
}

/// Returns the expression that computes a node's output from its inputs.
fn expression(node: &Node, inputs: &[String], space: Space) -> String {
    let x = inputs.first().map_or("x", String::as_str);
    match node.step {
        Step::Activation(activation) => activate(x, activation),
        Step::AvgPool { kernel, stride } => {
            format!("F.avg_pool2d({x}, {kernel}, {stride}, {}, count_include_pad=False)", kernel / 2)
        }
        Step::MaxPool { kernel, stride } => format!("F.max_pool2d({x}, {kernel}, {stride}, {})", kernel / 2),
        Step::GlobalAvg => format!("{x}.mean((2, 3), keepdim=True)"),
        Step::Upsample => format!("F.interpolate({x}, size=x.shape[2:], mode=\"nearest\")"),
        Step::Add => inputs.join(" + "),
        Step::Mul => inputs.join(" * "),
        Step::Concat => {
            format!("torch.cat([{}], dim={})", inputs.join(", "), if space == Space::Map { 1 } else { 2 })
        }
        Step::Dropout { p } => format!("F.dropout({x}, {p:?}, self.training)"),
        Step::Identity => x.to_owned(),
        _ => format!("getattr(self, {:?})({x})", node.name),
    }
}

fn activate(x: &str, activation: Activation) -> String {
    match activation {
        Activation::Relu => format!("F.relu({x})"),
        Activation::LeakyRelu => format!("F.leaky_relu({x})"),
        Activation::Gelu => format!("F.gelu({x})"),
        Activation::Silu => format!("F.silu({x})"),
        Activation::Tanh => format!("torch.tanh({x})"),
        Activation::Sigmoid => format!("torch.sigmoid({x})"),
        Activation::Softplus => format!("F.softplus({x})"),
    }
}

fn python(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}
