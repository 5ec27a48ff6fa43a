//! A reply as text: decodes until the model ends its turn, a stop string comes, the limit is reached, or somebody stops it.

use std::ops::ControlFlow;

use serde::Serialize;

use crate::chat::{ChatFormat, StopStrings};
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

/// Continues a session that holds a prompt. `listen` gets text as it comes, never half a character and never part of a stop
/// string, and may break it off.
pub fn reply(
    session: &mut Session,
    format: &ChatFormat,
    options: &ReplyOptions,
    ledger: &mut Ledger,
    mut listen: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<Reply, SessionError> {
    let (mut stream, mut stops) = (format.stream(), StopStrings::new(options.stop.clone()));
    let (mut text, mut tokens, mut finish_reason) = (String::new(), Vec::new(), FinishReason::Length);
    let mut stopped = false;
    while tokens.len() < options.max_tokens {
        let token = session.decode(&options.sampling, ledger)?;
        tokens.push(token);
        if format.ends(token) {
            finish_reason = FinishReason::Stop;
            break;
        }
        let (shown, stop) = stops.push(&stream.push(token));
        text.push_str(&shown);
        let cancelled = listen(&shown).is_break();
        if stop || cancelled {
            stopped = true;
            finish_reason = if stop { FinishReason::Stop } else { FinishReason::Cancelled };
            break;
        }
    }
    if !stopped {
        let (mut rest, stop) = stops.push(&stream.finish());
        if stop {
            finish_reason = FinishReason::Stop;
        } else {
            rest.push_str(&stops.finish());
        }
        text.push_str(&rest);
        let _ = listen(&rest);
    }
    session.checkpoint();
    Ok(Reply { text, tokens, finish_reason })
}
