//! The parser of expressions.

use super::node::{ExprError, Node, Operator};

/// Limits on the bytes and the nesting of an expression, so that recursion over it cannot overflow the stack.
pub(super) const MAX_LENGTH: usize = 400;
pub(super) const MAX_DEPTH: usize = 32;

/// Names of functions, which parameters cannot have.
pub(crate) const FUNCTIONS: [&str; 2] = ["min", "max"];

/// Parses a complete expression.
pub(super) fn parse(text: &str) -> Result<Node, ExprError> {
    if text.len() > MAX_LENGTH {
        let text = format!("the expression is longer than {MAX_LENGTH} characters");
        return Err(ExprError { at: 0, text });
    }
    let mut parser = Parser { text, at: 0, depth: 0 };
    let node = parser.sum()?;
    match parser.peek() {
        None => Ok(node),
        Some(c) => Err(parser.error(format!("an operator such as `+` or `*` is expected here, not `{c}`"))),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn error(&self, text: impl Into<String>) -> ExprError {
        ExprError { at: self.at, text: text.into() }
    }

    /// Skips spaces and returns the next character without consuming it.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed.chars().next()
    }

    /// Consumes `wanted` if it is the next character.
    fn consume(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// Consumes the longest run of characters for which `accepts` is true.
    fn run(&mut self, accepts: impl Fn(char) -> bool) -> &str {
        let rest = &self.text[self.at..];
        let end = rest.find(|c| !accepts(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn sum(&mut self) -> Result<Node, ExprError> {
        self.chain(&[('+', Operator::Add), ('-', Operator::Subtract)], Self::product)
    }

    fn product(&mut self) -> Result<Node, ExprError> {
        let operators = [('*', Operator::Multiply), ('/', Operator::Divide), ('%', Operator::Remainder)];
        self.chain(&operators, Self::factor)
    }

    /// Parses `part (operator part)*` with left associativity.
    fn chain(
        &mut self,
        operators: &[(char, Operator)],
        part: fn(&mut Self) -> Result<Node, ExprError>,
    ) -> Result<Node, ExprError> {
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

    /// Parses a number, a variable, a call, an expression in parentheses, or the negative of one of these.
    fn factor(&mut self) -> Result<Node, ExprError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("the expression is nested deeper than {MAX_DEPTH}")));
        }
        let node = match self.peek() {
            None => return Err(self.error("the expression ends where a value is expected")),
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
            Some(c) => return Err(self.error(format!("a number or a name is expected here, not `{c}`"))),
        };
        self.depth -= 1;
        Ok(node)
    }

    fn digits(&mut self) -> Result<Node, ExprError> {
        let at = self.at;
        let digits = self.run(|c| c.is_ascii_digit());
        let number =
            digits.parse().map_err(|_| ExprError { at, text: format!("`{digits}` is too large") })?;
        match self.text[self.at..].chars().next() {
            Some('.') => Err(ExprError { at, text: "widths are whole numbers: no `.` here".to_owned() }),
            _ => Ok(Node::Number(number)),
        }
    }

    fn name(&mut self) -> Result<Node, ExprError> {
        let at = self.at;
        let name = self.run(|c| c.is_ascii_alphanumeric() || c == '_').to_owned();
        let called = self.peek() == Some('(');
        match (FUNCTIONS.contains(&name.as_str()), called) {
            (false, false) => return Ok(Node::Variable(at, name)),
            (false, true) => {
                let text = format!("there is no function `{name}`; there are `min` and `max`");
                return Err(ExprError { at, text });
            }
            (true, false) => {
                return Err(ExprError { at, text: format!("`{name}` is a function: write `{name}(a, b)`") });
            }
            (true, true) => self.at += 1,
        }
        let mut of = vec![self.sum()?];
        while self.consume(',') {
            of.push(self.sum()?);
        }
        self.close()?;
        Ok(if name == "min" { Node::Min(of) } else { Node::Max(of) })
    }

    fn close(&mut self) -> Result<(), ExprError> {
        if self.consume(')') {
            return Ok(());
        }
        Err(match self.peek() {
            Some(c) => self.error(format!("a `)` is expected here, not `{c}`")),
            None => self.error("the expression ends before its `)`"),
        })
    }
}
