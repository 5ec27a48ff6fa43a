//! A reply in steps. Between them JavaScript is told what happened.

use std::ops::ControlFlow;

use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_time::Instant;

use super::dials::Dials;
use super::listener::Event;
use super::rescue::Rescue;
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
    pub rescue: &'a mut Rescue,
}

/// Bytes of a page of WebAssembly's memory.
const PAGE: usize = 65_536;

/// Takes a chat through the session and replies to it; behind `said`, which is the reply's beginning.
pub(super) async fn run(
    session: &mut Session,
    mut about: About<'_>,
    messages: &[Message],
    options: &ReplyOptions,
    said: &[u32],
) -> Result<JsValue, JsError> {
    options.sampling.check()?;
    let prompt = about.format.encode(messages, true)?;
    let (mut before, mut during) = (session.ledger(), session.ledger());
    let start = Instant::now();
    let mut stream = ReplyStream::new(about.format, options);
    // A long prompt's spikes would fill the memory; who wants to see them replays a part of it.
    session.watch(Watch::default());
    about.dials.apply(session);
    stream.take_up(said);
    let mut whole = prefill(session, &mut about, &prompt, &mut before).await?;
    if whole && !said.is_empty() {
        // Booked with what follows: the reply's costs are those of all its tokens.
        whole = prefill(session, &mut about, &[&prompt, said].concat(), &mut during).await?;
    }
    if !whole {
        stream.cancel();
    }
    let prefilled = Instant::now();
    let first = decode(session, &mut about, &mut stream, &mut during).await?;
    let decoding = prefilled.elapsed().as_secs_f64();
    // If the session could not keep the reply's end, the next turn computes it again, or says why not.
    let Reply { text, tokens, finish_reason } = stream.finish(session).await.reply;
    let choice = about.rescue.choice();
    to_js(&ChatReply {
        stats: Stats {
            backend: choice.name.clone(),
            why: choice.why.clone(),
            prompt_tokens: prompt.len(),
            reused_tokens: prompt.len().saturating_sub(before.tokens as usize),
            reply_tokens: tokens.len(),
            prefill_tokens_per_second: rate(before.tokens as f64, (prefilled - start).as_secs_f64()),
            decode_tokens_per_second: rate((tokens.len() - said.len()) as f64, decoding),
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
    about: &mut About<'_>,
    stream: &mut ReplyStream<'_>,
    during: &mut Ledger,
) -> Result<Option<Instant>, JsError> {
    let config = session.engine().config().clone();
    let mut first = None;
    loop {
        let watched = about.dials.apply(session);
        session.watch(watched.map_or_else(Watch::default, |watched| watched.watch()));
        let (mut ledger, begun, before) = (session.ledger(), Instant::now(), stream.tokens().len());
        let text = match stream.step(session, &mut ledger).await {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(first),
            Err(error) => {
                about.rescue.after(error, session).await?;
                continue;
            }
        };
        let seconds = begun.elapsed().as_secs_f64();
        let event = match stream.tokens().get(before) {
            Some(&token) => {
                first.get_or_insert_with(Instant::now);
                during.merge(&ledger);
                let (mut spikes, mut membrane) = (None, None);
                if let Some((record, watched)) = session.take_records().first().zip(watched) {
                    let (seen, felt) = show(session, record, watched)?;
                    (spikes, membrane) = (Some(seen), felt);
                }
                let place = (session.tokens().len() - 1, token);
                Event::Token { token: TokenEvent::new(&config, &ledger, place, &text, seconds), spikes, membrane }
            }
            None => Event::Text { text: &text },
        };
        if !about.rescue.tell(&event).await? {
            stream.cancel();
        }
    }
}

/// Prefills in pieces; `false` where the listener stopped it.
async fn prefill(
    session: &mut Session,
    about: &mut About<'_>,
    prompt: &[u32],
    ledger: &mut Ledger,
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
            Err(error) => {
                about.rescue.after(error, session).await?;
                continue;
            }
        };
        let done = if whole { prompt.len() } else { session.tokens().len() };
        if !about.rescue.tell(&Event::Prefill { done, total: prompt.len() }).await? {
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
