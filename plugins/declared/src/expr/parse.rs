//! The parser of expressions.

use super::node::{Node, Operator, Wrong};

/// No width needs more, and what recurses over an expression never runs out of stack.
pub(super) const LONGEST: usize = 400;
pub(super) const DEEPEST: usize = 32;

/// The names that are functions, so that no parameter can have them.
pub(crate) const FUNCTIONS: [&str; 2] = ["min", "max"];

/// Parses a complete expression.
pub(super) fn parse(text: &str) -> Result<Node, Wrong> {
    if text.len() > LONGEST {
        let text = format!("the expression is longer than {LONGEST} characters");
        return Err(Wrong { at: 0, text });
    }
    let mut parser = Parser { text, at: 0, depth: 0 };
    let node = parser.sum()?;
    match parser.peek() {
        None => Ok(node),
        Some(c) => Err(parser.wrong(format!("an operator such as `+` or `*` is expected here, not `{c}`"))),
    }
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
