//! The network's shape, as `config.json` says it, with every limit of `models/FORMAT.md` checked here.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::format::clip;

/// One of the four places of a layer where neurons fire into a projection, in the order of `models/FORMAT.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Site {
    /// Before the mixer's input projection.
    InProj,
    /// Before the mixer's output projection.
    OutProj,
    /// Before the FFN's gate and up projections, which read the same spikes.
    GateUp,
    /// Before the FFN's down projection.
    Down,
}

impl Site {
    /// All sites, in the order in which a token passes them.
    pub const ALL: [Site; 4] = [Site::InProj, Site::OutProj, Site::GateUp, Site::Down];

    /// The name in tensors and reports.
    pub fn name(self) -> &'static str {
        ["in_proj", "out_proj", "gate_up", "down"][self.index()]
    }

    /// 0 … 3, the place in `Config::steps` and `Config::weights`.
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The integer type of a packed matrix (`models/FORMAT.md`, "Packed matrices").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightKind {
    /// -127 … 127, one in a byte.
    Int8,
    /// -7 … 7, two in a byte.
    Int4,
    /// -1, 0, 1, four in a byte.
    Ternary,
}

impl WeightKind {
    /// Bits of one field: 8, 4 or 2.
    pub fn bits(self) -> usize {
        match self {
            WeightKind::Int8 => 8,
            WeightKind::Int4 => 4,
            WeightKind::Ternary => 2,
        }
    }

    /// The largest value: 127, 7 or 1.
    pub fn max(self) -> i32 {
        (1 << (self.bits() - 1)) - 1
    }

    /// Bytes of a packed row of `columns` integers: whole 16-byte blocks.
    pub fn row_bytes(self, columns: usize) -> usize {
        (columns * self.bits()).div_ceil(128) * 16
    }

    /// The name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            WeightKind::Int8 => "int8",
            WeightKind::Int4 => "int4",
            WeightKind::Ternary => "ternary",
        }
    }
}

/// Why a `config.json` was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not JSON, a key missing, unknown or twice, or a value of the wrong type.
    #[error("config.json is not a MAR configuration: {0}")]
    Json(#[from] serde_json::Error),
    /// A value outside the format's limits.
    #[error("config.json: {key} is {found}, but must be {expected}")]
    Limit {
        /// The key of `config.json`.
        key: &'static str,
        /// Its value.
        found: String,
        /// The rule it breaks.
        expected: String,
    },
}

/// `config.json`: the whole shape of a network. Symbols as in `models/FORMAT.md`.
///
/// A value of this type made by [`Config::parse`] keeps every limit of the format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    format: String,
    format_version: u32,
    /// The model's name, 1 to 64 of `a-z 0-9 . _ -`.
    pub name: String,
    /// v, the vocabulary.
    pub vocab_size: usize,
    /// d, the width of the residual stream.
    pub d_model: usize,
    /// L.
    pub n_layers: usize,
    /// f, the FFN's inner width.
    pub d_ffn: usize,
    /// h, heads of the scan.
    pub n_heads: usize,
    /// p, a head's width.
    pub head_dim: usize,
    /// n, the scan's state per head channel.
    pub d_state: usize,
    /// g, groups of heads that share B and C.
    pub n_groups: usize,
    /// k, taps of the causal convolution.
    pub d_conv: usize,
    /// Added to the mean square in every norm.
    pub norm_eps: f32,
    /// W, positions of the window branch; 0 where there is none.
    pub window: usize,
    /// S, first positions that the window branch always sees.
    pub sinks: usize,
    /// Query heads of the window branch.
    pub attn_heads: usize,
    /// Key and value heads of the window branch.
    pub attn_kv_heads: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    neuron: String,
    /// T of each site.
    pub steps: [u32; 4],
    /// The membrane's leak divides by this after each micro-step.
    pub tau: f64,
    /// Added, with the current's sign, before the first micro-step, in units of the threshold.
    pub precharge: f64,
    /// The integer type of each site's projection.
    pub weights: [WeightKind; 4],
    /// The integer type of the embedding, which is also the head.
    pub embed_weights: WeightKind,
}

/// Numbers that a state may have: 1 GiB of float32.
const MAX_STATE: u64 = 1 << 28;

