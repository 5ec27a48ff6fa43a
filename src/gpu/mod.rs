//! The network on the GPU, by wgpu: Vulkan, Metal and DirectX 12 natively, WebGPU in a browser. The kernels are in `shaders/`,
//! each the twin of the file of the same name in [`crate::cpu`].
//!
//! Everything is f32 and i32 and asks for no more than WebGPU's default limits.

mod burst;
mod capture;
mod device;
mod error;
mod forward;
mod kernels;
mod plan;
mod scratch;
mod state;
mod weights;

pub use burst::Burst;
pub use device::Device;
pub use error::GpuError;
pub use forward::{Activities, Gpu};
pub use scratch::{BURST, CHUNK};
pub use weights::{GpuModel, GpuModelBuilder};

#[cfg(test)]
mod twins;
