//! The shaders as pipelines, built once for a model.

use std::collections::HashMap;

use super::device::Device;
use crate::config::WeightKind;

/// A shader's text, after what all share.
macro_rules! shader {
    ($name:literal) => {
        concat!(
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/common.wgsl")),
            "\n",
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name, ".wgsl"))
        )
    };
}

/// (file, its entry points, its text).
const SHADERS: [(&[&str], &str); 10] = [
    (&["embed_rows"], shader!("embed")),
    (&["fire_norm", "fire_gated", "fire_swiglu"], shader!("fire")),
    (&["sparse_matvec"], shader!("sparse_matvec")),
    (&["sparse_matmul"], shader!("sparse_matmul")),
    (&["conv1d"], shader!("conv1d")),
    (&["scan_step"], shader!("scan_step")),
    (&["scan_chunk"], shader!("scan_chunk")),
    (&["rotate", "attend", "remember"], shader!("window_attention")),
    (&["final_norm", "lm_head"], shader!("lm_head")),
    (&["sample"], shader!("sample")),
];

/// Threads of a workgroup along x in kernels with one thread an element.
pub const THREADS: u32 = 64;
/// Words of a weight row that a workgroup of a projection owns.
pub const COLUMN_WORDS: u32 = 8;
/// Tokens that a workgroup of `sparse_matmul` owns.
pub const TOKEN_TILE: u32 = 16;
/// Rows of the state that a workgroup of `scan_step` owns.
pub const STEP_ROWS: u32 = 8;
/// Rows of the state that a workgroup of `scan_chunk` owns.
pub const CHUNK_ROWS: u32 = 16;
/// Tokens of the vocabulary that a workgroup of `lm_head` owns.
pub const HEAD_ROWS: u32 = 8;
/// Threads of a workgroup of `fire`.
pub const FIRE_THREADS: u32 = 256;

/// Pipelines by entry point and kind of weights.
#[derive(Debug)]
pub struct Kernels {
    pipelines: HashMap<(&'static str, u32), wgpu::ComputePipeline>,
}

impl Kernels {
    /// Compiles all kernels, those that read weights for each of `kinds`.
    pub fn new(device: &Device, kinds: &[WeightKind]) -> Self {
        let mut pipelines = HashMap::new();
        for (entries, text) in SHADERS {
            let module = device.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(entries[0]),
                source: wgpu::ShaderSource::Wgsl(text.into()),
            });
            for &entry in entries {
                for bits in bits_of(entry, kinds) {
                    let constants: Vec<(&str, f64)> = constants(entry, bits);
                    let pipeline = device.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                        label: Some(entry),
                        layout: None,
                        module: &module,
                        entry_point: Some(entry),
                        compilation_options: wgpu::PipelineCompilationOptions {
                            constants: &constants,
                            zero_initialize_workgroup_memory: false,
                        },
                        cache: None,
                    });
                    pipelines.insert((entry, bits), pipeline);
                }
            }
        }
        Self { pipelines }
    }

    /// A kernel bound to buffers: (binding, buffer). `kind` is that of the weights it reads, if it reads any.
    pub fn bind(
        &self,
        device: &Device,
        entry: &'static str,
        kind: Option<WeightKind>,
        buffers: &[(u32, &wgpu::Buffer)],
        grid: Grid,
    ) -> Dispatch {
        let pipeline = self.pipelines[&(entry, kind.map_or(0, |kind| kind.bits() as u32))].clone();
        let entries: Vec<wgpu::BindGroupEntry> = buffers
            .iter()
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding: *binding, resource: buffer.as_entire_binding() })
            .collect();
        let group = device.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(entry),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Dispatch { pipeline, group, grid }
    }
}

fn reads_weights(entry: &str) -> bool {
    matches!(entry, "embed_rows" | "sparse_matvec" | "sparse_matmul" | "lm_head")
}

fn bits_of(entry: &str, kinds: &[WeightKind]) -> Vec<u32> {
    if !reads_weights(entry) {
        return vec![0];
    }
    let mut bits: Vec<u32> = kinds.iter().map(|kind| kind.bits() as u32).collect();
    bits.sort_unstable();
    bits.dedup();
    bits
}

fn constants(entry: &str, bits: u32) -> Vec<(&'static str, f64)> {
    let mut all: Vec<(&'static str, u32)> = match entry {
        "embed_rows" | "conv1d" | "rotate" | "attend" | "remember" => vec![("WORKGROUP", THREADS)],
        "fire_norm" | "fire_gated" | "fire_swiglu" => vec![("WORKGROUP", FIRE_THREADS)],
        "sparse_matvec" => vec![("COLUMNS", COLUMN_WORDS)],
        "sparse_matmul" => vec![("COLUMNS", COLUMN_WORDS), ("PAIRS", TOKEN_TILE / 2)],
        "scan_step" => vec![("ROWS", STEP_ROWS)],
        "scan_chunk" => vec![("ROWS", CHUNK_ROWS)],
        "lm_head" => vec![("ROWS", HEAD_ROWS)],
        _ => Vec::new(),
    };
    if bits > 0 {
        all.push(("BITS", bits));
    }
    all.into_iter().map(|(name, value)| (name, f64::from(value))).collect()
}

/// Workgroups of a dispatch: those of one token, and along which axis tokens multiply them.
#[derive(Debug, Clone, Copy)]
pub enum Grid {
    /// (x, y), whatever the number of tokens.
    Fixed(u32, u32),
    /// One workgroup along x a token.
    TokensX,
    /// x, and along y one a tile of so many tokens.
    TokensY(u32, u32),
}

/// A kernel with its buffers.
#[derive(Debug)]
pub struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    grid: Grid,
}

impl Dispatch {
    /// Runs in `pass`, for so many tokens.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>, tokens: u32) {
        let (x, y) = match self.grid {
            Grid::Fixed(x, y) => (x, y),
            Grid::TokensX => (tokens, 1),
            Grid::TokensY(x, tile) => (x, tokens.div_ceil(tile)),
        };
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(x, y, 1);
    }
}
