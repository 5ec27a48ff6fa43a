//! A reply in steps. Between them JavaScript is told what happened, and may take its time: to draw, or to hear that the
//! person wants to stop.

use std::ops::ControlFlow;

use js_sys::{Function, Promise};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_time::Instant;

use super::to_js;
use crate::chat::{ChatFormat, Message};
use crate::energy::{Ledger, LedgerSummary};
use crate::reply::{FinishReason, Reply, ReplyOptions, ReplyStream};
use crate::session::{Session, SessionError};

/// `ChatEvent` of `web.d.ts`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event<'a> {
    Prefill { done: usize, total: usize },
    Text { text: &'a str, tokens: usize },
}

/// Someone in JavaScript who is told of every event.
pub(super) struct Listener(pub(super) Function);

impl Listener {
    /// Whether to go on.
    async fn tell(&self, event: &Event<'_>) -> Result<bool, JsError> {
        let failed = |error: JsValue| JsError::new(&format!("the listener of the chat failed: {error:?}"));
        let answer = self.0.call1(&JsValue::UNDEFINED, &to_js(event)?).map_err(failed)?;
        let answer = JsFuture::from(Promise::resolve(&answer)).await.map_err(failed)?;
        Ok(answer != JsValue::FALSE)
    }
}

/// `ChatReply` of `web.d.ts`.
#[derive(Serialize)]
struct ChatReply {
    text: String,
    tokens: Vec<u32>,
    finish_reason: FinishReason,
    stats: Stats,
    ledger: Ledgers,
}

/// `ReplyStats` of `web.d.ts`.
#[derive(Serialize)]
struct Stats {
    backend: String,
    prompt_tokens: usize,
    reused_tokens: usize,
    prefill_tokens_per_second: f64,
    decode_tokens_per_second: f64,
    time_to_first_token_ms: f64,
    state_bytes: usize,
}

#[derive(Serialize)]
struct Ledgers {
    prompt: LedgerSummary,
    reply: LedgerSummary,
}

/// Takes a chat through the session and replies to it.
pub(super) async fn run(
    session: &mut Session,
    format: &ChatFormat,
    messages: &[Message],
    options: &ReplyOptions,
    listener: &Listener,
) -> Result<JsValue, JsError> {
    options.sampling.check()?;
    let prompt = format.encode(messages, true)?;
    let (mut before, mut during) = (session.ledger(), session.ledger());
    let start = Instant::now();
    let mut stream = ReplyStream::new(format, options);
    if !prefill(session, &prompt, &mut before, listener).await? {
        stream.cancel();
    }
    let prefilled = Instant::now();
    let mut first = None;
    while let Some(text) = stream.step(session, &mut during).await? {
        first.get_or_insert_with(|| start.elapsed());
        if !listener.tell(&Event::Text { text: &text, tokens: stream.tokens() }).await? {
            stream.cancel();
        }
    }
    let decode = prefilled.elapsed().as_secs_f64();
    // If the session could not keep the reply's end, the next turn computes it again, or says why not.
    let Reply { text, tokens, finish_reason } = stream.finish(session).await.reply;
    to_js(&ChatReply {
        stats: Stats {
            backend: session.engine().name().into(),
            prompt_tokens: prompt.len(),
            reused_tokens: prompt.len().saturating_sub(before.tokens as usize),
            prefill_tokens_per_second: before.tokens as f64 / (prefilled - start).as_secs_f64(),
            decode_tokens_per_second: tokens.len() as f64 / decode,
            time_to_first_token_ms: first.unwrap_or_default().as_secs_f64() * 1e3,
            state_bytes: session.engine().state_bytes(),
        },
        ledger: Ledgers { prompt: before.summary(), reply: during.summary() },
        text,
        tokens,
        finish_reason,
    })
}

/// Prefills in pieces; `false` where the listener stopped it.
async fn prefill(
    session: &mut Session,
    prompt: &[u32],
    ledger: &mut Ledger,
    listener: &Listener,
) -> Result<bool, JsError> {
    loop {
        let mut pieces = 0;
        let one_piece = |_, _| {
            pieces += 1;
            if pieces > 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let whole = match session.prefill(prompt, ledger, one_piece).await {
            Ok(_) => true,
            // Not stopped but interrupted: what was computed is kept, and the next call goes on from there.
            Err(SessionError::Cancelled) => false,
            Err(error) => return Err(error.into()),
        };
        let done = if whole { prompt.len() } else { session.tokens().len() };
        if !listener.tell(&Event::Prefill { done, total: prompt.len() }).await? {
            return Ok(false);
        }
        if whole {
            return Ok(true);
        }
    }
}
