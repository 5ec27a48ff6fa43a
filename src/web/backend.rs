//! Every kind of hardware that an engine can run on is chosen here, and why is said.

use std::sync::Arc;

use serde::Serialize;
use wasm_bindgen::JsError;

use crate::config::Config;
use crate::cpu::{Cpu, Kernels};
use crate::engine::Engine;
use crate::gpu::{CHUNK, Device, Gpu, GpuError, GpuModelBuilder};
use crate::loader::Weights;
use crate::model::Model;

/// `Backend` of `types.ts`: what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    Auto,
    Cpu,
    WebGpu,
}

impl Backend {
    /// Its name in JavaScript.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::WebGpu => "webgpu",
        }
    }

    /// By its name in JavaScript.
    pub fn parse(name: &str) -> Result<Self, JsError> {
        match name {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "webgpu" => Ok(Self::WebGpu),
            other => Err(JsError::new(&format!("{other:?} is not a backend; choose auto, cpu or webgpu"))),
        }
    }
}

/// `BackendChoice` of `types.ts`: what runs a model, and why.
#[derive(Debug, Clone, Serialize)]
pub(super) struct BackendChoice {
    device: &'static str,
    pub(super) name: String,
    pub(super) why: String,
}

/// An engine, and why it is this one.
pub(super) type Chosen = (Engine, BackendChoice);

/// What is to run a model, and why: settled before its weights come, so that they go where they are needed.
#[derive(Debug)]
pub(super) enum Place {
    Cpu(String),
    Gpu(Device, &'static str),
}

impl Place {
    /// For a model of this shape.
    pub async fn choose(backend: Backend, config: &Config) -> Result<Self, GpuError> {
        match backend {
            Backend::Cpu => Ok(Self::Cpu("the CPU was asked for".into())),
            // Where there is no WebGPU, whoever asks for it must be told.
            Backend::WebGpu => Ok(Self::Gpu(Device::open(config).await?, "WebGPU was asked for")),
            Backend::Auto => Ok(match Device::open(config).await {
                Ok(device) if !device.is_software() => Self::Gpu(device, "WebGPU offers a GPU"),
                Ok(device) => Self::Cpu(format!("WebGPU's only adapter, {}, is a CPU that plays a GPU", device.name())),
                // Why not is a list of what natively there might be.
                Err(GpuError::NoAdapter(_)) => Self::Cpu("WebGPU offers no GPU here".into()),
                Err(error) => Self::Cpu(format!("WebGPU could not be used ({error})")),
            }),
        }
    }

    /// The GPU, if that is it.
    pub fn device(&self) -> Option<&Device> {
        match self {
            Self::Cpu(_) => None,
            Self::Gpu(device, _) => Some(device),
        }
    }

    /// Gives back what a GPU has of a model that came to nothing now, not when the garbage is collected.
    pub fn abandon(&self) {
        if let Some(device) = self.device() {
            device.destroy();
        }
    }

    /// The engine, with weights that went here.
    pub async fn engine(self, weights: Weights) -> Result<Chosen, GpuError> {
        match (self, weights) {
            (Self::Cpu(why), Weights::Memory(model)) => Ok(on_cpu(*model, why)),
            (Self::Gpu(device, why), Weights::Gpu { builder, sha256 }) => on_gpu(device, *builder, sha256, why).await,
            _ => Err(GpuError::Fault("the weights went elsewhere".into())),
        }
    }
}

fn on_cpu(model: Model, why: String) -> Chosen {
    let cpu = Cpu::new(Arc::new(model), Kernels::best());
    let choice = BackendChoice { device: "cpu", name: format!("the CPU, {}", cpu.kernels()), why };
    (cpu.into(), choice)
}

async fn on_gpu(device: Device, builder: GpuModelBuilder, sha256: [u8; 32], why: &str) -> Result<Chosen, GpuError> {
    let gpu = async { Gpu::new(builder.build(sha256).await?).await }.await;
    if gpu.is_err() {
        // What has come is given back now, not when the garbage is collected.
        device.destroy();
    }
    let (gpu, mut why) = (gpu?, why.to_owned());
    if gpu.chunk() < CHUNK {
        why.push_str(&format!(", whose memory is short, so it takes {} tokens at a time", gpu.chunk()));
    }
    let choice = BackendChoice { device: "webgpu", name: format!("the GPU, {}", device.name()), why };
    Ok((gpu.into(), choice))
}
