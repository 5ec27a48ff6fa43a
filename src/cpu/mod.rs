//! The network on the CPU. One file a kernel, each the twin of the shader of the same name: plain loops that read like the
//! formulas of `models/FORMAT.md`. [`forward`] puts them together.

mod batch;
mod conv1d;
mod embed;
mod fire;
mod forward;
mod kernels;
mod lm_head;
mod norm;
mod scan;
mod sparse_matmul;
mod window_attention;

pub use batch::SpikeBatch;
pub use conv1d::conv1d;
pub use embed::embed;
pub use fire::{fire, spike_train};
pub use forward::{Cpu, Logits, Observer};
pub use kernels::Kernels;
pub use lm_head::lm_head;
pub use norm::{gated_rmsnorm, rmsnorm, swiglu};
pub use scan::{ScanParams, scan_chunk, scan_step};
pub use sparse_matmul::sparse_matmul;
pub use window_attention::{Rotary, WindowShape, window_attention};

/// `x / (1 + e^-x)`.
#[inline]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + (-x).exp())
}

/// `ln(1 + e^x)`, without overflow.
#[inline]
pub fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
