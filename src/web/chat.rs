//! A reply in steps. Between them JavaScript is told what happened.

use std::ops::ControlFlow;

use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_time::Instant;

use super::backend::BackendChoice;
use super::dials::Dials;
use super::listener::{Event, Listener};
use super::spikes::show;
use super::to_js;
use super::token::{Energy, TokenEvent};
use crate::chat::{ChatFormat, Message};
use crate::energy::{Ledger, LedgerSummary};
use crate::gpu::BURST;
use crate::probe::Watch;
use crate::reply::{FinishReason, Reply, ReplyOptions, ReplyStream};
use crate::session::{Session, SessionError};

/// `Reply` of `types.ts`.
#[derive(Serialize)]
struct ChatReply {
    text: String,
    tokens: Vec<u32>,
    finish_reason: FinishReason,
    stats: Stats,
    ledger: Ledgers,
}

/// `Stats` of `types.ts`.
#[derive(Serialize)]
struct Stats {
    backend: String,
    why: String,
    prompt_tokens: usize,
    reused_tokens: usize,
    reply_tokens: usize,
    prefill_tokens_per_second: f64,
    decode_tokens_per_second: f64,
    time_to_first_token_ms: f64,
    context_tokens: usize,
    state_bytes: usize,
    memory_bytes: usize,
    burst: usize,
}

/// `Ledgers` of `types.ts`.
#[derive(Serialize)]
struct Ledgers {
    prompt: LedgerSummary,
    reply: LedgerSummary,
    energy: Energy,
}

/// What a reply needs beside the session.
pub(super) struct About<'a> {
    pub format: &'a ChatFormat,
    pub dials: &'a Dials,
    pub choice: &'a BackendChoice,
}

/// Bytes of a page of WebAssembly's memory.
const PAGE: usize = 65_536;

/// Takes a chat through the session and replies to it.
pub(super) async fn run(
    session: &mut Session,
    about: About<'_>,
    messages: &[Message],
    options: &ReplyOptions,
    listener: &Listener,
) -> Result<JsValue, JsError> {
    options.sampling.check()?;
    let prompt = about.format.encode(messages, true)?;
    let (mut before, mut during) = (session.ledger(), session.ledger());
    let start = Instant::now();
    let mut stream = ReplyStream::new(about.format, options);
    // A long prompt's spikes would fill the memory; who wants to see them replays a part of it.
    session.watch(Watch::default());
    about.dials.apply(session);
    if !prefill(session, &prompt, &mut before, listener).await? {
        stream.cancel();
    }
    let prefilled = Instant::now();
    let first = decode(session, &about, &mut stream, &mut during, listener).await?;
    let decoding = prefilled.elapsed().as_secs_f64();
    let Reply { text, tokens, finish_reason } = stream.finish(session).await?;
    to_js(&ChatReply {
        stats: Stats {
            backend: about.choice.name.clone(),
            why: about.choice.why.clone(),
            prompt_tokens: prompt.len(),
            reused_tokens: prompt.len().saturating_sub(before.tokens as usize),
            reply_tokens: tokens.len(),
            prefill_tokens_per_second: rate(before.tokens as f64, (prefilled - start).as_secs_f64()),
            decode_tokens_per_second: rate(tokens.len() as f64, decoding),
            time_to_first_token_ms: first.map_or(0.0, |first| (first - start).as_secs_f64() * 1e3),
            context_tokens: session.tokens().len(),
            state_bytes: session.engine().state_bytes(),
            memory_bytes: core::arch::wasm32::memory_size(0) * PAGE,
            burst: session.engine().gpu().map_or(1, |_| BURST),
        },
        ledger: Ledgers { prompt: before.summary(), reply: during.summary(), energy: Energy::of(&during) },
        text,
        tokens,
        finish_reason,
    })
}

/// Decodes to the end, and tells of every token. Returns when the first one came.
async fn decode(
    session: &mut Session,
    about: &About<'_>,
    stream: &mut ReplyStream<'_>,
    during: &mut Ledger,
    listener: &Listener,
) -> Result<Option<Instant>, JsError> {
    let config = session.engine().config().clone();
    let mut first = None;
    loop {
        let watched = about.dials.apply(session);
        session.watch(watched.map_or_else(Watch::default, |watched| watched.watch()));
        let (mut ledger, begun, before) = (session.ledger(), Instant::now(), stream.tokens().len());
        let Some(text) = stream.step(session, &mut ledger).await? else { return Ok(first) };
        let seconds = begun.elapsed().as_secs_f64();
        let event = match stream.tokens().get(before) {
            Some(&token) => {
                first.get_or_insert_with(Instant::now);
                during.merge(&ledger);
                let shown = session.take_records().first().zip(watched).map(|(record, w)| show(session, record, w));
                let (spikes, membrane) = shown.map_or((None, None), |(spikes, membrane)| (Some(spikes), membrane));
                let place = (session.tokens().len() - 1, token);
                Event::Token { token: TokenEvent::new(&config, &ledger, place, &text, seconds), spikes, membrane }
            }
            None => Event::Text { text: &text },
        };
        if !listener.tell(&event).await? {
            stream.cancel();
        }
    }
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

/// Tokens a second; 0 where there was nothing to time.
fn rate(tokens: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { tokens / seconds } else { 0.0 }
}
