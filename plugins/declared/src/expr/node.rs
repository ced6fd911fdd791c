//! The syntax tree of an expression, and its evaluation.

use std::fmt;

/// An error in an expression, with its byte position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExprError {
    pub(crate) at: usize,
    pub(crate) text: String,
}

/// A part of an expression. Parts whose evaluation can fail have a byte position.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Number(i64),
    Variable(usize, String),
    Negate(usize, Box<Node>),
    Binary(usize, Operator, Box<(Node, Node)>),
    Min(Vec<Node>),
    Max(Vec<Node>),
}

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    /// Returns the result, or `None` if it overflows or divides by 0.
    fn apply(self, a: i64, b: i64) -> Option<i64> {
        match self {
            Self::Add => a.checked_add(b),
            Self::Subtract => a.checked_sub(b),
            Self::Multiply => a.checked_mul(b),
            Self::Divide => a.checked_div(b),
            Self::Remainder => a.checked_rem(b),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        })
    }
}

impl Node {
    /// Computes the value. `lookup` returns the values of variables.
    pub(super) fn value(&self, lookup: &dyn Fn(&str) -> Option<i64>) -> Result<i64, ExprError> {
        match self {
            Self::Number(n) => Ok(*n),
            Self::Variable(at, name) => {
                lookup(name).ok_or_else(|| ExprError { at: *at, text: format!("`{name}` has no value here") })
            }
            Self::Negate(at, inner) => {
                let value = inner.value(lookup)?;
                value.checked_neg().ok_or_else(|| ExprError {
                    at: *at,
                    text: format!("the negative of {value} is too large"),
                })
            }
            Self::Binary(at, operator, sides) => {
                let (a, b) = (sides.0.value(lookup)?, sides.1.value(lookup)?);
                operator.apply(a, b).ok_or_else(|| {
                    let zero = b == 0 && matches!(operator, Operator::Divide | Operator::Remainder);
                    let text = if zero {
                        format!("`{operator}` divides {a} by zero")
                    } else {
                        format!("`{a} {operator} {b}` is too large")
                    };
                    ExprError { at: *at, text }
                })
            }
            Self::Min(of) => fold(of, lookup, i64::min),
            Self::Max(of) => fold(of, lookup, i64::max),
        }
    }
}

fn fold(
    of: &[Node],
    lookup: &dyn Fn(&str) -> Option<i64>,
    pick: fn(i64, i64) -> i64,
) -> Result<i64, ExprError> {
    let mut values = of.iter().map(|node| node.value(lookup));
    let first = values.next().unwrap_or(Ok(0))?;
    values.try_fold(first, |picked, value| Ok(pick(picked, value?)))
}
