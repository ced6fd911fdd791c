//! An expression as a tree, and its value.

use std::fmt;

/// What is wrong with an expression, and at which of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) at: usize,
    pub(crate) text: String,
}

/// A part of an expression, with the byte that it stands at where it can be wrong.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Number(i64),
    Variable(usize, String),
    Negate(usize, Box<Node>),
    Binary(usize, Operator, Box<(Node, Node)>),
    Least(Vec<Node>),
    Most(Vec<Node>),
}

/// An operator between two whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    /// The result, unless it overflows or divides by 0.
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
    /// Its value, where `lookup` knows the variables.
    pub(super) fn value(&self, lookup: &dyn Fn(&str) -> Option<i64>) -> Result<i64, Wrong> {
        match self {
            Self::Number(n) => Ok(*n),
            Self::Variable(at, name) => {
                lookup(name).ok_or_else(|| Wrong { at: *at, text: format!("`{name}` has no value here") })
            }
            Self::Negate(at, inner) => {
                let value = inner.value(lookup)?;
                value
                    .checked_neg()
                    .ok_or_else(|| Wrong { at: *at, text: format!("the negative of {value} is too large") })
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
                    Wrong { at: *at, text }
                })
            }
            Self::Least(of) => fold(of, lookup, i64::min),
            Self::Most(of) => fold(of, lookup, i64::max),
        }
    }
}

fn fold(of: &[Node], lookup: &dyn Fn(&str) -> Option<i64>, pick: fn(i64, i64) -> i64) -> Result<i64, Wrong> {
    let mut values = of.iter().map(|node| node.value(lookup));
    let first = values.next().unwrap_or(Ok(0))?;
    values.try_fold(first, |picked, value| Ok(pick(picked, value?)))
}
