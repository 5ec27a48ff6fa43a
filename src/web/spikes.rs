//! Spike trains and membranes of what was watched, for JavaScript.

use js_sys::{Float32Array, Int8Array};
use serde::Serialize;

use super::dials::Watched;
use crate::config::Site;
use crate::probe::Record;
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
pub(super) fn show(session: &mut Session, record: &Record, watched: Watched) -> (Spikes, Option<Membrane>) {
    let (layer, site, position) = (record.layer, record.site, record.position);
    let engine = session.engine();
    let behaviour = engine.controls().clone().neuron(engine.config(), site);
    let inv_threshold = engine.inv_threshold(layer, site);
    let (neurons, packed) = (inv_threshold.len(), record.trains(0, behaviour, inv_threshold));
    let steps = packed.steps;
    let trains: Vec<i8> =
        (0..neurons).flat_map(|j| (0..steps).map(move |t| (j, t))).map(|(j, t)| packed.spike(j, t) as i8).collect();
    let membrane = watched.neuron.filter(|&neuron| neuron < neurons).map(|neuron| {
        let threshold = behaviour.threshold_scale / inv_threshold[neuron];
        let (h, spikes): (Vec<f32>, Vec<i8>) =
            record.trace(0, neuron, behaviour, inv_threshold).map(|(h, spike)| (h * threshold, spike as i8)).unzip();
        // One that would have fired and did not was muted.
        let muted = record.counts[neuron] == 0 && spikes.iter().any(|&spike| spike != 0);
        let spikes = if muted { vec![0; steps] } else { spikes };
        let (h, spikes) = (Float32Array::from(&h[..]), Int8Array::from(&spikes[..]));
        Membrane { position, layer, site, neuron, threshold, muted, h, spikes }
    });
    (Spikes { position, layer, site, steps, neurons, trains: Int8Array::from(&trains[..]) }, membrane)
}
