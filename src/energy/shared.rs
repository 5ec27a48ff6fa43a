//! What spiking and dense network alike do for a token, all but the four projections; by the site whose currents it makes.
//!
//! The same counts as `training/mar_training/evaluate/energy.py`; a test holds them together by `metrics.json`.

use super::{Operations, times};
use crate::config::{Config, Site};

/// What one layer does to make a site's currents, from the projection of the site before it.
pub fn current_operations(config: &Config, site: Site) -> Operations {
    let (d, f) = (config.d_model as u64, config.d_ffn as u64);
    match site {
        // A norm: sum of squares; scale and weight; root and division.
        Site::InProj | Site::GateUp => {
            Operations { mac: d, mul: 2 * d, special: 2, weight_bytes: 4 * d, ..Default::default() }
        }
        Site::OutProj => mixer(config),
        // silu of the gate, its product with up.
        Site::Down => Operations { mul: 2 * f, special: 2 * f, ..Default::default() },
    }
}

/// Convolution, scan, gated norm, and the window branch.
fn mixer(config: &Config) -> Operations {
    let n = |x: usize| x as u64;
    let (inner, heads) = (n(config.d_inner()), n(config.n_heads));
    let (channels, taps) = (n(config.conv_dim()), n(config.d_conv));
    let state = inner * n(config.d_state);
    let mut mixer = Operations {
        // conv taps; decay·state + (Δx)⊗B, then C·state; D·x; the norm's sum of squares
        mac: taps * channels + 2 * state + 2 * inner,
        // Δ·x and its outer product with B; silu of the convolution; silu(z), its gate; the norm's scale and weight
        mul: inner + state + channels + 2 * inner + 2 * inner,
        // exponential and division of silu (conv, z); softplus and decay; root and division of the norm
        special: 2 * (channels + inner) + 3 * heads + 2,
        weight_bytes: 4 * ((taps + 1) * channels + 3 * heads + inner),
        state_bytes: 8 * (state + (taps - 1) * channels),
        ..Default::default()
    };
    if config.window > 0 {
        let slots = n(config.ring_slots());
        mixer.mac += 2 * inner * slots;
        mixer.mul += 2 * (inner + n(config.kv_dim()));
        mixer.special += n(config.attn_heads) * (slots + 1);
        mixer.state_bytes += 4 * 2 * n(config.kv_dim()) * (slots + 1);
    }
    mixer
}

/// The token's embedding, the last norm, and the head over the whole vocabulary.
pub fn head_operations(config: &Config) -> Operations {
    let (d, vocabulary) = (config.d_model as u64, config.vocab_size as u64);
    let row_bytes = config.embed_weights.row_bytes(config.d_model) as u64;
    Operations {
        mac: vocabulary * d + d,
        mul: 2 * d,
        special: 2,
        weight_bytes: (vocabulary + 1) * row_bytes + 4 * (vocabulary + d),
        ..Default::default()
    }
}

/// All of it, for one token.
pub fn shared_operations(config: &Config) -> Operations {
    let mut total = head_operations(config);
    for site in Site::ALL {
        total += times(current_operations(config, site), config.n_layers as u64);
    }
    total
}
