//! Integer expressions that depend on the slot: `max(C / 4, 1) * width`.
//!
//! The arithmetic is that of checked 64-bit integers: overflow is an error.
//! `/` and `%` round towards zero.

mod node;
mod parse;

pub(crate) use node::ExprError;
pub(crate) use parse::FUNCTIONS;

use node::Node;
use parse::parse;

/// A parsed expression.
#[derive(Debug, Clone)]
pub(crate) struct Expr(Node);

impl Expr {
    pub(crate) fn number(value: i64) -> Self {
        Self(Node::Number(value))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, ExprError> {
        parse(text).map(Self)
    }

    /// Returns each variable with its byte position.
    pub(crate) fn variables(&self) -> Vec<(usize, &str)> {
        let mut found = Vec::new();
        let mut left = vec![&self.0];
        while let Some(node) = left.pop() {
            match node {
                Node::Number(_) => {}
                Node::Variable(at, name) => found.push((*at, name.as_str())),
                Node::Negate(_, inner) => left.push(inner),
                Node::Binary(_, _, sides) => left.extend([&sides.1, &sides.0]),
                Node::Min(of) | Node::Max(of) => left.extend(of.iter().rev()),
            }
        }
        found
    }

    /// Computes the value. `lookup` returns the values of variables.
    pub(crate) fn value(&self, lookup: &dyn Fn(&str) -> Option<i64>) -> Result<i64, ExprError> {
        self.0.value(lookup)
    }
}

#[cfg(test)]
mod spec {
    use super::Expr;
    use super::node::Operator;
    use super::parse;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    fn lookup(name: &str) -> Option<i64> {
        match name {
            "C" => Some(48),
            "width" => Some(4),
            _ => None,
        }
    }

    fn value(text: &str) -> Result<i64, (usize, String)> {
        Expr::parse(text).and_then(|e| e.value(&lookup)).map_err(|wrong| (wrong.at, wrong.text))
    }

    #[test]
    fn the_arithmetic_is_that_of_integers() {
        let table = [
            ("7", 7),
            ("C", 48),
            ("max(C / 4, 1) * width", 48),
            ("2 + 3 * 4", 14),
            ("(2 + 3) * 4", 20),
            ("20 - 3 - 4", 13),
            ("100 / 10 / 3", 3),
            ("17 % 5 * 2", 4),
            ("-3 + 5", 2),
            ("--3", 3),
            ("2 * -3", -6),
            ("-7 / 2", -3),
            ("min(3, max(1, 2), C)", 2),
            ("max(5)", 5),
            (" C\t/\n2 ", 24),
        ];
        for (text, expected) in table {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn errors_have_the_column() {
        let long = "1+".repeat(300);
        let deep = "(".repeat(40);
        let table = [
            "",
            "C +",
            "(C",
            "C)",
            "min(C",
            "min",
            "min()",
            "half(C)",
            "C C",
            "1.5 * C",
            "C / (width - 4)",
            "C % 0",
            "9223372036854775808",
            "9223372036854775807 + 1",
            "-(0 - 9223372036854775807 - 1)",
            "C ^ 2",
            "a",
            "é",
            &long,
            &deep,
        ];
        let mut messages = String::new();
        for text in table {
            let (at, wrong) = value(text).unwrap_err();
            let shown: String = text.chars().take(30).collect();
            writeln!(messages, "{shown:<30} {at:>3} {wrong}").unwrap();
        }
        insta::assert_snapshot!(messages);
    }

    /// Generates an expression as text, with its value in 128-bit arithmetic if that fits into 64 bits.
    fn any_expression() -> impl Strategy<Value = (String, Option<i128>)> {
        let leaf = prop_oneof![
            (0i64..1000).prop_map(|n| (n.to_string(), Some(i128::from(n)))),
            Just(("C".to_owned(), Some(48))),
            Just(("width".to_owned(), Some(4))),
            Just((i64::MAX.to_string(), Some(i128::from(i64::MAX)))),
        ];
        leaf.prop_recursive(5, 40, 3, |inner| {
            let operator = prop_oneof![
                Just(Operator::Add),
                Just(Operator::Subtract),
                Just(Operator::Multiply),
                Just(Operator::Divide),
                Just(Operator::Remainder)
            ];
            prop_oneof![
                (inner.clone(), operator, inner.clone()).prop_map(|((a, x), op, (b, y))| {
                    let value = x.zip(y).and_then(|(x, y)| match op {
                        Operator::Add => Some(x + y),
                        Operator::Subtract => Some(x - y),
                        Operator::Multiply => Some(x * y),
                        Operator::Divide => x.checked_div(y),
                        Operator::Remainder => x.checked_rem(y),
                    });
                    (format!("({a}) {op}({b})"), value.and_then(small))
                }),
                inner.clone().prop_map(|(a, x)| (format!("-({a})"), x.and_then(|x| small(-x)))),
                (inner.clone(), inner, any::<bool>()).prop_map(|((a, x), (b, y), min)| {
                    let value = x.zip(y).map(|(x, y)| if min { x.min(y) } else { x.max(y) });
                    (format!("{}({a}, {b})", if min { "min" } else { "max" }), value)
                }),
            ]
        })
    }

    fn small(value: i128) -> Option<i128> {
        i64::try_from(value).ok().map(i128::from)
    }

    proptest! {
        #[test]
        fn values_are_those_of_128_bit_arithmetic((text, expected) in any_expression()) {
            // Only the limits on depth and length refuse a valid expression.
            if let Ok(expr) = Expr::parse(&text) {
                prop_assert_eq!(expr.value(&lookup).ok().map(i128::from), expected, "{}", text);
            } else {
                prop_assert!(text.len() > parse::MAX_LENGTH || text.matches('(').count() > parse::MAX_DEPTH / 2);
            }
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "[-+*/%(), 0-9a-zCé.]{0,60}") {
            if let Err(wrong) = Expr::parse(&text) {
                prop_assert!(wrong.at <= text.len() && text.is_char_boundary(wrong.at));
            }
        }

        #[test]
        fn operators_have_the_usual_precedence(a in -99i64..99, b in 1i64..99, c in 1i64..99, d in 1i64..99) {
            let text = format!("{a} + {b} * {c} - {d} % {c} / {b}");
            prop_assert_eq!(value(&text), Ok(a + b * c - d % c / b));
        }
    }
}
