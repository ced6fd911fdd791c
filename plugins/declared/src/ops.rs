//! Table of the operations, which the reader, the schema and the guide's reference use.

/// Kind of an operation. Each kind has a row in [`OPS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Conv,
    Depthwise,
    Linear,
    GroupNorm,
    LayerNorm,
    RmsNorm,
    BatchNorm,
    Activation(Activation),
    SqueezeExcite,
    SelfAttention,
    AvgPool,
    MaxPool,
    GlobalAvg,
    Upsample,
    Add,
    Mul,
    Concat,
    Scale,
    Dropout,
    Identity,
}

/// An elementwise activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    Relu,
    LeakyRelu,
    Gelu,
    Silu,
    Tanh,
    Sigmoid,
    Softplus,
}

/// An operation that a document can use.
#[derive(Debug)]
pub(crate) struct Op {
    /// Name of the operation, and its synonyms.
    pub(crate) names: &'static [&'static str],
    pub(crate) kind: Kind,
    /// Whether it takes two or more inputs. Otherwise it takes one.
    pub(crate) several: bool,
    /// Whether it works on `[N, C, H, W]`.
    pub(crate) maps: bool,
    /// Whether it works on `[N, T, C]`.
    pub(crate) sequences: bool,
    pub(crate) keys: &'static [Key],
    /// Shapes of input and output, for the guide.
    pub(crate) shape: &'static str,
    pub(crate) about: &'static str,
}

/// One key of an operation.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) takes: Takes,
    pub(crate) default: Default,
    pub(crate) about: &'static str,
}

/// Type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// An integer, or an expression.
    Whole,
    /// A number, or the name of a parameter.
    Number,
    /// A boolean, or the name of a parameter.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// Value of a key that is not written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Default {
    /// The key has no default and must be written.
    Required,
    /// The same as if this were written.
    Is(&'static str),
    /// Chosen when the seed is built; the text describes how.
    Auto(&'static str),
}

impl Op {
    /// Returns the name that the guide uses.
    pub(crate) fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }
    /// Returns the operation with a name or synonym.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        OPS.iter().find(|op| op.names.contains(&name))
    }
    /// Returns all names of all operations, synonyms included.
    pub(crate) fn all_names() -> impl Iterator<Item = &'static str> {
        OPS.iter().flat_map(|op| op.names.iter().copied())
    }
}

/// Keys that every layer has.
pub(crate) const COMMON: [&str; 3] = ["op", "name", "from"];

/// Allowed values of `init`.
const INIT: &[&str] = &["default", "zeros"];

const fn key(name: &'static str, takes: Takes, default: Default, about: &'static str) -> Key {
    Key { name, takes, default, about }
}

const CHANNELS: Key = key("channels", Takes::Whole, Default::Is("in"), "channels of the output");
const KERNEL: Key = key("kernel", Takes::Whole, Default::Is("3"), "side of the kernel; odd, at most 31");
const STRIDE: Key =
    key("stride", Takes::Whole, Default::Is("1"), "height and width are divided by it, rounded up");
const GROUPS: Key = key("groups", Takes::Whole, Default::Is("1"), "must divide both numbers of channels");
const DILATION: Key = key("dilation", Takes::Whole, Default::Is("1"), "distance of the kernel's taps");
const BIAS: Key =
    key("bias", Takes::Flag, Default::Is("true"), "adds a learned value per output channel, 0 at birth");
const INITIAL: Key =
    key("init", Takes::Word(INIT), Default::Is("default"), "`zeros`: the output is 0 at birth");
const EPS: Key = key("eps", Takes::Number, Default::Is("1e-5"), "added before the root is taken");

const fn activation(names: &'static [&'static str], of: Activation, about: &'static str) -> Op {
    Op {
        names,
        kind: Kind::Activation(of),
        several: false,
        maps: true,
        sequences: true,
        keys: &[],
        shape: "any → the same",
        about,
    }
}

