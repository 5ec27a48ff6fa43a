//! A reply as text: decodes until the model ends its turn, a stop string comes, the limit is reached, or somebody stops it.

use std::ops::ControlFlow;

use serde::Serialize;

use crate::chat::{ChatFormat, StopStrings, TextStream};
use crate::cpu::Sampling;
use crate::energy::Ledger;
use crate::session::{Session, SessionError};

/// Why a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its turn, or a stop string came.
    Stop,
    /// The limit of tokens was reached.
    Length,
    /// Whoever listened broke it off.
    Cancelled,
}

/// A finished reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// What was said.
    pub text: String,
    /// The tokens decoded, an end token included.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// A reply that has ended, and whether the session could keep its end to come back to.
#[derive(Debug)]
pub struct Finished {
    /// The reply, whole in any case.
    pub reply: Reply,
    /// What went wrong when the session was to keep the reply's end. The next turn then computes the reply's tokens again, or
    /// meets the same trouble.
    pub kept: Result<(), SessionError>,
}

/// How a reply is made.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplyOptions {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The longest reply.
    pub max_tokens: usize,
    /// Texts that end it.
    pub stop: Vec<String>,
}

/// A reply in the making, a token at a time: for callers that do something else between tokens.
#[derive(Debug)]
pub struct ReplyStream<'a> {
    format: &'a ChatFormat,
    options: &'a ReplyOptions,
    stream: TextStream<'a>,
    stops: StopStrings,
    text: String,
    tokens: Vec<u32>,
    /// Whether the session knows what to expect.
    begun: bool,
    /// Once it has ended.
    finish_reason: Option<FinishReason>,
}

impl<'a> ReplyStream<'a> {
    /// A reply that has not begun.
    pub fn new(format: &'a ChatFormat, options: &'a ReplyOptions) -> Self {
        Self {
            format,
            options,
            stream: format.stream(),
            stops: StopStrings::new(options.stop.clone()),
            text: String::new(),
            tokens: Vec::new(),
            begun: false,
            finish_reason: None,
        }
    }

    /// Takes up a reply that another session was making when it broke, after `tokens`, which this one has seen by now: what
    /// follows is what would have come.
    pub fn take_up(&mut self, tokens: &[u32]) {
        for &token in tokens {
            self.push(token);
        }
    }

    /// Decodes a token and returns the text that it completes: never half a character, and never part of a stop string.
    /// `None` when the reply has ended.
    pub async fn step(&mut self, session: &mut Session, ledger: &mut Ledger) -> Result<Option<String>, SessionError> {
        if self.finish_reason.is_some() {
            return Ok(None);
        }
        if self.tokens.len() >= self.options.max_tokens {
            return Ok(Some(self.end(FinishReason::Length)));
        }
        if !self.begun {
            session.expect(&self.format.generation.eos_token_id, self.options.max_tokens - self.tokens.len());
            self.begun = true;
        }
        let token = session.decode(&self.options.sampling, ledger).await?;
        Ok(Some(self.push(token)))
    }

    /// Takes a token; returns the text that it completes.
    fn push(&mut self, token: u32) -> String {
        self.tokens.push(token);
        if self.format.ends(token) {
            return self.end(FinishReason::Stop);
        }
        let (shown, stop) = self.stops.push(&self.stream.push(token));
        self.text.push_str(&shown);
        if stop {
            self.finish_reason = Some(FinishReason::Stop);
        }
        shown
    }

    /// The tokens decoded so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Breaks it off, unless it has ended by itself.
    pub fn cancel(&mut self) {
        self.finish_reason.get_or_insert(FinishReason::Cancelled);
    }

    /// The reply as it is now; broken off, if it has not ended. The session keeps its end to come back to, if it can.
    pub async fn finish(mut self, session: &mut Session) -> Finished {
        self.cancel();
        let kept = session.checkpoint().await;
        let finish_reason = self.finish_reason.unwrap_or(FinishReason::Cancelled);
        Finished { reply: Reply { text: self.text, tokens: self.tokens, finish_reason }, kept }
    }

    /// Ends it for `reason`, and returns the text that was held back.
    fn end(&mut self, reason: FinishReason) -> String {
        let held = std::mem::replace(&mut self.stream, self.format.stream()).finish();
        let (mut rest, stop) = self.stops.push(&held);
        if !stop {
            rest.push_str(&std::mem::replace(&mut self.stops, StopStrings::new([])).finish());
        }
        self.finish_reason = Some(if stop { FinishReason::Stop } else { reason });
        self.text.push_str(&rest);
        rest
    }
}

/// Continues a session that holds a prompt. `listen` gets text as it comes, never half a character and never part of a stop
/// string, and may break it off.
pub async fn reply(
    session: &mut Session,
    format: &ChatFormat,
    options: &ReplyOptions,
    ledger: &mut Ledger,
    mut listen: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<Finished, SessionError> {
    let mut stream = ReplyStream::new(format, options);
    while let Some(text) = stream.step(session, ledger).await? {
        if listen(&text).is_break() {
            stream.cancel();
        }
    }
    Ok(stream.finish(session).await)
}
