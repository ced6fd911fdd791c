//! Whole numbers that depend on the slot: `max(C / 4, 1) * width`.
//!
//! The arithmetic is that of 64-bit integers, checked: what overflows is an error and never another number. `/` and
//! `%` round towards zero.

use std::fmt;

/// An expression that was understood.
#[derive(Debug, Clone)]
pub(crate) struct Expr(Node);

/// What is wrong with an expression, and at which of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) at: usize,
    pub(crate) text: String,
}

#[derive(Debug, Clone)]
enum Node {
    Number(i64),
    Variable(usize, String),
    Negate(usize, Box<Node>),
    Binary(usize, Operator, Box<(Node, Node)>),
    Least(Vec<Node>),
    Most(Vec<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
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

/// No width needs more, and what recurses over an expression never runs out of stack.
const LONGEST: usize = 400;
const DEEPEST: usize = 32;

/// The names that are functions, so that no parameter can have them.
pub(crate) const FUNCTIONS: [&str; 2] = ["min", "max"];

impl Expr {
    pub(crate) fn number(value: i64) -> Self {
        Self(Node::Number(value))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        if text.len() > LONGEST {
            let text = format!("the expression is longer than {LONGEST} characters");
            return Err(Wrong { at: 0, text });
        }
        let mut parser = Parser { text, at: 0, depth: 0 };
        let node = parser.sum()?;
        match parser.peek() {
            None => Ok(Self(node)),
            Some(c) => {
                Err(parser.wrong(format!("an operator such as `+` or `*` is expected here, not `{c}`")))
            }
        }
    }

    /// Each variable, with the byte it stands at.
    pub(crate) fn variables(&self) -> Vec<(usize, &str)> {
        let mut found = Vec::new();
        let mut left = vec![&self.0];
        while let Some(node) = left.pop() {
            match node {
                Node::Number(_) => {}
                Node::Variable(at, name) => found.push((*at, name.as_str())),
                Node::Negate(_, inner) => left.push(inner),
                Node::Binary(_, _, sides) => left.extend([&sides.1, &sides.0]),
                Node::Least(of) | Node::Most(of) => left.extend(of.iter().rev()),
            }
        }
        found
    }

    /// Its value, where `lookup` knows the variables.
    pub(crate) fn value(&self, lookup: &dyn Fn(&str) -> Option<i64>) -> Result<i64, Wrong> {
        self.0.value(lookup)
    }
}

impl Node {
    fn value(&self, lookup: &dyn Fn(&str) -> Option<i64>) -> Result<i64, Wrong> {
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

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn wrong(&self, text: impl Into<String>) -> Wrong {
        Wrong { at: self.at, text: text.into() }
    }

    /// The next character that is not a space, which stays.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed.chars().next()
    }

    /// Takes `wanted`, if it is next.
    fn take(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.at += wanted.len_utf8();
        }
        there
    }

    /// Takes the longest piece of characters like these.
    fn run(&mut self, like: impl Fn(char) -> bool) -> &str {
        let rest = &self.text[self.at..];
        let end = rest.find(|c| !like(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn sum(&mut self) -> Result<Node, Wrong> {
        self.chain(&[('+', Operator::Add), ('-', Operator::Subtract)], Self::product)
    }

    fn product(&mut self) -> Result<Node, Wrong> {
        let operators = [('*', Operator::Multiply), ('/', Operator::Divide), ('%', Operator::Remainder)];
        self.chain(&operators, Self::factor)
    }

    /// `part (operator part)*`, from left to right.
    fn chain(
        &mut self,
        operators: &[(char, Operator)],
        part: fn(&mut Self) -> Result<Node, Wrong>,
    ) -> Result<Node, Wrong> {
        let mut left = part(self)?;
        while let Some(c) = self.peek() {
            let Some((_, operator)) = operators.iter().find(|(sign, _)| *sign == c) else { break };
            let at = self.at;
            self.at += 1;
            let right = part(self)?;
            left = Node::Binary(at, *operator, Box::new((left, right)));
        }
        Ok(left)
    }

    /// A number, a variable, a call, something in parentheses, or the negative of one.
    fn factor(&mut self) -> Result<Node, Wrong> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong(format!("the expression is nested deeper than {DEEPEST}")));
        }
        let node = match self.peek() {
            None => return Err(self.wrong("the expression ends where a value is expected")),
            Some('-') => {
                let at = self.at;
                self.at += 1;
                Node::Negate(at, Box::new(self.factor()?))
            }
            Some('(') => {
                self.at += 1;
                let inner = self.sum()?;
                self.close()?;
                inner
            }
            Some(c) if c.is_ascii_digit() => self.digits()?,
            Some(c) if c.is_ascii_alphabetic() || c == '_' => self.name()?,
            Some(c) => return Err(self.wrong(format!("a number or a name is expected here, not `{c}`"))),
        };
        self.depth -= 1;
        Ok(node)
    }

    fn digits(&mut self) -> Result<Node, Wrong> {
        let at = self.at;
        let digits = self.run(|c| c.is_ascii_digit());
        let number = digits.parse().map_err(|_| Wrong { at, text: format!("`{digits}` is too large") })?;
        match self.text[self.at..].chars().next() {
            Some('.') => Err(Wrong { at, text: "widths are whole numbers: no `.` here".to_owned() }),
            _ => Ok(Node::Number(number)),
        }
    }

    fn name(&mut self) -> Result<Node, Wrong> {
        let at = self.at;
        let name = self.run(|c| c.is_ascii_alphanumeric() || c == '_').to_owned();
        let called = self.peek() == Some('(');
        match (FUNCTIONS.contains(&name.as_str()), called) {
            (false, false) => return Ok(Node::Variable(at, name)),
            (false, true) => {
                let text = format!("there is no function `{name}`; there are `min` and `max`");
                return Err(Wrong { at, text });
            }
            (true, false) => {
                return Err(Wrong { at, text: format!("`{name}` is a function: write `{name}(a, b)`") });
            }
            (true, true) => self.at += 1,
        }
        let mut of = vec![self.sum()?];
        while self.take(',') {
            of.push(self.sum()?);
        }
        self.close()?;
        Ok(if name == "min" { Node::Least(of) } else { Node::Most(of) })
    }

    fn close(&mut self) -> Result<(), Wrong> {
        if self.take(')') {
            return Ok(());
        }
        Err(match self.peek() {
            Some(c) => self.wrong(format!("a `)` is expected here, not `{c}`")),
            None => self.wrong("the expression ends before its `)`"),
        })
    }
}

#[cfg(test)]
mod spec {
    use super::{Expr, Operator};
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
    fn the_arithmetic_is_that_of_whole_numbers() {
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
    fn what_is_wrong_is_told_with_its_column() {
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
        let mut told = String::new();
        for text in table {
            let (at, wrong) = value(text).unwrap_err();
            let shown: String = text.chars().take(30).collect();
            writeln!(told, "{shown:<30} {at:>3} {wrong}").unwrap();
        }
        insta::assert_snapshot!(told);
    }

    /// An expression, as text and as what plain 128-bit arithmetic makes of it.
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
                (inner.clone(), inner, any::<bool>()).prop_map(|((a, x), (b, y), least)| {
                    let value = x.zip(y).map(|(x, y)| if least { x.min(y) } else { x.max(y) });
                    (format!("{}({a}, {b})", if least { "min" } else { "max" }), value)
                }),
            ]
        })
    }

    fn small(value: i128) -> Option<i128> {
        i64::try_from(value).ok().map(i128::from)
    }

    proptest! {
        #[test]
        fn values_are_those_of_plain_arithmetic((text, expected) in any_expression()) {
            // Only depth and length are limits of ours.
            if let Ok(expr) = Expr::parse(&text) {
                prop_assert_eq!(expr.value(&lookup).ok().map(i128::from), expected, "{}", text);
            } else {
                prop_assert!(text.len() > super::LONGEST || text.matches('(').count() > super::DEEPEST / 2);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+*/%(), 0-9a-zCé.]{0,60}") {
            if let Err(wrong) = Expr::parse(&text) {
                prop_assert!(wrong.at <= text.len() && text.is_char_boundary(wrong.at));
            }
        }

        #[test]
        fn precedence_needs_no_parentheses(a in -99i64..99, b in 1i64..99, c in 1i64..99, d in 1i64..99) {
            let text = format!("{a} + {b} * {c} - {d} % {c} / {b}");
            prop_assert_eq!(value(&text), Ok(a + b * c - d % c / b));
        }
    }
}
