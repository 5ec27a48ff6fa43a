//! Spike trains and membranes of what was watched, for JavaScript.

use js_sys::{Float32Array, Int8Array};
use serde::Serialize;

use super::dials::Watched;
use crate::config::Site;
use crate::probe::{ProbeError, Record};
use crate::session::Session;

/// `Spikes` of `types.ts`.
#[derive(Serialize)]
pub(super) struct Spikes {
    position: u64,
    layer: usize,
    site: Site,
    steps: usize,
    neurons: usize,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    trains: Int8Array,
}

/// `Membrane` of `types.ts`.
#[derive(Serialize)]
pub(super) struct Membrane {
    position: u64,
    layer: usize,
    site: Site,
    neuron: usize,
    threshold: f32,
    muted: bool,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    h: Float32Array,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    spikes: Int8Array,
}

/// What a record of one token shows, under the session's controls.
pub(super) fn show(
    session: &mut Session,
    record: &Record,
    watched: Watched,
) -> Result<(Spikes, Option<Membrane>), ProbeError> {
    let (layer, site, position) = (record.layer, record.site, record.position);
    let engine = session.engine();
    let behaviour = engine.controls().clone().neuron(engine.config(), site);
    let inv_threshold = engine.inv_threshold(layer, site)?;
    let (neurons, packed) = (inv_threshold.len(), record.trains(0, behaviour, inv_threshold)?);
    let steps = packed.steps;
    let places = (0..neurons).flat_map(|neuron| (0..steps).map(move |step| (neuron, step)));
    let trains: Vec<i8> = places.map(|(neuron, step)| packed.spike(neuron, step).unwrap_or(0) as i8).collect();
    let spikes = Spikes { position, layer, site, steps, neurons, trains: Int8Array::from(&trains[..]) };
    let Some(neuron) = watched.neuron else { return Ok((spikes, None)) };
    let trace: Vec<(f32, i32)> = record.trace(0, neuron, behaviour, inv_threshold)?.collect();
    let threshold = behaviour.threshold_scale / inv_threshold[neuron];
    // One whose membrane came to the threshold and that did not fire was muted.
    let muted = record.counts[neuron] == 0 && trace.iter().any(|(h, _)| h.abs() >= 1.0);
    let (h, s): (Vec<f32>, Vec<i8>) = trace.iter().map(|&(h, spike)| (h * threshold, spike as i8)).unzip();
    let (h, s) = (Float32Array::from(&h[..]), Int8Array::from(&s[..]));
    Ok((spikes, Some(Membrane { position, layer, site, neuron, threshold, muted, h, spikes: s })))
}
