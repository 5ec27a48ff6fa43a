//! What stands between the signs of a tag: expressions, those that bind least first.

use std::sync::Arc;

use super::super::ast::{Arguments, Expression, Kind, Operator};
use super::super::lexer::TokenKind;
use super::super::meter::{MAX_NESTING, Problem};
use super::super::value::Value;
use super::Parser;

/// The operators with two sides: those that bind least come first.
const LEVELS: [&[(&str, Operator)]; 3] = [
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("~", Operator::Join)],
    &[("*", Operator::Multiply), ("//", Operator::Divide), ("%", Operator::Remainder)],
];

const COMPARISONS: [(&str, Operator); 6] = [
    ("==", Operator::Equal),
    ("!=", Operator::Unequal),
    ("<", Operator::Less),
    ("<=", Operator::AtMost),
    (">", Operator::More),
    (">=", Operator::AtLeast),
];
impl Parser {
    /// `a if b else c`, or less.
    pub(super) fn expression(&mut self) -> Result<Expression, Problem> {
        self.deeper(|parser| {
            let then = parser.either()?;
            if !parser.take_word("if") {
                return Ok(then);
            }
            let when = parser.either()?;
            let otherwise = if parser.take_word("else") {
                parser.expression()?
            } else {
                parser.node(Kind::Constant(Value::Undefined), 0)?
            };
            let depth = then.depth.max(when.depth).max(otherwise.depth);
            parser.node(Kind::Choice(Box::new([then, when, otherwise])), depth)
        })
    }

