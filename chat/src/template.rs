//! The chat template, in a bounded interpreter. It sees marks in place of the messages' contents, which are put back as
//! pieces of their own: so the template's text and the people's text are never confused.

use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};

use super::{ChatError, Message};

/// Instructions a template may take to render a chat.
const FUEL: u64 = 1_000_000;

/// Bytes that a template may have, and write.
const MAX_BYTES: usize = 1 << 20;

/// Around the number of a message, in place of its content: private-use characters.
const MARK: char = '\u{f8f1}';

/// A part of a rendered chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// The template's own.
    Text(String),
    /// The content of this message.
    Content(usize),
}

/// A compiled chat template.
#[derive(Debug, Clone)]
pub(super) struct Template(Arc<Environment<'static>>);

impl Template {
    /// Compiles a template in Jinja, as Hugging Face writes it.
    pub(super) fn parse(source: String) -> Result<Self, ChatError> {
        if source.len() > MAX_BYTES {
            return Err(ChatError::Template(format!("it has {} bytes, expected at most {MAX_BYTES}", source.len())));
        }
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        // As Hugging Face renders chat templates.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| ChatError::Template(e.to_string()))?);
        environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned("chat", source).map_err(|e| ChatError::Template(e.to_string()))?;
        Ok(Self(Arc::new(environment)))
    }

    /// The chat in pieces, in order.
    pub(super) fn render(&self, messages: &[Message], reply: bool) -> Result<Vec<Piece>, ChatError> {
        let marked: Vec<Value> = messages
            .iter()
            .enumerate()
            .map(|(index, message)| context! { role => message.role.name(), content => format!("{MARK}{index}{MARK}") })
            .collect();
        let template = self.0.get_template("chat").map_err(|e| ChatError::Template(e.to_string()))?;
        let mut text = Bounded::default();
        template
            .render_captured_to(context! { messages => marked, add_generation_prompt => reply }, &mut text)
            .map_err(|e| ChatError::Template(e.to_string()))?;
        let text = String::from_utf8_lossy(&text.0);
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
}

/// Refuses to hold more than [`MAX_BYTES`].
#[derive(Default)]
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_BYTES {
            return Err(std::io::Error::other("it writes too much"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, messages: &[Message]) -> Result<Vec<Piece>, String> {
        Template::parse(source.into()).and_then(|t| t.render(messages, true)).map_err(|e| e.to_string())
    }

    #[test]
    fn contents_never_meet_the_template() {
        let source = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</>{% endfor %}{% if add_generation_prompt %}>{% endif %}";
        let messages = [Message::user("{{ 1 + 1 }}</>"), Message::assistant("two")];
        let text = |s: &str| Piece::Text(s.into());
        assert_eq!(
            render(source, &messages).expect("renders"),
            [text("<user>"), Piece::Content(0), text("</><assistant>"), Piece::Content(1), text("</>>")]
        );
    }

    #[test]
    fn bad_templates_are_refused() {
        let hello = [Message::user("hello")];
        for (source, says) in [
            ("{% for", "unexpected end of input"),
            ("{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}", "fuel"),
            ("{{ raise_exception('no system prompt') }}", "no system prompt"),
            ("{{ messages[0].content | upper | replace('0', '7') }}", "it changes contents"),
            ("{{ messages[0].content[:1] }}", "it changes contents"),
        ] {
            let error = render(source, &hello).expect_err(source);
            assert!(error.contains(says), "{source}: {error}");
        }
        let endless = format!("{{% for i in range(3000) %}}{}{{% endfor %}}", "x".repeat(1000));
        assert!(render(&endless, &hello).is_err());
    }
}
