//! Every kind of hardware that an engine can run on is chosen here, and why is said.

use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use wasm_bindgen::JsError;

use crate::cpu::{Cpu, Kernels};
use crate::engine::Engine;
use crate::gpu::{CHUNK, Device, Gpu, GpuError, GpuModel};
use crate::model::Model;

/// `Backend` of `types.ts`: what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    Auto,
    Cpu,
    WebGpu,
}

impl Backend {
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
type Chosen = (Engine, BackendChoice);

/// An engine of `model` on what was asked for. In a box, so that its code is there once for all who choose.
pub(super) fn choose(backend: Backend, model: Model) -> Pin<Box<dyn Future<Output = Result<Chosen, GpuError>>>> {
    Box::pin(choose_now(backend, model))
}

async fn choose_now(backend: Backend, model: Model) -> Result<Chosen, GpuError> {
    match backend {
        Backend::Cpu => Ok(on_cpu(model, "the CPU was asked for".into())),
        Backend::WebGpu => {
            let device = Device::open(&model.config).await?;
            match on_gpu(device, &model, "WebGPU was asked for").await {
                Ok(chosen) => Ok(chosen),
                // Where there is no WebGPU, whoever asks for it must be told. Where it fails, there is a reply nevertheless.
                Err(error) => match error.trouble() {
                    Some(why) => Ok(on_cpu(model, format!("{why} while the model was loaded"))),
                    None => Err(error),
                },
            }
        }
        Backend::Auto => {
            let why = match Device::open(&model.config).await {
                Ok(device) if !device.is_software() => {
                    let name = device.name().to_owned();
                    match on_gpu(device, &model, "WebGPU offers a GPU").await {
                        Ok(chosen) => return Ok(chosen),
                        Err(error) => format!("WebGPU's {name} did not take the model ({error})"),
                    }
                }
                Ok(device) => format!("WebGPU's only adapter, {}, is a CPU that plays a GPU", device.name()),
                // Why not is a list of what natively there might be.
                Err(GpuError::NoAdapter(_)) => "WebGPU offers no GPU here".into(),
                Err(error) => format!("WebGPU could not be used ({error})"),
            };
            Ok(on_cpu(model, why))
        }
    }
}

fn on_cpu(model: Model, why: String) -> Chosen {
    let cpu = Cpu::new(Arc::new(model), Kernels::best());
    let choice = BackendChoice { device: "cpu", name: format!("the CPU, {}", cpu.kernels()), why };
    (cpu.into(), choice)
}

/// On `device`; where that is lost meanwhile, on the one that is opened then.
async fn on_gpu(mut device: Device, model: &Model, why: &str) -> Result<Chosen, GpuError> {
    let gpu = match upload(&device, model).await {
        Err(error) if error.ends_device() => {
            device = Device::open(&model.config).await?;
            upload(&device, model).await?
        }
        other => other?,
    };
    let mut why = why.to_owned();
    if gpu.chunk() < CHUNK {
        why.push_str(&format!(", whose memory is short, so it takes {} tokens at a time", gpu.chunk()));
    }
    let choice = BackendChoice { device: "webgpu", name: format!("the GPU, {}", device.name()), why };
    Ok((gpu.into(), choice))
}

async fn upload(device: &Device, model: &Model) -> Result<Gpu, GpuError> {
    let gpu = async { Gpu::new(GpuModel::upload(device, model).await?).await }.await;
    if gpu.is_err() {
        // What has come is given back now, not when the garbage is collected.
        device.destroy();
    }
    gpu
}
