//! What is turned and watched while a reply is made. The engine is busy then, so JavaScript holds these beside it.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Deserialize;
use wasm_bindgen::prelude::*;

use crate::config::{Config, Site};
use crate::model::Controls;
use crate::probe::Watch;
use crate::session::Session;

/// The most micro-steps of any network, and so no limit.
const ALL_STEPS: u32 = 127;

/// `Watch` of `types.ts`: a layer's site, and maybe one of its neurons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Watched {
    pub layer: usize,
    pub site: Site,
    #[serde(default)]
    pub neuron: Option<usize>,
}

impl Watched {
    /// What the session is to keep.
    pub fn watch(self) -> Watch {
        Watch::sites([(self.layer, self.site)])
    }

    /// Whether `config` has it.
    pub fn check(self, config: &Config) -> Result<(), JsError> {
        has(config, Some(self.layer), Some(self.site), self.neuron)
    }
}

/// `Controls` of `types.ts`.
#[derive(Deserialize)]
struct Turned {
    threshold_scale: f32,
    steps: u32,
    muted: Vec<Mute>,
}

/// `Mute` of `types.ts`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Mute {
    layer: Option<usize>,
    site: Option<Site>,
    neurons: Option<(usize, usize)>,
}

#[derive(Debug)]
struct Settings {
    config: Config,
    controls: Controls,
    watched: Option<Watched>,
}

/// Controls and watch of an engine; what is set acts on the next token.
#[wasm_bindgen]
#[derive(Debug, Clone)]
pub struct Dials(Rc<RefCell<Settings>>);

impl Dials {
    pub(super) fn new(config: &Config) -> Self {
        let (controls, watched) = (Controls::default(), None);
        Self(Rc::new(RefCell::new(Settings { config: config.clone(), controls, watched })))
    }

    /// Turns the session's controls as they are set here, and returns what is watched.
    pub(super) fn apply(&self, session: &mut Session) -> Option<Watched> {
        let settings = self.0.borrow();
        if *session.engine().controls() != settings.controls {
            session.engine().controls().clone_from(&settings.controls);
        }
        settings.watched
    }
}

#[wasm_bindgen]
impl Dials {
    /// Turns threshold scale, micro-steps and muted neurons, all of them.
    pub fn set(&self, #[wasm_bindgen(unchecked_param_type = "Controls")] controls: JsValue) -> Result<(), JsError> {
        let Turned { threshold_scale, steps, muted } = serde_wasm_bindgen::from_value(controls)?;
        if !(threshold_scale.is_finite() && threshold_scale > 0.0) {
            return Err(JsError::new(&format!("the threshold scale is {threshold_scale}, but must be above 0")));
        }
        let mut settings = self.0.borrow_mut();
        let mut turned = Controls::default();
        turned.threshold_scale = threshold_scale;
        turned.max_steps = if steps == 0 { ALL_STEPS } else { steps.min(ALL_STEPS) };
        for mute in muted {
            has(&settings.config, mute.layer, mute.site, mute.neurons.map(|(first, last)| first.max(last)))?;
            silence(&mut turned, &settings.config, &mute);
        }
        settings.controls = turned;
        Ok(())
    }

    /// Says what is watched; `undefined` or `null`: nothing.
    pub fn watch(&self, #[wasm_bindgen(unchecked_param_type = "Watch | null")] watch: JsValue) -> Result<(), JsError> {
        let watched: Option<Watched> = serde_wasm_bindgen::from_value(watch)?;
        let mut settings = self.0.borrow_mut();
        watched.map_or(Ok(()), |watched| watched.check(&settings.config))?;
        settings.watched = watched;
        Ok(())
    }
}

fn silence(controls: &mut Controls, config: &Config, mute: &Mute) {
    for layer in 0..config.n_layers {
        for site in Site::ALL {
            if mute.layer.is_some_and(|wanted| wanted != layer) || mute.site.is_some_and(|wanted| wanted != site) {
                continue;
            }
            let inputs = config.site_shape(site).0;
            let (first, last) = mute.neurons.unwrap_or((0, inputs - 1));
            for neuron in first..=last.min(inputs - 1) {
                controls.mute(config, layer, site, neuron, true);
            }
        }
    }
}

/// Whether the network has such a layer, and such a neuron at that site, or at any.
fn has(config: &Config, layer: Option<usize>, site: Option<Site>, neuron: Option<usize>) -> Result<(), JsError> {
    if let Some(layer) = layer.filter(|&layer| layer >= config.n_layers) {
        return Err(JsError::new(&format!("there is no layer {layer}; the network has {}", config.n_layers)));
    }
    let widths = Site::ALL.into_iter().filter(|&any| site.is_none_or(|site| site == any));
    let inputs = widths.map(|site| config.site_shape(site).0).max().unwrap_or(0);
    if let Some(neuron) = neuron.filter(|&neuron| neuron >= inputs) {
        return Err(JsError::new(&format!("there is no neuron {neuron} at that site; it has {inputs}")));
    }
    Ok(())
}