    pub(super) fn either(&mut self) -> Result<Expression, Problem> {
        let mut left = self.both()?;
        while self.take_word("or") {
            let right = self.both()?;
            left = self.binary(Operator::Or, left, right)?;
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Expression, Problem> {
        let mut left = self.negation()?;
        while self.take_word("and") {
            let right = self.negation()?;
            left = self.binary(Operator::And, left, right)?;
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Expression, Problem> {
        if !self.take_word("not") {
            return self.comparison();
        }
        let inner = self.deeper(Self::negation)?;
        self.not(inner)
    }

    fn comparison(&mut self) -> Result<Expression, Problem> {
        let left = self.arithmetic(0)?;
        let (operator, negated) = match self.peek() {
            Some(TokenKind::Sign(sign)) => match COMPARISONS.iter().find(|(name, _)| name == sign) {
                Some((_, operator)) => (*operator, false),
                None => return Ok(left),
            },
            Some(TokenKind::Name(word)) if word == "in" => (Operator::In, false),
            Some(TokenKind::Name(word)) if word == "not" => (Operator::In, true),
            _ => return Ok(left),
        };
        self.at += 1;
        if negated && !self.take_word("in") {
            return self.problem("not stands where in is missing");
        }
        let right = self.arithmetic(0)?;
        let all = self.binary(operator, left, right)?;
        if negated { self.not(all) } else { Ok(all) }
    }

    fn arithmetic(&mut self, level: usize) -> Result<Expression, Problem> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.arithmetic(level + 1)?;
        while let Some(TokenKind::Sign(sign)) = self.peek()
            && let Some((_, operator)) = operators.iter().find(|(name, _)| name == sign)
        {
            self.at += 1;
            let right = self.arithmetic(level + 1)?;
            left = self.binary(*operator, left, right)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expression, Problem> {
        if !self.take("-") {
            let primary = self.primary()?;
            return self.postfix(primary);
        }
        let inner = self.deeper(Self::unary)?;
        let depth = inner.depth;
        self.node(Kind::Negate(Box::new(inner)), depth)
    }

    fn primary(&mut self) -> Result<Expression, Problem> {
        let constant = match self.next() {
            Some(TokenKind::Quoted(mut text)) => {
                while let Some(TokenKind::Quoted(more)) = self.peek() {
                    text.push_str(more);
                    self.at += 1;
                }
                Value::text(text)
            }
            Some(TokenKind::Number(number)) => Value::Int(number),
            Some(TokenKind::Name(name)) => match name.as_str() {
                "true" | "True" => Value::Bool(true),
                "false" | "False" => Value::Bool(false),
                "none" | "None" => Value::None,
                _ if self.take("(") => {
                    let (arguments, depth) = self.arguments()?;
                    return self.node(Kind::Call(name.into(), arguments), depth);
                }
                _ => return self.node(Kind::Name(name.into()), 0),
            },
            Some(TokenKind::Sign("(")) => return self.bracket(),
            Some(TokenKind::Sign("[")) => {
                let items = self.items("]")?;
                return self.list(items);
            }
            Some(TokenKind::Sign("{")) => return self.map(),
            _ => {
                self.at = self.at.saturating_sub(1);
                return self.problem("a value is missing");
            }
        };
        self.node(Kind::Constant(constant), 0)
    }

    /// What follows a value: `.a`, `.a()`, `[a]`, `|a`, `is a`, as often as there are any.
    fn postfix(&mut self, mut left: Expression) -> Result<Expression, Problem> {
        loop {
            if self.take(".") {
                let name = self.name()?;
                left = if self.take("(") {
                    let (arguments, depth) = self.arguments()?;
                    let depth = depth.max(left.depth);
                    self.node(Kind::Method(Box::new(left), name, arguments), depth)?
                } else {
                    let depth = left.depth;
                    self.node(Kind::Field(Box::new(left), name), depth)?
                };
            } else if self.take("[") {
                left = self.subscript(left)?;
            } else if self.take("|") {
                let name = self.name()?;
                let (arguments, depth) = if self.take("(") { self.arguments()? } else { Default::default() };
                let depth = depth.max(left.depth);
                left = self.node(Kind::Filter(Box::new(left), name, arguments), depth)?;
            } else if self.take_word("is") {
                left = self.test(left)?;
            } else {
                return Ok(left);
            }
        }
    }

    fn test(&mut self, left: Expression) -> Result<Expression, Problem> {
        let negated = self.take_word("not");
        let name = self.name()?;
        let mut given = Arguments::default();
        let mut depth = left.depth;
        if self.take("(") {
            let (arguments, inner) = self.arguments()?;
            (given, depth) = (arguments, depth.max(inner));
        } else if let Some(TokenKind::Quoted(_) | TokenKind::Number(_)) = self.peek() {
            // x is divisibleby 3
            let argument = self.primary()?;
            depth = depth.max(argument.depth);
            given.plain.push(argument);
        }
        let test = self.node(Kind::Test(Box::new(left), name, given), depth)?;
        if negated { self.not(test) } else { Ok(test) }
    }

    fn subscript(&mut self, left: Expression) -> Result<Expression, Problem> {
        let mut parts = [None, None, None];
        let (mut place, mut depth) = (0, left.depth);
        loop {
            if self.take("]") {
                break;
            }
            if self.take(":") {
                place += 1;
                if place > 2 {
                    return self.problem("a slice has more than three parts");
                }
            } else if parts[place].is_none() {
                let part = self.expression()?;
                depth = depth.max(part.depth);
                parts[place] = Some(Box::new(part));
            } else {
                return self.problem("] is missing");
            }
        }
        match (place, parts) {
            (0, [Some(item), None, None]) => self.node(Kind::Item(Box::new(left), item), depth),
            (0, _) => self.problem("[] has nothing in it"),
            (_, parts) => self.node(Kind::Slice(Box::new(left), parts), depth),
        }
    }

    /// After `(`: a value in brackets, or a tuple.
    fn bracket(&mut self) -> Result<Expression, Problem> {
        if self.take(")") {
            return self.list(Vec::new());
        }
        let first = self.expression()?;
        if self.take(")") {
            return Ok(first);
        }
        let all = self.rest_of_list(first)?;
        self.expect(")")?;
        Ok(all)
    }

    /// After the first of several values: those after its comma.
    pub(super) fn rest_of_list(&mut self, first: Expression) -> Result<Expression, Problem> {
        let mut items = vec![first];
        while self.take(",") {
            if matches!(self.peek(), Some(TokenKind::Sign(")") | TokenKind::End)) {
                break;
            }
            items.push(self.expression()?);
        }
        self.list(items)
    }

    fn map(&mut self) -> Result<Expression, Problem> {
        let (mut entries, mut depth) = (Vec::new(), 0);
        while !self.take("}") {
            let key = self.expression()?;
            self.expect(":")?;
            let value = self.expression()?;
            depth = depth.max(key.depth).max(value.depth);
            entries.push((key, value));
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        self.node(Kind::Map(entries), depth)
    }

    fn items(&mut self, end: &str) -> Result<Vec<Expression>, Problem> {
        let mut items = Vec::new();
        while !self.take(end) {
            items.push(self.expression()?);
            if !self.take(",") {
                self.expect(end)?;
                break;
            }
        }
        Ok(items)
    }

    fn list(&mut self, items: Vec<Expression>) -> Result<Expression, Problem> {
        let depth = items.iter().map(|item| item.depth).max().unwrap_or(0);
        self.node(Kind::List(items), depth)
    }

    /// After `(`: what a call is given, and how deep that is.
    fn arguments(&mut self) -> Result<(Arguments, usize), Problem> {
        let (mut arguments, mut depth) = (Arguments::default(), 0);
        while !self.take(")") {
            let name = match (self.peek(), self.tokens.get(self.at + 1).map(|token| &token.kind)) {
                (Some(TokenKind::Name(name)), Some(TokenKind::Sign("="))) => Some(Arc::from(name.as_str())),
                _ => None,
            };
            if name.is_some() {
                self.at += 2;
            }
            let value = self.expression()?;
            depth = depth.max(value.depth);
            match name {
                Some(name) => arguments.named.push((name, value)),
                None => arguments.plain.push(value),
            }
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok((arguments, depth))
    }

    fn binary(&self, operator: Operator, left: Expression, right: Expression) -> Result<Expression, Problem> {
        let depth = left.depth.max(right.depth);
        self.node(Kind::Binary(operator, Box::new(left), Box::new(right)), depth)
    }

    fn not(&self, inner: Expression) -> Result<Expression, Problem> {
        let depth = inner.depth;
        self.node(Kind::Not(Box::new(inner)), depth)
    }

    /// An expression whose deepest part is `below`.
    fn node(&self, kind: Kind, below: usize) -> Result<Expression, Problem> {
        if below >= MAX_NESTING {
            return Err(Problem::Nesting);
        }
        Ok(Expression { kind, depth: below + 1 })
    }
}
