//! A network's kernels with their buffers, in the order in which a token passes them; made once for a conversation.

use super::device::Guard;
use super::kernels::{
    CHUNK_ROWS, COLUMN_WORDS, Dispatch, FIRE_THREADS, Grid, HEAD_ROWS, STEP_ROWS, THREADS, TOKEN_TILE,
};
use super::scratch::{Scratch, muted_words, words};
use super::state::StateBuffers;
use super::weights::{GpuModel, Part};
use crate::config::{Config, Site};

/// All kernels of a pass.
#[derive(Debug)]
pub(super) struct Plan {
    pub embed: Vec<Dispatch>,
    pub layers: Vec<[SitePlan; 4]>,
    /// Final norm and logits of a pass's last token.
    pub head: Vec<Dispatch>,
    pub sample: Dispatch,
}

/// What leads to a site's spikes, and what follows from them.
#[derive(Debug)]
pub(super) struct SitePlan {
    /// Between the last projection and this site, for one token.
    pub before_step: Vec<Dispatch>,
    /// The same for many.
    pub before_chunk: Vec<Dispatch>,
    pub fire: Dispatch,
    /// The projection for one token.
    pub matvec: Vec<Dispatch>,
    /// The projection for many.
    pub matmul: Vec<Dispatch>,
}

/// `lm_head.wgsl`'s sign that the pass's last token is wanted.
const LAST: u32 = u32::MAX;

impl Plan {
    pub fn new(guard: &mut Guard, model: &GpuModel, state: &StateBuffers, scratch: &Scratch) -> Self {
        guard.run("the bindings", 0, |_| {
            let planner = Planner { model, config: &model.config, state, scratch };
            Self {
                embed: planner.embed(),
                layers: (0..model.config.n_layers).map(|l| Site::ALL.map(|site| planner.site(l, site))).collect(),
                head: planner.head(LAST, &scratch.hidden, &scratch.logits),
                sample: planner.sample(),
            }
        })
    }
}

/// Final norm and logits of tokens `from` … of a pass into `logits`, `[tokens, v]`, by way of `hidden`, `[tokens, d]`.
pub(super) fn head_of_all(
    model: &GpuModel,
    state: &StateBuffers,
    scratch: &Scratch,
    from: usize,
    (hidden, logits): (&wgpu::Buffer, &wgpu::Buffer),
) -> Vec<Dispatch> {
    Planner { model, config: &model.config, state, scratch }.head(from as u32, hidden, logits)
}

struct Planner<'a> {
    model: &'a GpuModel,
    config: &'a Config,
    state: &'a StateBuffers,
    scratch: &'a Scratch,
}

fn tiles(size: usize, tile: u32) -> u32 {
    (size as u32).div_ceil(tile)
}

