//! What a token took, for JavaScript: the ledger's counts by layer and site, and their price.

use js_sys::{Float64Array, Uint32Array};
use serde::Serialize;

use crate::config::{Config, Site};
use crate::energy::{Ledger, Operations, Term};

/// `TokenEvent` of `types.ts`. Arrays are `[4·L]`, layer-major.
#[derive(Serialize)]
pub(super) struct TokenEvent<'a> {
    position: usize,
    token: u32,
    text: &'a str,
    milliseconds: f64,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    spikes_positive: Uint32Array,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    spikes_negative: Uint32Array,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    active: Uint32Array,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    neurons: Uint32Array,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    ac: Float64Array,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    mac: Float64Array,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    joules_arithmetic: Float64Array,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    joules_with_data: Float64Array,
    energy: Energy,
}

impl<'a> TokenEvent<'a> {
    /// Of the one token in `ledger`.
    pub fn new(config: &Config, ledger: &Ledger, (position, token): (usize, u32), text: &'a str, seconds: f64) -> Self {
        let places = || (0..ledger.layers()).flat_map(|layer| Site::ALL.map(|site| (layer, site)));
        let counts = |count: &dyn Fn(usize, Site) -> u64| {
            let counts: Vec<u32> = places().map(|(layer, site)| count(layer, site) as u32).collect();
            Uint32Array::from(&counts[..])
        };
        let amounts = |amount: &dyn Fn(Operations) -> f64| {
            let amounts: Vec<f64> = places().map(|(layer, site)| amount(ledger.site_in_all(layer, site))).collect();
            Float64Array::from(&amounts[..])
        };
        Self {
            position,
            token,
            text,
            milliseconds: seconds * 1e3,
            spikes_positive: counts(&|layer, site| ledger.activity(layer, site).positive),
            spikes_negative: counts(&|layer, site| ledger.activity(layer, site).negative),
            active: counts(&|layer, site| ledger.activity(layer, site).fired),
            neurons: counts(&|_, site| config.site_shape(site).0 as u64),
            ac: amounts(&|operations| operations.ac as f64),
            mac: amounts(&|operations| operations.mac as f64),
            joules_arithmetic: amounts(&|operations| JOULES * operations.arithmetic_pj()),
            joules_with_data: amounts(&|operations| JOULES * operations.with_memory_pj()),
            energy: Energy::of(ledger),
        }
    }
}

/// Joules in a picojoule.
const JOULES: f64 = 1e-12;

/// `Joules` of `types.ts`.
#[derive(Serialize)]
struct Joules {
    spiking: f64,
    dense: f64,
    transformer: f64,
}

/// `Energy` of `types.ts`.
#[derive(Serialize)]
pub(super) struct Energy {
    arithmetic: Joules,
    with_data: Joules,
    terms: Vec<Term>,
    dense_terms: Vec<Term>,
    transformer_terms: Vec<Term>,
}

impl Energy {
    /// Of all tokens in `ledger`.
    pub fn of(ledger: &Ledger) -> Self {
        let all = [ledger.operations(), ledger.dense_twin(), ledger.transformer()];
        let joules = |price: fn(&Operations) -> f64| {
            let [spiking, dense, transformer] = all.each_ref().map(|operations| JOULES * price(operations));
            Joules { spiking, dense, transformer }
        };
        Self {
            arithmetic: joules(Operations::arithmetic_pj),
            with_data: joules(Operations::with_memory_pj),
            terms: ledger.terms(),
            dense_terms: ledger.dense_terms(),
            transformer_terms: ledger.transformer_terms(),
        }
    }
}
