//! Tokens to a tree.

use std::sync::Arc;

use super::ast::{Arguments, Expression, For, Kind, Macro, Operator, Program, Statement};
use super::lexer::{Token, TokenKind, tokens};
use super::meter::{MAX_NESTING, Problem};
use super::value::Value;

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

/// Reads a template.
pub fn parse(source: &str) -> Result<Program, Problem> {
    let mut parser = Parser { tokens: tokens(source)?, at: 0, nesting: 0, program: Program::default() };
    let (body, _) = parser.block(&[])?;
    parser.program.body = body;
    Ok(parser.program)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    nesting: usize,
    program: Program,
}

impl Parser {
    /// Statements up to a tag that begins with one of `ends`, and that word; up to the template's end where there is none.
    fn block(&mut self, ends: &[&str]) -> Result<(Vec<Statement>, String), Problem> {
        self.deeper(|parser| {
            let mut body = Vec::new();
            while let Some(token) = parser.next() {
                match token {
                    TokenKind::Text(text) => body.push(Statement::Text(text.into())),
                    TokenKind::BeginPrint => {
                        body.push(Statement::Print(parser.expression()?));
                        parser.end()?;
                    }
                    _ => {
                        let word = parser.name()?;
                        if ends.contains(&word.as_ref()) {
                            return Ok((body, word.to_string()));
                        }
                        body.push(parser.statement(&word)?);
                    }
                }
            }
            if ends.is_empty() { Ok((body, String::new())) } else { parser.problem(format!("{} is missing", ends[0])) }
        })
    }

    /// Statements up to the tag `end`.
    fn block_to(&mut self, end: &str) -> Result<Vec<Statement>, Problem> {
        let (body, _) = self.block(&[end])?;
        // {% endmacro name %}
        if matches!(self.peek(), Some(TokenKind::Name(_))) {
            self.at += 1;
        }
        self.end()?;
        Ok(body)
    }

    fn statement(&mut self, word: &str) -> Result<Statement, Problem> {
        match word {
            "if" => self.conditional(),
            "for" => self.for_loop(),
            "set" => self.set(),
            "macro" => self.define(),
            // Hugging Face marks by it what is trained on.
            "generation" => {
                self.end()?;
                Ok(Statement::If(Vec::new(), self.block_to("endgeneration")?))
            }
            "break" => self.end().map(|()| Statement::Break),
            "continue" => self.end().map(|()| Statement::Continue),
            other => self.problem(format!("the tag {other} is not for chat templates")),
        }
    }

    fn conditional(&mut self) -> Result<Statement, Problem> {
        let mut branches = Vec::new();
        loop {
            let condition = self.expression()?;
            self.end()?;
            let (body, end) = self.block(&["endif", "elif", "else"])?;
            branches.push((condition, body));
            match end.as_str() {
                "elif" => continue,
                "else" => {
                    self.end()?;
                    return Ok(Statement::If(branches, self.block_to("endif")?));
                }
                _ => {
                    self.end()?;
                    return Ok(Statement::If(branches, Vec::new()));
                }
            }
        }
    }

    fn for_loop(&mut self) -> Result<Statement, Problem> {
        let bracketed = self.take("(");
        let targets = self.names()?;
        if bracketed {
            self.expect(")")?;
        }
        if !self.take_word("in") {
            return self.problem("for … in … is missing its in");
        }
        // No choice: its `if` is the loop's.
        let over = self.either()?;
        let filter = if self.take_word("if") { Some(self.expression()?) } else { None };
        self.end()?;
        let (body, end) = self.block(&["endfor", "else"])?;
        self.end()?;
        let otherwise = if end == "else" { self.block_to("endfor")? } else { Vec::new() };
        Ok(Statement::For(Box::new(For { targets, over, filter, body, otherwise })))
    }

    fn set(&mut self) -> Result<Statement, Problem> {
        let names = self.names()?;
        if let [space] = &names[..]
            && self.take(".")
        {
            let field = self.name()?;
            self.expect("=")?;
            let value = self.expression()?;
            self.end()?;
            return Ok(Statement::SetField(space.clone(), field, value));
        }
        if self.take("=") {
            let first = self.expression()?;
            let value =
                if matches!(self.peek(), Some(TokenKind::Sign(","))) { self.rest_of_list(first)? } else { first };
            self.end()?;
            return Ok(Statement::Set(names, value));
        }
        self.end()?;
        Ok(Statement::Capture(names[0].clone(), self.block_to("endset")?))
    }

    fn define(&mut self) -> Result<Statement, Problem> {
        let name = self.name()?;
        self.expect("(")?;
        let mut parameters = Vec::new();
        while !self.take(")") {
            let parameter = self.name()?;
            let default = if self.take("=") { Some(self.expression()?) } else { None };
            parameters.push((parameter, default));
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        self.end()?;
        let body = self.block_to("endmacro")?;
        self.program.macros.push(Macro { parameters, body });
        Ok(Statement::Define(name, self.program.macros.len() - 1))
    }

    /// `a if b else c`, or less.
    fn expression(&mut self) -> Result<Expression, Problem> {
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

    fn either(&mut self) -> Result<Expression, Problem> {
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
    fn rest_of_list(&mut self, first: Expression) -> Result<Expression, Problem> {
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

    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Problem>) -> Result<T, Problem> {
        if self.nesting >= MAX_NESTING {
            return Err(Problem::Nesting);
        }
        self.nesting += 1;
        let done = work(self);
        self.nesting -= 1;
        done
    }

    fn names(&mut self) -> Result<Vec<Arc<str>>, Problem> {
        let mut names = vec![self.name()?];
        while self.take(",") {
            names.push(self.name()?);
        }
        Ok(names)
    }

    fn name(&mut self) -> Result<Arc<str>, Problem> {
        match self.peek() {
            Some(TokenKind::Name(name)) => {
                let name = name.as_str().into();
                self.at += 1;
                Ok(name)
            }
            _ => self.problem("a name is missing"),
        }
    }

    fn take(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Some(TokenKind::Sign(found)) if *found == sign);
        self.at += usize::from(there);
        there
    }

    fn take_word(&mut self, word: &str) -> bool {
        let there = matches!(self.peek(), Some(TokenKind::Name(found)) if found == word);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, sign: &str) -> Result<(), Problem> {
        if self.take(sign) { Ok(()) } else { self.problem(format!("{sign} is missing")) }
    }

    fn end(&mut self) -> Result<(), Problem> {
        if !matches!(self.peek(), Some(TokenKind::End)) {
            return self.problem("the tag should end here");
        }
        self.at += 1;
        Ok(())
    }

    fn peek(&self) -> Option<&TokenKind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn next(&mut self) -> Option<TokenKind> {
        let token = self.tokens.get_mut(self.at)?;
        self.at += 1;
        // Nobody goes back to a text: it need not be copied.
        Some(match &mut token.kind {
            TokenKind::Text(text) => TokenKind::Text(std::mem::take(text)),
            other => other.clone(),
        })
    }

    fn problem<T>(&self, what: impl Into<String>) -> Result<T, Problem> {
        let token = self.tokens.get(self.at).or(self.tokens.last());
        Err(Problem::Syntax { line: token.map_or(1, |token| token.line), what: what.into() })
    }
}
