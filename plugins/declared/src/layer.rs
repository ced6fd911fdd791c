//! The parts of a document: layers with their keys, wires, and the output.

use crate::expr::Expr;
use crate::ops::Op;
use crate::reader::At;
use crate::source::Span;

/// One `[[layer]]` table.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) op: &'static Op,
    pub(crate) name: Option<String>,
    /// Where it says what it is.
    pub(crate) at: Span,
    /// One for each key of the operation, in its order.
    pub(crate) args: Vec<At<Arg>>,
    pub(crate) inputs: Vec<Wire>,
}

/// Source of a layer's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// The features of the slot.
    Input,
    /// The layer of that index.
    Layer(usize),
}

/// The value of a key. Only whole numbers wait for the slot.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    Auto,
    /// With the text that it was read from, if it was text.
    Whole(Expr, Option<String>),
    Number(f64),
    Flag(bool),
    Word(&'static str),
}

/// The `[output]` table of a declared blueprint.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) from: Wire,
    pub(crate) at: Span,
    pub(crate) mix: Mix,
}

/// How a branch `y` and the slot's features `x` become the seed's features.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mix {
    /// Whether `y` is added to `x`, or stands for it.
    pub(crate) add: bool,
    /// The learned gain's value at birth, if there is one.
    pub(crate) gain: Option<f64>,
}

/// Allowed values of `residual`.
pub(crate) const RESIDUAL: [&str; 2] = ["add", "none"];

impl Layer {
    /// Name of the layer in messages.
    pub(crate) fn shown(&self) -> String {
        match &self.name {
            Some(name) => format!("`{name}`"),
            None => format!("this `{}`", self.op.name()),
        }
    }
}