impl Planner<'_> {
    fn uniform(&self, contents: &[u32]) -> wgpu::Buffer {
        words(&self.model.device, contents)
    }

    fn bind(&self, entry: &'static str, buffers: &[(u32, &wgpu::Buffer)], grid: Grid) -> Dispatch {
        self.model.kernels.bind(&self.model.device, entry, None, buffers, grid)
    }

    fn embed(&self) -> Vec<Dispatch> {
        let (model, s, d) = (self.model, self.scratch, self.config.d_model);
        let part = |part: &Part| {
            let shape = self.uniform(&[d as u32, part.row_words as u32, part.first as u32, part.len as u32]);
            let buffers = [&s.cursor, &shape, &s.tokens, &part.buffer, &model.embed_scale, &s.x];
            let kind = Some(self.config.embed_weights);
            model.kernels.bind(
                &model.device,
                "embed_rows",
                kind,
                &numbered(buffers),
                Grid::TokensY(tiles(d, THREADS), 1),
            )
        };
        model.embed.iter().map(part).collect()
    }

    fn head(&self, from: u32, hidden: &wgpu::Buffer, logits: &wgpu::Buffer) -> Vec<Dispatch> {
        let (model, s, config) = (self.model, self.scratch, self.config);
        let shape = |part: &Part| {
            let (d, v) = (config.d_model as u32, config.vocab_size as u32);
            let (first, rows) = (part.first as u32, part.len as u32);
            self.uniform(&[d, part.row_words as u32, first, rows, v, from, config.norm_eps.to_bits()])
        };
        let (norm_grid, rows) = match from {
            LAST => (Grid::Fixed(1, 1), None),
            _ => (Grid::TokensX, Some(1)),
        };
        let any = shape(&model.embed[0]);
        let buffers = [(0, &s.cursor), (1, &any), (2, &s.x), (3, &model.final_norm), (4, hidden)];
        let mut all = vec![self.bind("final_norm", &buffers, norm_grid)];
        all.extend(model.embed.iter().map(|part| {
            let shape = shape(part);
            let buffers =
                [(0, &s.cursor), (1, &shape), (4, hidden), (5, &part.buffer), (6, &model.embed_scale), (7, logits)];
            let x = tiles(part.len, HEAD_ROWS);
            let grid = rows.map_or(Grid::Fixed(x, 1), |tile| Grid::TokensY(x, tile));
            model.kernels.bind(&model.device, "lm_head", Some(config.embed_weights), &buffers, grid)
        }));
        all
    }

    fn sample(&self) -> Dispatch {
        let s = self.scratch;
        let buffers = [&s.cursor, &s.sampling, &s.logits, &s.tokens, &s.history, &s.ends];
        self.bind("sample", &numbered(buffers), Grid::Fixed(1, 1))
    }

    fn site(&self, layer: usize, site: Site) -> SitePlan {
        let (before_step, before_chunk) = match site {
            Site::OutProj => self.mix(layer),
            _ => (Vec::new(), Vec::new()),
        };
        SitePlan {
            before_step,
            before_chunk,
            fire: self.fire(layer, site),
            matvec: self.project(layer, site, "sparse_matvec"),
            matmul: self.project(layer, site, "sparse_matmul"),
        }
    }

    /// Convolution, scan and window attention of one token, and of many.
    fn mix(&self, layer: usize) -> (Vec<Dispatch>, Vec<Dispatch>) {
        let mut step = vec![self.conv(layer), self.scan(layer, "scan_step", STEP_ROWS)];
        let mut chunk = vec![self.conv(layer), self.scan(layer, "scan_chunk", CHUNK_ROWS)];
        if self.config.window > 0 {
            step.extend(self.attention(layer));
            chunk.extend(self.attention(layer));
        }
        (step, chunk)
    }

    fn conv(&self, layer: usize) -> Dispatch {
        let (config, s, weights) = (self.config, self.scratch, &self.model.layers[layer]);
        let parts = config.in_proj_parts();
        let channels = config.conv_dim();
        let shape = self.uniform(&[channels, config.d_conv, parts.v.end, parts.xbc.start].map(|n| n as u32));
        let buffers = [
            &s.cursor,
            &shape,
            &s.projected,
            &weights.conv_weight,
            &weights.conv_bias,
            &self.state.conv[layer],
            &s.xbc,
        ];
        self.bind("conv1d", &numbered(buffers), Grid::Fixed(tiles(channels, THREADS), 1))
    }

    fn scan(&self, layer: usize, entry: &'static str, rows: u32) -> Dispatch {
        let (config, s, weights) = (self.config, self.scratch, &self.model.layers[layer]);
        let parts = config.in_proj_parts();
        let (heads, width) = (config.n_heads, config.head_dim);
        let shape = [heads, width, config.d_state, config.n_groups, parts.v.end, parts.dt.start].map(|n| n as u32);
        let shape = self.uniform(&shape);
        let buffers = [
            &s.cursor,
            &shape,
            &s.projected,
            &s.xbc,
            &weights.dt_bias,
            &weights.a,
            &weights.d,
            &self.state.ssm[layer],
            &s.y,
        ];
        self.bind(entry, &numbered(buffers), Grid::Fixed(tiles(width, rows), heads as u32))
    }

    fn attention(&self, layer: usize) -> [Dispatch; 3] {
        let (config, s) = (self.config, self.scratch);
        let parts = config.in_proj_parts();
        let (heads, kv_heads, width) = (config.attn_heads, config.attn_kv_heads, config.attn_head_dim());
        let mut shape = [
            config.window,
            config.sinks,
            heads,
            kv_heads,
            width,
            parts.v.end,
            parts.q.start,
            parts.k.start,
            parts.v.start,
            parts.xbc.start,
        ]
        .map(|n| n as u32)
        .to_vec();
        shape.push((1.0 / (width as f32).sqrt()).to_bits());
        let shape = self.uniform(&shape);
        let (ring_k, ring_v) = (&self.state.ring_k[layer], &self.state.ring_v[layer]);
        let turned = tiles((heads + kv_heads) * width / 2, THREADS);
        [
            self.bind(
                "rotate",
                &[(0, &s.cursor), (1, &shape), (2, &s.rotary), (3, &s.projected)],
                Grid::TokensY(turned, 1),
            ),
            self.bind(
                "attend",
                &[(0, &s.cursor), (1, &shape), (3, &s.projected), (4, ring_k), (5, ring_v)],
                Grid::TokensY(heads as u32, 1),
            ),
            self.bind(
                "remember",
                &[(0, &s.cursor), (1, &shape), (3, &s.projected), (4, ring_k), (5, ring_v)],
                Grid::TokensY(tiles(kv_heads * width, THREADS), 1),
            ),
        ]
    }

    fn fire(&self, layer: usize, site: Site) -> Dispatch {
        let (config, s, weights) = (self.config, self.scratch, &self.model.layers[layer]);
        let parts = config.in_proj_parts();
        let inputs = config.site_shape(site).0;
        let groups = if site == Site::OutProj { config.n_groups } else { 1 };
        let lanes = 1 << (FIRE_THREADS / groups as u32).ilog2();
        let (entry, source, row, gate, norm) = match site {
            Site::InProj => ("fire_norm", &s.x, 0, 0, &weights.norm_mixer),
            Site::OutProj => ("fire_gated", &s.y, parts.v.end, parts.z.start, &weights.norm_gated),
            Site::GateUp => ("fire_norm", &s.x, 0, 0, &weights.norm_ffn),
            // SwiGLU has no norm; the buffer named here is not bound.
            Site::Down => ("fire_swiglu", &s.x, 2 * config.d_ffn, 0, &weights.norm_ffn),
        };
        let attention = if site == Site::OutProj && config.window > 0 { parts.xbc.start } else { 0 };
        let number = layer * 4 + site.index();
        let shape =
            [inputs, groups, lanes, row, gate, attention, number, 4 * config.n_layers, number * muted_words(config)];
        let mut shape = shape.map(|n| n as u32).to_vec();
        shape.push(config.norm_eps.to_bits());
        let shape = self.uniform(&shape);
        let mut buffers = vec![
            (0, &s.cursor),
            (1, &shape),
            (2, &s.neurons[site.index()]),
            (6, &weights.projections[site.index()].inv_threshold),
            (7, &s.muted),
            (8, &s.current),
            (9, &s.spikes),
            (10, &s.activity),
        ];
        if entry != "fire_swiglu" {
            buffers.extend([(3, source), (5, norm)]);
        }
        if entry != "fire_norm" {
            buffers.push((4, &s.projected));
        }
        self.bind(entry, &buffers, Grid::TokensX)
    }

    fn project(&self, layer: usize, site: Site, entry: &'static str) -> Vec<Dispatch> {
        let (model, s, config) = (self.model, self.scratch, self.config);
        let weights = &model.layers[layer].projections[site.index()];
        let (inputs, outputs) = config.site_shape(site);
        let residual = matches!(site, Site::OutProj | Site::Down);
        let part = |part: &Part| {
            let shape = [inputs, outputs, part.first, part.len, part.row_words, usize::from(residual)];
            let shape = self.uniform(&shape.map(|n| n as u32));
            let out = if residual { &s.x } else { &s.projected };
            let buffers = [&s.cursor, &shape, &s.neurons[site.index()], &s.spikes, &part.buffer, &weights.scale, out];
            let x = tiles(part.row_words, COLUMN_WORDS);
            let grid = if entry == "sparse_matvec" { Grid::Fixed(x, 1) } else { Grid::TokensY(x, TOKEN_TILE) };
            let kind = Some(config.weights[site.index()]);
            model.kernels.bind(&model.device, entry, kind, &numbered(buffers), grid)
        };
        weights.parts.iter().map(part).collect()
    }
}

/// Buffers at bindings 0, 1, 2, …
fn numbered<const N: usize>(buffers: [&wgpu::Buffer; N]) -> [(u32, &wgpu::Buffer); N] {
    let mut number = 0;
    buffers.map(|buffer| {
        number += 1;
        (number - 1, buffer)
    })
}
