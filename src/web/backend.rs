//! Every kind of hardware that an engine can run on is chosen here, and why is said.

use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use wasm_bindgen::JsError;

use crate::cpu::{Cpu, Kernels};
use crate::engine::Engine;
use crate::gpu::{Device, Gpu, GpuError, GpuModel};
use crate::model::Model;

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
pub(super) fn choose(backend: &str, model: Model) -> Pin<Box<dyn Future<Output = Result<Chosen, JsError>> + '_>> {
    Box::pin(choose_now(backend, model))
}

async fn choose_now(backend: &str, model: Model) -> Result<Chosen, JsError> {
    match backend {
        "cpu" => Ok(on_cpu(model, "the CPU was asked for".into())),
        "webgpu" => {
            let device = Device::open(&model.config).await?;
            Ok(on_gpu(&device, &model, "WebGPU was asked for").await?)
        }
        "auto" => {
            let why = match Device::open(&model.config).await {
                Ok(device) if !device.is_software() => match on_gpu(&device, &model, "WebGPU offers a GPU").await {
                    Ok(chosen) => return Ok(chosen),
                    Err(error) => format!("WebGPU's {} did not take the model ({error})", device.name()),
                },
                Ok(device) => format!("WebGPU's only adapter, {}, is a CPU that plays a GPU", device.name()),
                // Why not is a list of what natively there might be.
                Err(GpuError::NoAdapter(_)) => "WebGPU offers no GPU here".into(),
                Err(error) => format!("WebGPU could not be used ({error})"),
            };
            Ok(on_cpu(model, why))
        }
        other => Err(JsError::new(&format!("{other:?} is not a backend; choose auto, cpu or webgpu"))),
    }
}

fn on_cpu(model: Model, why: String) -> Chosen {
    let cpu = Cpu::new(Arc::new(model), Kernels::best());
    let choice = BackendChoice { device: "cpu", name: format!("the CPU, {}", cpu.kernels()), why };
    (cpu.into(), choice)
}

async fn on_gpu(device: &Device, model: &Model, why: &str) -> Result<Chosen, GpuError> {
    let gpu = Gpu::new(GpuModel::upload(device, model).await?).await?;
    let choice = BackendChoice { device: "webgpu", name: format!("the GPU, {}", device.name()), why: why.into() };
    Ok((gpu.into(), choice))
}
