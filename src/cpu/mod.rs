//! The network on the CPU. One file a kernel, each the twin of the shader of the same name: plain loops that read like the
//! formulas of `models/FORMAT.md`. `forward.rs` puts them together.

mod batch;
mod conv1d;
mod dense_matmul;
mod embed;
mod fire;
mod forward;
mod kernels;
mod lm_head;
mod norm;
mod sample;
mod scan;
mod simd;
mod sparse_matmul;
mod window_attention;

pub use batch::SpikeBatch;
pub use conv1d::conv1d;
pub use dense_matmul::dense_matmul;
pub use embed::embed;
pub use fire::{fire, membrane, spike_train};
pub(crate) use forward::CHUNK;
pub use forward::{Cpu, Logits, Observer};
pub use kernels::{Crossover, Fire, Kernels};
pub use lm_head::lm_head;
pub use norm::{gated_rmsnorm, rmsnorm, swiglu};
pub use sample::{Sampling, SamplingError, sample};
pub use scan::{ScanParams, scan_chunk, scan_step};
pub use sparse_matmul::{dense_matvec, dequantise, sparse_matmul};
pub use window_attention::{Rotary, WindowShape, window_attention};
