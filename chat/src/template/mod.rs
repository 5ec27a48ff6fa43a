//! The chat template, in an interpreter of its own that is bounded by construction. It sees marks in place of the messages'
//! contents, which are put back as pieces of their own: so the template's text and the people's text are never confused.
//!
//! The language is the part of Jinja that chat templates use. General engines are no bound for a template that somebody else
//! wrote: lists that contain themselves, or are nested a hundred thousand deep, end them by a stack overflow.

mod ast;
mod interpreter;
mod lexer;
mod library;
mod meter;
mod parser;
#[cfg(test)]
mod tests;
mod value;

use std::sync::Arc;

use self::ast::Program;
use self::meter::{Meter, Problem};
use self::value::Value;
use super::{ChatError, Message};

/// Bytes that a template may have.
const MAX_SOURCE: usize = 64 << 10;

/// Around the number of a message, in place of its content: private-use characters.
const MARK: char = '\u{f8f1}';

/// A part of a rendered chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The template's own.
    Text(String),
    /// The content of this message.
    Content(usize),
}

/// A chat template that has been read.
#[derive(Debug, Clone)]
pub struct Template(Arc<Program>);

impl Template {
    /// Reads a template in Jinja, as Hugging Face writes it.
    pub fn parse(source: &str) -> Result<Self, ChatError> {
        if source.len() > MAX_SOURCE {
            return Err(ChatError::Template(format!("it has {} bytes, expected at most {MAX_SOURCE}", source.len())));
        }
        parser::parse(source).map(|program| Self(Arc::new(program))).map_err(refused)
    }

    /// The chat in pieces, in order.
    pub fn render(&self, messages: &[Message], reply: bool) -> Result<Vec<Piece>, ChatError> {
        let text = self.text(messages, reply).map_err(refused)?;
        let mut pieces = Vec::new();
        // Marks come in pairs: every second part is a number.
        for (place, part) in text.split(MARK).enumerate() {
            if place % 2 == 1 {
                let index = part.parse().ok().filter(|&index| index < messages.len());
                pieces.push(Piece::Content(index.ok_or_else(|| ChatError::Template("it changes contents".into()))?));
            } else if !part.is_empty() {
                pieces.push(Piece::Text(part.into()));
            }
        }
        Ok(pieces)
    }

    /// What the template writes, marks in place of contents.
    fn text(&self, messages: &[Message], reply: bool) -> Result<String, Problem> {
        let mut meter = Meter::default();
        let (role, content): (Arc<str>, Arc<str>) = ("role".into(), "content".into());
        let mut marked = Vec::with_capacity(messages.len());
        for (index, message) in messages.iter().enumerate() {
            let mark = Value::text(format!("{MARK}{index}{MARK}"));
            let entries = vec![(role.clone(), Value::text(message.role.name())), (content.clone(), mark)];
            marked.push(Value::map(entries, &mut meter)?);
        }
        let variables =
            vec![("messages", Value::list(marked, &mut meter)?), ("add_generation_prompt", Value::Bool(reply))];
        interpreter::run(&self.0, variables, meter)
    }
}

fn refused(problem: Problem) -> ChatError {
    ChatError::Template(problem.to_string())
}