impl Config {
    /// Reads and checks the bytes of a `config.json`.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_slice(json)?;
        config.check()?;
        Ok(config)
    }

    /// The `config.json` of this configuration.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("a plain struct of numbers and strings");
        json.push('\n');
        json
    }

    /// i = h · p, the mixer's inner width.
    pub fn d_inner(&self) -> usize {
        self.n_heads * self.head_dim
    }

    /// g · n, the width of B and of C.
    pub fn bc_dim(&self) -> usize {
        self.n_groups * self.d_state
    }

    /// xbc = i + 2 · g · n, channels of the convolution.
    pub fn conv_dim(&self) -> usize {
        self.d_inner() + 2 * self.bc_dim()
    }

    /// Width of an attention head; 0 without a window branch.
    pub fn attn_head_dim(&self) -> usize {
        if self.window == 0 { 0 } else { self.d_inner() / self.attn_heads }
    }

    /// Width of the window branch's keys, and of its values; 0 without one.
    pub fn kv_dim(&self) -> usize {
        if self.window == 0 { 0 } else { self.attn_kv_heads * self.attn_head_dim() }
    }

    /// Slots of the window branch's rings: S + W, or 0 without one.
    pub fn ring_slots(&self) -> usize {
        self.sinks + self.window
    }

    /// (inputs, outputs) of a projection.
    pub fn site_shape(&self, site: Site) -> (usize, usize) {
        let inner = self.d_inner();
        match site {
            Site::InProj => (self.d_model, self.in_proj_parts().v.end),
            Site::OutProj => (inner, self.d_model),
            Site::GateUp => (self.d_model, 2 * self.d_ffn),
            Site::Down => (self.d_ffn, self.d_model),
        }
    }

    /// Where in_proj's output holds what.
    pub fn in_proj_parts(&self) -> InProjParts {
        let attention = if self.window == 0 { 0 } else { self.d_inner() };
        let mut end = 0;
        let mut next = |width: usize| {
            end += width;
            end - width..end
        };
        InProjParts {
            z: next(self.d_inner()),
            xbc: next(self.conv_dim()),
            dt: next(self.n_heads),
            q: next(attention),
            k: next(self.kv_dim()),
            v: next(self.kv_dim()),
        }
    }

    /// Numbers of a conversation's state: the scan's, the convolution's past and the window branch's rings.
    pub fn state_len(&self) -> u64 {
        let n = |x: usize| x as u64;
        let scan = n(self.d_inner()) * n(self.d_state);
        let past = n(self.d_conv - 1) * n(self.conv_dim());
        n(self.n_layers) * (scan + past + 2 * n(self.ring_slots()) * n(self.kv_dim()))
    }

    /// Numbers that training has set: weights, norms, and a threshold for each neuron.
    pub fn parameters(&self) -> u64 {
        let n = |x: usize| x as u64;
        let sites: u64 = Site::ALL
            .map(|site| self.site_shape(site))
            .map(|(inputs, outputs)| n(inputs) * (n(outputs) + 1))
            .iter()
            .sum();
        n(self.vocab_size + 1) * n(self.d_model) + n(self.n_layers) * (sites + self.mixer_and_norms())
    }

    /// Bytes of the network's weights in memory: packed matrices with their scales, float32 for the rest.
    pub fn weight_bytes(&self) -> u64 {
        let n = |x: usize| x as u64;
        let row = |kind: WeightKind, inputs, outputs| n(inputs) * n(kind.row_bytes(outputs)) + 4 * n(outputs);
        let sites: u64 = Site::ALL
            .map(|site| (self.weights[site.index()], self.site_shape(site)))
            .map(|(kind, (inputs, outputs))| row(kind, inputs, outputs) + 4 * n(inputs))
            .iter()
            .sum();
        let embed = n(self.vocab_size) * (n(self.embed_weights.row_bytes(self.d_model)) + 4) + 4 * n(self.d_model);
        embed + n(self.n_layers) * (sites + 4 * self.mixer_and_norms())
    }

    /// A layer's numbers that are in no projection: convolution, scan, norms.
    fn mixer_and_norms(&self) -> u64 {
        let conv = (self.d_conv + 1) * self.conv_dim();
        (conv + 3 * self.n_heads + self.d_inner() + 2 * self.d_model) as u64
    }

    /// 1 / tau, divided in float64 and rounded once, as the format says.
    pub fn leak(&self) -> f32 {
        (1.0 / self.tau) as f32
    }

    fn check(&self) -> Result<(), ConfigError> {
        exact("format", &self.format, "mar")?;
        limit("format_version", self.format_version, self.format_version == 1, "1, the version this reader knows")?;
        exact("neuron", &self.neuron, "atmn")?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        limit(
            "name",
            &self.name,
            (1..=64).contains(&self.name.len()) && self.name.chars().all(plain),
            "1 to 64 of a-z 0-9 . _ -",
        )?;
        for (key, value, low, high) in [
            ("vocab_size", self.vocab_size, 1, 262_144),
            ("d_model", self.d_model, 1, 8_192),
            ("n_layers", self.n_layers, 1, 128),
            ("d_ffn", self.d_ffn, 1, 32_768),
            ("n_heads", self.n_heads, 1, 256),
            ("head_dim", self.head_dim, 1, 256),
            ("d_state", self.d_state, 1, 256),
            ("n_groups", self.n_groups, 1, 256),
            ("d_conv", self.d_conv, 2, 8),
            ("window", self.window, 0, 4_096),
            ("sinks", self.sinks, 0, 64),
        ] {
            limit(key, value, (low..=high).contains(&value), format!("from {low} to {high}"))?;
        }
        limit("n_heads", self.n_heads, self.d_inner() <= 16_384, "at most 16,384 / head_dim")?;
        limit("n_groups", self.n_groups, self.n_heads.is_multiple_of(self.n_groups), "a divisor of n_heads")?;
        limit("norm_eps", self.norm_eps, self.norm_eps > 0.0 && self.norm_eps <= 0.01, "above 0 and at most 0.01")?;
        let finite = |x: f64| (x as f32).is_finite();
        limit("rope_theta", self.rope_theta, self.rope_theta > 1.0 && finite(self.rope_theta), "above 1 and finite")?;
        limit("tau", self.tau, self.tau >= 1.0 && finite(self.tau), "at least 1 and finite")?;
        limit("precharge", self.precharge, (0.0..=0.5).contains(&self.precharge), "from 0 to 0.5")?;
        self.check_window()?;
        let state = self.state_len();
        limit(
            "n_layers",
            self.n_layers,
            state <= MAX_STATE,
            format!("such that the state has at most {MAX_STATE} numbers"),
        )?;
        for site in Site::ALL {
            let (steps, kind) = (self.steps[site.index()], self.weights[site.index()]);
            limit("steps", steps, (1..=127).contains(&steps), "from 1 to 127 at each site")?;
            let largest = self.site_shape(site).0 as u64 * u64::from(steps) * kind.max() as u64;
            let rule = format!("such that inputs · T · {} of {site} is at most 2^24", kind.max());
            limit("steps", steps, largest <= 1 << 24, rule)?;
        }
        let embed = self.embed_weights;
        limit("embed_weights", embed.name(), embed != WeightKind::Ternary, "int8 or int4")
    }

    fn check_window(&self) -> Result<(), ConfigError> {
        if self.window == 0 {
            return limit("sinks", self.sinks, self.sinks == 0, "0 where window is 0");
        }
        let (heads, kv_heads, inner) = (self.attn_heads, self.attn_kv_heads, self.d_inner());
        let splits = heads > 0 && inner.is_multiple_of(heads) && (inner / heads).is_multiple_of(2);
        limit("attn_heads", heads, splits, "a divisor of n_heads · head_dim that leaves an even width")?;
        let shares = kv_heads > 0 && heads.is_multiple_of(kv_heads);
        limit("attn_kv_heads", kv_heads, shares, "a divisor of attn_heads")
    }
}

/// Ranges of in_proj's output: z | X | B | C | dt (| q | k | v); the last three are empty without a window branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InProjParts {
    /// The gate, `[i]`.
    pub z: Range<usize>,
    /// The convolution's input X | B | C, `[xbc]`.
    pub xbc: Range<usize>,
    /// `[h]`.
    pub dt: Range<usize>,
    /// `[attn_heads, w]`.
    pub q: Range<usize>,
    /// `[attn_kv_heads, w]`.
    pub k: Range<usize>,
    /// `[attn_kv_heads, w]`.
    pub v: Range<usize>,
}

fn limit(
    key: &'static str,
    found: impl fmt::Display,
    holds: bool,
    expected: impl Into<String>,
) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    Err(ConfigError::Limit { key, found: clip(&found.to_string()), expected: expected.into() })
}

fn exact(key: &'static str, found: &str, expected: &str) -> Result<(), ConfigError> {
    limit(key, format!("{found:?}"), found == expected, format!("{expected:?}"))
}
