//! A template in tokens: the text between tags, with white space as Hugging Face sets Jinja to treat it, and what is in tags.

use super::meter::Problem;

/// A token, and the line that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Counted from 1.
    pub line: usize,
    /// What it is.
    pub kind: TokenKind,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKind {
    /// Between tags.
    Text(String),
    /// `{{`
    BeginPrint,
    /// `{%`
    BeginBlock,
    /// `}}` or `%}`
    End,
    /// A name or a keyword.
    Name(String),
    /// A literal text.
    Quoted(String),
    /// A literal number.
    Number(i64),
    /// Punctuation.
    Sign(&'static str),
}

/// The longest first: each is the first that fits.
const SIGNS: [&str; 22] =
    ["==", "!=", "<=", ">=", "//", "<", ">", "=", "+", "-", "*", "%", "~", "|", ".", ",", ":", "(", ")", "[", "]", "{"];

/// Cuts a template up.
pub fn tokens(source: &str) -> Result<Vec<Token>, Problem> {
    // As Jinja does: the file's own last line end is not the template's.
    let source = source.strip_suffix('\n').unwrap_or(source);
    let source = source.strip_suffix('\r').unwrap_or(source);
    Lexer { source, at: 0, tokens: Vec::new(), line: 1, counted: 0 }.run()
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    tokens: Vec<Token>,
    /// The line of the byte `counted`.
    line: usize,
    counted: usize,
}

impl<'a> Lexer<'a> {
    fn run(mut self) -> Result<Vec<Token>, Problem> {
        let mut trim = Trim::None;
        while self.at < self.source.len() {
            let rest = &self.source[self.at..];
            let tag = rest.match_indices('{').map(|(at, _)| at).find(|at| rest[at + 1..].starts_with(['{', '%', '#']));
            let text = &rest[..tag.unwrap_or(rest.len())];
            self.text(text, trim, tag.map(|at| &rest[at..]));
            let Some(tag) = tag else { break };
            self.at += tag;
            trim = match &rest[tag..tag + 2] {
                "{#" => self.comment()?,
                "{{" => self.tag(TokenKind::BeginPrint, "}}")?,
                _ if self.is_raw() => self.raw()?,
                _ => self.tag(TokenKind::BeginBlock, "%}")?,
            };
        }
        Ok(self.tokens)
    }

    /// Text, without the white space that the tags on both sides take away.
    fn text(&mut self, text: &str, before: Trim, next: Option<&str>) {
        let mut kept = match before {
            Trim::None => text,
            Trim::Line => text.strip_prefix("\r\n").or_else(|| text.strip_prefix('\n')).unwrap_or(text),
            Trim::All => text.trim_start(),
        };
        match next.map(|tag| (&tag[..2], tag[2..].chars().next())) {
            Some((_, Some('-'))) => kept = kept.trim_end(),
            // A block alone on its line takes its indentation away.
            Some(("{%" | "{#", sign)) if sign != Some('+') => {
                let line = kept.trim_end_matches([' ', '\t']);
                let begins = self.at == 0 || (before == Trim::Line && kept.len() < text.len());
                if line.ends_with('\n') || (line.is_empty() && begins) {
                    kept = line;
                }
            }
            _ => {}
        }
        if !kept.is_empty() {
            self.push(TokenKind::Text(kept.into()));
        }
    }

    fn comment(&mut self) -> Result<Trim, Problem> {
        let rest = &self.source[self.at..];
        let Some(end) = rest.find("#}") else { return self.problem("a comment has no end") };
        let trim = if rest[..end].ends_with('-') { Trim::All } else { Trim::Line };
        self.at += end + 2;
        Ok(trim)
    }

    /// A tag's tokens.
    fn tag(&mut self, begin: TokenKind, end: &str) -> Result<Trim, Problem> {
        let after = if end == "%}" { Trim::Line } else { Trim::None };
        self.push(begin);
        self.at += 2;
        if self.rest().starts_with(['-', '+']) {
            self.at += 1;
        }
        let mut braces = 0usize;
        loop {
            let rest = self.rest();
            let Some(character) = rest.chars().next() else { return self.problem("a tag has no end") };
            if character.is_whitespace() {
                self.at += character.len_utf8();
                continue;
            }
            if braces == 0 {
                for (sign, trim) in [("-", Trim::All), ("+", Trim::None), ("", after)] {
                    if rest.strip_prefix(sign).is_some_and(|rest| rest.starts_with(end)) {
                        self.push(TokenKind::End);
                        self.at += sign.len() + end.len();
                        return Ok(trim);
                    }
                }
            }
            let (kind, length) = self.token(rest, character)?;
            match kind {
                TokenKind::Sign("{") => braces += 1,
                TokenKind::Sign("}") => braces = braces.saturating_sub(1),
                _ => {}
            }
            self.push(kind);
            self.at += length;
        }
    }

    fn token(&self, rest: &str, first: char) -> Result<(TokenKind, usize), Problem> {
        if first == '"' || first == '\'' {
            return self.quoted(rest, first);
        }
        if first.is_ascii_digit() {
            let digits = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
            return match digits.parse() {
                Ok(number) => Ok((TokenKind::Number(number), digits.len())),
                Err(_) => self.problem("a number is too large"),
            };
        }
        if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            return Ok((TokenKind::Name(rest[..end].into()), end));
        }
        match SIGNS.into_iter().chain(["}"]).find(|sign| rest.starts_with(sign)) {
            Some(sign) => Ok((TokenKind::Sign(sign), sign.len())),
            None => self.problem(format!("{first:?} means nothing in a tag")),
        }
    }

    fn quoted(&self, rest: &str, quote: char) -> Result<(TokenKind, usize), Problem> {
        let mut text = String::new();
        let mut characters = rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            if character == quote {
                return Ok((TokenKind::Quoted(text), at + 1));
            }
            if character != '\\' {
                text.push(character);
                continue;
            }
            match characters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, 'r')) => text.push('\r'),
                Some((_, same @ ('\\' | '\'' | '"'))) => text.push(same),
                Some((_, 'u')) => {
                    let digits: String = characters.by_ref().take(4).map(|(_, digit)| digit).collect();
                    match u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32) {
                        Some(character) => text.push(character),
                        None => return self.problem(format!("\\u{digits} is no character")),
                    }
                }
                // As Python: what means nothing stays as it is.
                Some((_, other)) => text.extend(['\\', other]),
                None => break,
            }
        }
        self.problem("a text has no end")
    }

    fn is_raw(&self) -> bool {
        let inside = self.rest()[2..].trim_start_matches(['-', '+']).trim_start();
        inside.strip_prefix("raw").is_some_and(|rest| rest.trim_start().trim_start_matches('-').starts_with("%}"))
    }

    /// `{% raw %}…{% endraw %}`, whose text is text.
    fn raw(&mut self) -> Result<Trim, Problem> {
        let rest = self.rest();
        let begin = rest.find("%}").map_or(rest.len(), |at| at + 2);
        let inside = &rest[begin..];
        let mut from = 0;
        while let Some(at) = inside[from..].find("{%").map(|at| from + at) {
            let tag = inside[at + 2..].trim_start_matches(['-', '+']).trim_start();
            if let Some(end) = tag.strip_prefix("endraw").map(str::trim_start) {
                let (trim, end) = match end.strip_prefix('-') {
                    Some(end) => (Trim::All, end),
                    None => (Trim::Line, end),
                };
                if let Some(after) = end.strip_prefix("%}") {
                    self.push(TokenKind::Text(inside[..at].into()));
                    self.at = self.source.len() - after.len();
                    return Ok(trim);
                }
            }
            from = at + 2;
        }
        self.problem("raw has no endraw")
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn push(&mut self, kind: TokenKind) {
        self.line = self.line();
        self.counted = self.at;
        self.tokens.push(Token { line: self.line, kind });
    }

    fn line(&self) -> usize {
        self.line + self.source[self.counted..self.at].matches('\n').count()
    }

    fn problem<T>(&self, what: impl Into<String>) -> Result<T, Problem> {
        Err(Problem::Syntax { line: self.line(), what: what.into() })
    }
}

/// White space that a tag takes away after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trim {
    None,
    /// The line's end.
    Line,
    All,
}