/// All operations of declared blueprints.
pub(crate) const OPS: &[Op] = &[
    Op {
        names: &["conv"],
        kind: Kind::Conv,
        several: false,
        maps: true,
        sequences: false,
        keys: &[CHANNELS, KERNEL, STRIDE, GROUPS, DILATION, BIAS, INITIAL],
        shape: "`[N, in, H, W]` → `[N, channels, H/stride, W/stride]`",
        about: "a convolution, padded with zeros so that stride 1 keeps height and width",
    },
    Op {
        names: &["depthwise"],
        kind: Kind::Depthwise,
        several: false,
        maps: true,
        sequences: false,
        keys: &[KERNEL, STRIDE, DILATION, BIAS, INITIAL],
        shape: "`[N, in, H, W]` → `[N, in, H/stride, W/stride]`",
        about: "a convolution of each channel separately",
    },
    Op {
        names: &["linear"],
        kind: Kind::Linear,
        several: false,
        maps: true,
        sequences: true,
        keys: &[CHANNELS, BIAS, INITIAL],
        shape: "`in` channels → `channels` channels",
        about: "mixes the channels of each position: on maps a 1x1 convolution",
    },
    Op {
        names: &["group_norm", "norm"],
        kind: Kind::GroupNorm,
        several: false,
        maps: true,
        sequences: false,
        keys: &[key(
            "groups",
            Takes::Whole,
            Default::Auto("at least 16 channels a group"),
            "must divide the channels",
        )],
        shape: "any → the same",
        about: "group normalisation, with a learned weight and bias per channel",
    },
    Op {
        names: &["layer_norm"],
        kind: Kind::LayerNorm,
        several: false,
        maps: true,
        sequences: true,
        keys: &[EPS],
        shape: "any → the same",
        about: "normalises the channels of each position, with a learned weight and bias",
    },
    Op {
        names: &["rms_norm"],
        kind: Kind::RmsNorm,
        several: false,
        maps: true,
        sequences: true,
        keys: &[EPS],
        shape: "any → the same",
        about: "divides the channels of each position by their root mean square, with a learned weight",
    },
    Op {
        names: &["batch_norm"],
        kind: Kind::BatchNorm,
        several: false,
        maps: true,
        sequences: false,
        keys: &[
            key("momentum", Takes::Number, Default::Is("0.1"), "weight of a new batch's statistics"),
            EPS,
        ],
        shape: "any → the same",
        about: "batch normalisation; its running statistics are used in evaluation",
    },
    activation(&["relu"], Activation::Relu, "`max(x, 0)`"),
    activation(&["leaky_relu"], Activation::LeakyRelu, "`max(x, 0.01 x)`"),
    activation(&["gelu"], Activation::Gelu, "`x Φ(x)`"),
    activation(&["silu", "swish"], Activation::Silu, "`x sigmoid(x)`"),
    activation(&["tanh"], Activation::Tanh, "hyperbolic tangent"),
    activation(&["sigmoid"], Activation::Sigmoid, "`1 / (1 + exp(-x))`"),
    activation(&["softplus"], Activation::Softplus, "`ln(1 + exp(x))`"),
    Op {
        names: &["squeeze_excite"],
        kind: Kind::SqueezeExcite,
        several: false,
        maps: true,
        sequences: false,
        keys: &[key(
            "channels",
            Takes::Whole,
            Default::Is("max(in / 4, 4)"),
            "width of the squeezed features",
        )],
        shape: "any → the same",
        about: "`x * 2 sigmoid(W2 gelu(W1 mean(x)))` with `W2 = 0` at birth: then the factor is 1",
    },
    Op {
        names: &["self_attention"],
        kind: Kind::SelfAttention,
        several: false,
        maps: false,
        sequences: true,
        keys: &[
            key("heads", Takes::Whole, Default::Required, "must divide the channels"),
            key("causal", Takes::Flag, Default::Is("true"), "no position attends to a later one"),
            BIAS,
            INITIAL,
        ],
        shape: "`[N, T, in]` → the same",
        about: "multi-head self-attention with its four projections; `init` applies to the output projection",
    },
    Op {
        names: &["avg_pool"],
        kind: Kind::AvgPool,
        several: false,
        maps: true,
        sequences: false,
        keys: &[KERNEL, STRIDE],
        shape: "`[N, in, H, W]` → `[N, in, H/stride, W/stride]`",
        about: "the mean around each position; positions outside of the map are not counted",
    },
    Op {
        names: &["max_pool"],
        kind: Kind::MaxPool,
        several: false,
        maps: true,
        sequences: false,
        keys: &[KERNEL, STRIDE],
        shape: "`[N, in, H, W]` → `[N, in, H/stride, W/stride]`",
        about: "the maximum around each position",
    },
    Op {
        names: &["global_avg"],
        kind: Kind::GlobalAvg,
        several: false,
        maps: true,
        sequences: false,
        keys: &[],
        shape: "`[N, in, H, W]` → `[N, in, 1, 1]`",
        about: "the mean of each channel over the whole map",
    },
    Op {
        names: &["upsample"],
        kind: Kind::Upsample,
        several: false,
        maps: true,
        sequences: false,
        keys: &[],
        shape: "`[N, in, any, any]` → `[N, in, H, W]`",
        about: "restores the slot's height and width by repeating the nearest value",
    },
    Op {
        names: &["add"],
        kind: Kind::Add,
        several: true,
        maps: true,
        sequences: true,
        keys: &[],
        shape: "shapes that agree → the widest",
        about: "the sum of its inputs; one channel and 1x1 maps are broadcast",
    },
    Op {
        names: &["mul"],
        kind: Kind::Mul,
        several: true,
        maps: true,
        sequences: true,
        keys: &[],
        shape: "shapes that agree → the widest",
        about: "the product of its inputs; one channel and 1x1 maps are broadcast",
    },
    Op {
        names: &["concat"],
        kind: Kind::Concat,
        several: true,
        maps: true,
        sequences: true,
        keys: &[],
        shape: "maps of one size → the sum of the channels",
        about: "concatenates the channels of its inputs",
    },
    Op {
        names: &["scale"],
        kind: Kind::Scale,
        several: false,
        maps: true,
        sequences: true,
        keys: &[
            key("value", Takes::Number, Default::Is("1.0"), "the factor at birth"),
            key(
                "per",
                Takes::Word(&["all", "channel"]),
                Default::Is("all"),
                "one factor, or one per channel",
            ),
        ],
        shape: "any → the same",
        about: "multiplies by a learned factor",
    },
    Op {
        names: &["dropout"],
        kind: Kind::Dropout,
        several: false,
        maps: true,
        sequences: true,
        keys: &[key(
            "p",
            Takes::Number,
            Default::Is("0.1"),
            "share of values set to 0; at least 0 and below 1",
        )],
        shape: "any → the same",
        about: "sets values to 0 at random in training; the document must declare `stochastic`",
    },
    Op {
        names: &["identity"],
        kind: Kind::Identity,
        several: false,
        maps: true,
        sequences: true,
        keys: &[],
        shape: "any → the same",
        about: "returns its input; gives it a name that other layers can use",
    },
];
