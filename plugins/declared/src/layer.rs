//! Parts of a document: layers with their keys, connections between layers, and the output.

use crate::expr::Expr;
use crate::ops::Op;
use crate::reader::At;
use crate::source::Span;

/// One `[[layer]]` table.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) op: &'static Op,
    pub(crate) name: Option<String>,
    /// Place of the layer's name, or of its `op`.
    pub(crate) at: Span,
    /// Values of the operation's keys, in the order of [`Op::keys`].
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

/// The value of a key. Only integers can depend on the slot.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    /// Chosen when the seed is built.
    Auto,
    /// An expression, with its text unless it was an integer.
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

/// How a branch `y` and the slot's features `x` are combined to the seed's output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mix {
    /// Whether `y` is added to `x`. Otherwise it replaces `x`.
    pub(crate) add: bool,
    /// Value of the learned gain at birth; `None` for no gain.
    pub(crate) gain: Option<f64>,
}

/// Allowed values of `residual`.
pub(crate) const RESIDUAL: [&str; 2] = ["add", "none"];

impl Layer {
    /// Returns the name of the layer for messages.
    pub(crate) fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("`{name}`"),
            None => format!("this `{}`", self.op.name()),
        }
    }
}
