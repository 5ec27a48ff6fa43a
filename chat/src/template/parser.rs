//! Tokens to a tree: statements here, expressions in a file of their own.

mod expressions;

use std::sync::Arc;

use super::ast::{For, Macro, Program, Statement};
use super::lexer::{Token, TokenKind, tokens};
use super::meter::{MAX_NESTING, Problem};

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
