//! What an engine does aside from its conversation: the loss of a text, and tokens once more.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use super::dials::Watched;
use super::listener::Event;
use super::rescue::Rescue;
use super::spikes::{Membrane, Spikes, show};
use super::to_js;
use crate::config::Site;
use crate::energy::LedgerSummary;
use crate::session::{Session, SessionError};

/// `Loss` of `types.ts`.
#[derive(Serialize)]
struct Loss {
    nats_per_token: f64,
    tokens: usize,
    ledger: LedgerSummary,
}

/// `Replay` of `types.ts`.
#[derive(Deserialize)]
pub(super) struct Replay {
    layer: usize,
    site: Site,
    neuron: Option<usize>,
    /// The first token; the last one where nothing is said.
    first: Option<usize>,
    /// How many from there; one where nothing is said.
    count: Option<usize>,
}

/// `Replayed` of `types.ts`.
#[derive(Serialize)]
struct Replayed {
    spikes: Vec<Spikes>,
    membranes: Vec<Membrane>,
}

/// -ln of the probability of each token after the first, averaged.
pub(super) async fn loss(session: &mut Session, tokens: &[u32], rescue: &mut Rescue) -> Result<JsValue, JsError> {
    loop {
        let mut ledger = session.ledger();
        match session.loss(tokens, &mut ledger, async |done, total| tell(rescue, done, total).await).await {
            Ok(nats_per_token) => {
                return to_js(&Loss { nats_per_token, tokens: tokens.len() - 1, ledger: ledger.summary() });
            }
            Err(error) => rescue.after(error, session).await?,
        }
    }
}

/// The spikes of tokens that are past.
pub(super) async fn replay(session: &mut Session, replay: Replay, rescue: &mut Rescue) -> Result<JsValue, JsError> {
    let what = Watched { layer: replay.layer, site: replay.site, neuron: replay.neuron };
    what.check(session.engine().config())?;
    let tokens = session.tokens().len();
    let first = replay.first.or(tokens.checked_sub(1)).ok_or(SessionError::Empty)?;
    let end = first.saturating_add(replay.count.unwrap_or(1));
    let watch = what.watch();
    let records = loop {
        match session.replay(first..end, &watch, async |done, total| tell(rescue, done, total).await).await {
            Ok(records) => break records,
            Err(error) => rescue.after(error, session).await?,
        }
    };
    let mut replayed = Replayed { spikes: Vec::new(), membranes: Vec::new() };
    for record in &records {
        let (spikes, membrane) = show(session, record, what)?;
        replayed.spikes.push(spikes);
        replayed.membranes.extend(membrane);
    }
    to_js(&replayed)
}

async fn tell(rescue: &mut Rescue, done: usize, total: usize) -> ControlFlow<()> {
    match rescue.tell(&Event::Work { done, total }).await {
        Ok(true) => ControlFlow::Continue(()),
        // A listener that fails cannot want more.
        Ok(false) | Err(_) => ControlFlow::Break(()),
    }
}
