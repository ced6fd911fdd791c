//! Resolving a layer's keys to numbers and shapes for a slot.

use crate::document::Document;
use crate::expr::ExprError;
use crate::header::Parameter;
use crate::layer::{Arg, Layer};
use crate::ops::Kind;
use crate::reader::At;
use crate::shape::{Extent, Shape, Space};
use crate::source::{Fault, Result};
use crate::step::{Conv, Step};
use kasmina_plugin_api::ops::norm_groups;
use std::ops::RangeInclusive;

/// Limit on channels, so that arithmetic on widths cannot overflow.
const MAX_WIDTH: i64 = 1 << 20;

/// The keys of a layer, with the values of `C` and `in`.
pub(crate) struct Args<'a> {
    pub(crate) document: &'a Document,
    pub(crate) layer: &'a Layer,
    /// Value of `C`, the channels of the slot.
    pub(crate) slot: i64,
    /// Value of `in`, the channels of the first input.
    pub(crate) channels: i64,
}

impl Args<'_> {
    fn get(&self, key: &str) -> Option<&At<Arg>> {
        self.layer.op.keys.iter().position(|k| k.name == key).and_then(|i| self.layer.args.get(i))
    }

    fn fault(&self, key: &str, text: impl Into<String>) -> Fault {
        Fault::at(self.get(key).map_or(&self.layer.at, |arg| &arg.at), text)
    }

    /// Returns ` where C = ...` for a message about a value that was computed from variables, otherwise
    /// nothing.
    fn here(&self, key: &str) -> String {
        match self.get(key) {
            Some(At { value: Arg::Whole(expr, _), .. }) if !expr.variables().is_empty() => {
                format!(" where C = {}", self.slot)
            }
            _ => String::new(),
        }
    }

    /// Returns an integer within bounds, or `None` if the key has no value and the default is automatic.
    fn optional_integer(&self, key: &str, within: RangeInclusive<i64>) -> Result<Option<i64>> {
        let Some(At { value: Arg::Whole(expr, text), at }) = self.get(key) else { return Ok(None) };
        let lookup = |name: &str| match name {
            "C" => Some(self.slot),
            "in" => Some(self.channels),
            _ => match self.document.parameters.get(name) {
                Some(Parameter::Whole(value)) => Some(*value),
                _ => None,
            },
        };
        let place = |error: &ExprError| match text {
            Some(text) => self.document.source.within(at, text, error.at),
            None => at.clone(),
        };
        let here = self.here(key);
        let value = expr
            .value(&lookup)
            .map_err(|error| Fault::at(&place(&error), format!("{}{here}", error.text)))?;
        if within.contains(&value) {
            return Ok(Some(value));
        }
        let (least, most) = (within.start(), within.end());
        Err(self.fault(key, format!("`{key}` is {value}{here}; it must be from {least} to {most}")))
    }

    fn integer(&self, key: &str, within: RangeInclusive<i64>) -> Result<i64> {
        match self.optional_integer(key, within)? {
            Some(value) => Ok(value),
            None => Err(self.fault(key, format!("`{key}` has no value"))),
        }
    }

    fn width(&self, key: &str) -> Result<i64> {
        self.integer(key, 1..=MAX_WIDTH)
    }

    fn kernel(&self) -> Result<i64> {
        let kernel = self.integer("kernel", 1..=31)?;
        if kernel % 2 == 0 {
            let here = self.here("kernel");
            let text = format!("`kernel` is {kernel}{here}; it must be odd, so that it has a centre");
            return Err(self.fault("kernel", text));
        }
        Ok(kernel)
    }

    fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Some(At { value: Arg::Flag(true), .. }))
    }

    fn zeros(&self) -> bool {
        matches!(self.get("init"), Some(At { value: Arg::Word("zeros"), .. }))
    }

    fn number(&self, key: &str, good: impl Fn(f64) -> bool, wanted: &str) -> Result<f64> {
        match self.get(key) {
            Some(At { value: Arg::Number(number), .. }) if good(*number) => Ok(*number),
            Some(At { value: Arg::Number(number), .. }) => {
                Err(self.fault(key, format!("`{key}` is {number}; it must be {wanted}")))
            }
            _ => Err(self.fault(key, format!("`{key}` has no value"))),
        }
    }

    /// Checks that `part` divides `whole`.
    fn divides(&self, key: &str, part: i64, whole: i64) -> Result<()> {
        if whole % part == 0 {
            return Ok(());
        }
        let text = format!("`{key}` is {part}, which does not divide {whole} channels (C = {})", self.slot);
        Err(self.fault(key, text))
    }

    fn strided(&self, shape: Shape, stride: i64) -> Result<Shape> {
        shape
            .strided(stride)
            .ok_or_else(|| self.fault("stride", "the product of the strides up to this layer is too large"))
    }

    /// Returns the step of this layer and the shape of its output.
    pub(crate) fn resolve(&self, space: Space, inputs: &[Shape], input: Shape) -> Result<(Step, Shape)> {
        let op = self.layer.op;
        if !space.supports(op) {
            let other = match space {
                Space::Map => "[N, C, H, W]",
                Space::Sequence => "[N, T, C]",
            };
            return Err(Fault::at(&self.layer.at, format!("`{}` does not work on {other}", op.name())));
        }
        let positive = |n: f64| n > 0.0;
        let channels = self.channels;
        let step = match op.kind {
            Kind::Conv | Kind::Depthwise => return self.conv(input),
            Kind::Linear => return self.linear(space, input),
            Kind::AvgPool | Kind::MaxPool => {
                let (kernel, stride) = (self.kernel()?, self.integer("stride", 1..=64)?);
                let step = match op.kind {
                    Kind::AvgPool => Step::AvgPool { kernel, stride },
                    _ => Step::MaxPool { kernel, stride },
                };
                return Ok((step, self.strided(input, stride)?));
            }
            Kind::GlobalAvg => return Ok((Step::GlobalAvg, Shape { extent: Extent::One, ..input })),
            Kind::Upsample => return Ok((Step::Upsample, Shape { extent: Extent::Part(1), ..input })),
            Kind::Add => return Ok((Step::Add, self.broadcast(inputs, input)?)),
            Kind::Mul => return Ok((Step::Mul, self.broadcast(inputs, input)?)),
            Kind::Concat => return Ok((Step::Concat, self.concatenated(inputs, input)?)),
            Kind::GroupNorm => {
                let groups =
                    self.optional_integer("groups", 1..=MAX_WIDTH)?.unwrap_or_else(|| norm_groups(channels));
                self.divides("groups", groups, channels)?;
                Step::GroupNorm { channels, groups }
            }
            Kind::LayerNorm if channels == 1 => {
                let text = format!("`layer_norm` of one channel is 0 everywhere (C = {})", self.slot);
                return Err(Fault::at(&self.layer.at, text));
            }
            Kind::LayerNorm => Step::LayerNorm { channels, eps: self.number("eps", positive, "above 0")? },
            Kind::RmsNorm => Step::RmsNorm { channels, eps: self.number("eps", positive, "above 0")? },
            Kind::BatchNorm => {
                let momentum = self.number("momentum", |m| m > 0.0 && m <= 1.0, "above 0 and at most 1")?;
                Step::BatchNorm { channels, momentum, eps: self.number("eps", positive, "above 0")? }
            }
            Kind::Activation(activation) => Step::Activation(activation),
            Kind::SqueezeExcite => Step::SqueezeExcite { channels, squeezed: self.width("channels")? },
            Kind::SelfAttention => {
                let heads = self.width("heads")?;
                self.divides("heads", heads, channels)?;
                let (causal, bias) = (self.flag("causal"), self.flag("bias"));
                Step::SelfAttention { channels, heads, causal, bias, zeros: self.zeros() }
            }
            Kind::Scale => {
                let per_channel = matches!(self.get("per"), Some(At { value: Arg::Word("channel"), .. }));
                let factors = if per_channel { channels } else { 1 };
                Step::Scale { factors, value: self.number("value", |_| true, "a number")? }
            }
            Kind::Dropout => {
                let wanted = "at least 0 and below 1";
                Step::Dropout { p: self.number("p", |p| (0.0..1.0).contains(&p), wanted)? }
            }
            Kind::Identity => Step::Identity,
        };
        Ok((step, input))
    }

    fn conv(&self, input: Shape) -> Result<(Step, Shape)> {
        let from = self.channels;
        let depthwise = self.layer.op.kind == Kind::Depthwise;
        let to = if depthwise { from } else { self.width("channels")? };
        let groups = if depthwise { from } else { self.width("groups")? };
        self.divides("groups", groups, from)?;
        self.divides("groups", groups, to)?;
        let (kernel, stride) = (self.kernel()?, self.integer("stride", 1..=64)?);
        let dilation = self.integer("dilation", 1..=64)?;
        let (bias, zeros) = (self.flag("bias"), self.zeros());
        let conv = Conv { from, to, kernel, stride, groups, dilation, bias, zeros };
        Ok((Step::Conv(conv), self.strided(input, stride)?.with_channels(to)))
    }

    fn linear(&self, space: Space, input: Shape) -> Result<(Step, Shape)> {
        let (from, to) = (self.channels, self.width("channels")?);
        let (bias, zeros) = (self.flag("bias"), self.zeros());
        let step = match space {
            Space::Map => {
                Step::Conv(Conv { from, to, kernel: 1, stride: 1, groups: 1, dilation: 1, bias, zeros })
            }
            Space::Sequence => Step::Linear { from, to, bias, zeros },
        };
        Ok((step, input.with_channels(to)))
    }

    /// Returns the shape of a sum or product.
    fn broadcast(&self, inputs: &[Shape], first: Shape) -> Result<Shape> {
        inputs.iter().try_fold(first, |all, shape| {
            all.broadcast(*shape).ok_or_else(|| {
                let op = self.layer.op.name();
                let text = format!(
                    "`{op}` cannot combine {all} and {shape} (C = {}); only one channel and 1x1 maps are broadcast",
                    self.slot
                );
                Fault::at(&self.layer.at, text)
            })
        })
    }

    /// Returns the shape of the inputs concatenated along the channels.
    fn concatenated(&self, inputs: &[Shape], first: Shape) -> Result<Shape> {
        if let Some(odd) = inputs.iter().find(|shape| shape.extent != first.extent) {
            let text = format!("`concat` cannot combine {first} and {odd}; their maps differ in size");
            return Err(Fault::at(&self.layer.at, text));
        }
        let channels = inputs.iter().map(|shape| shape.channels).sum::<i64>();
        if channels > MAX_WIDTH {
            let text =
                format!("`concat` makes {channels} channels where C = {}; at most {MAX_WIDTH}", self.slot);
            return Err(Fault::at(&self.layer.at, text));
        }
        Ok(first.with_channels(channels))
    }
}
