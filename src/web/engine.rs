//! Loading, and what a loaded model offers.

use std::ops::ControlFlow;
use std::sync::Arc;

use js_sys::Function;
use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_time::Instant;

use super::chat::{self, Listener};
use super::to_js;
use crate::chat::{ChatFormat, Message};
use crate::config::Site;
use crate::cpu::{Cpu, Kernels, Sampling};
use crate::gpu::{Device, Gpu, GpuError, GpuModel};
use crate::loader::{Loaded, Loader};
use crate::model::Model;
use crate::session::Session;

/// Takes a model's files: `manifest.json` first, if there is one, then the small files, then the weights,
/// whole or in pieces, each file in parts of any size.
#[wasm_bindgen]
#[derive(Debug, Default)]
pub struct ModelLoader(Loader);

#[wasm_bindgen]
impl ModelLoader {
    /// A loader that has seen nothing.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a small file whole.
    pub fn file(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), JsError> {
        Ok(self.0.file(name, bytes)?)
    }

    /// Begins `model.safetensors`, or the next piece of it, whose size in bytes must be known.
    pub fn weights(&mut self, name: &str, file_bytes: f64) -> Result<(), JsError> {
        // Beyond 2^53 a JavaScript number is not exact, and no file is that large.
        Ok(self.0.weights(name, file_bytes as u64)?)
    }

    /// Takes the next bytes of the file that has begun.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), JsError> {
        Ok(self.0.push(bytes)?)
    }

    /// The engine, after the last byte, on the hardware asked for.
    pub async fn finish(
        self,
        #[wasm_bindgen(unchecked_param_type = "Backend")] backend: String,
    ) -> Result<Engine, JsError> {
        let Loaded { model, chat } = self.0.finish()?;
        let (session, choice) = choose(&backend, model).await?;
        Ok(Engine { session, format: chat, choice })
    }
}

/// What runs a model, and why.
#[derive(Debug, Clone, Serialize)]
struct BackendChoice {
    device: &'static str,
    name: String,
    why: &'static str,
}

/// Every kind of hardware that an engine can run on is chosen here.
async fn choose(backend: &str, model: Model) -> Result<(Session, BackendChoice), JsError> {
    match backend {
        "cpu" => Ok(on_cpu(model, "the CPU was asked for")),
        "webgpu" => {
            let device = Device::open(&model.config).await?;
            Ok(on_gpu(&device, &model, "WebGPU was asked for").await?)
        }
        "auto" => match Device::open(&model.config).await {
            Ok(device) if !device.is_software() => match on_gpu(&device, &model, "there is a GPU").await {
                Ok(chosen) => Ok(chosen),
                Err(_) => Ok(on_cpu(model, "the model does not fit the GPU")),
            },
            Ok(_) => Ok(on_cpu(model, "the GPU here is a CPU that plays one")),
            Err(_) => Ok(on_cpu(model, "there is no GPU that WebGPU may use")),
        },
        other => Err(JsError::new(&format!("{other:?} is not a backend; choose auto, cpu or webgpu"))),
    }
}

fn on_cpu(model: Model, why: &'static str) -> (Session, BackendChoice) {
    let cpu = Cpu::new(Arc::new(model), Kernels::best());
    let choice = BackendChoice { device: "cpu", name: format!("the CPU, {}", cpu.kernels()), why };
    (Session::new(cpu), choice)
}

async fn on_gpu(device: &Device, model: &Model, why: &'static str) -> Result<(Session, BackendChoice), GpuError> {
    let gpu = Gpu::new(GpuModel::upload(device, model).await?).await?;
    let choice = BackendChoice { device: "webgpu", name: format!("the GPU, {}", device.name()), why };
    Ok((Session::new(gpu), choice))
}

/// A model that is ready, with one conversation.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Engine {
    session: Session,
    /// `None` where the model came without a tokenizer.
    format: Option<ChatFormat>,
    choice: BackendChoice,
}

#[derive(Serialize)]
struct ModelInfo<'a> {
    name: &'a str,
    vocab_size: usize,
    n_layers: usize,
    d_model: usize,
    d_ffn: usize,
}

/// `Measurement` of `web.d.ts`.
#[derive(Serialize)]
struct Measurement {
    backend: String,
    prefill_tokens_per_second: f64,
    decode_tokens_per_second: f64,
    active: f64,
    tokens: Vec<u32>,
}

#[wasm_bindgen]
impl Engine {
    /// What runs the model, and why.
    #[wasm_bindgen(unchecked_return_type = "BackendChoice")]
    pub fn backend(&self) -> Result<JsValue, JsError> {
        to_js(&self.choice)
    }

    /// The model's name and shape.
    #[wasm_bindgen(unchecked_return_type = "ModelInfo")]
    pub fn info(&mut self) -> Result<JsValue, JsError> {
        let config = self.session.engine().config();
        to_js(&ModelInfo {
            name: &config.name,
            vocab_size: config.vocab_size,
            n_layers: config.n_layers,
            d_model: config.d_model,
            d_ffn: config.d_ffn,
        })
    }

    /// Replies to a chat. What an earlier chat has in common with this one is not computed again.
    #[wasm_bindgen(unchecked_return_type = "ChatReply")]
    pub async fn chat(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Message[]")] messages: JsValue,
        #[wasm_bindgen(unchecked_param_type = "ChatOptions")] options: JsValue,
        #[wasm_bindgen(unchecked_param_type = "ChatListener")] listener: Function,
    ) -> Result<JsValue, JsError> {
        let format =
            self.format.as_ref().ok_or_else(|| JsError::new("this model has no tokenizer, so it cannot chat"))?;
        let messages: Vec<Message> = serde_wasm_bindgen::from_value(messages)?;
        let options: super::options::ChatOptions = serde_wasm_bindgen::from_value(options)?;
        let options = options.fill(&format.generation);
        chat::run(&mut self.session, format, &messages, &options, &Listener(listener)).await
    }

    /// Forgets the conversation.
    pub fn reset(&mut self) {
        self.session.reset();
    }

    /// Times a made-up prompt of `prompt` tokens and `tokens` greedy ones after it. The conversation is lost.
    #[wasm_bindgen(unchecked_return_type = "Measurement")]
    pub async fn measure(&mut self, prompt: u32, tokens: u32) -> Result<JsValue, JsError> {
        self.session.reset();
        let vocab_size = self.session.engine().config().vocab_size as u32;
        let ids: Vec<u32> = (0..prompt).map(|i| (u64::from(i) * 7919 % u64::from(vocab_size)) as u32).collect();
        let (mut prefill, mut decode) = (self.session.ledger(), self.session.ledger());
        let start = Instant::now();
        self.session.prefill(&ids, &mut prefill, |_, _| ControlFlow::Continue(())).await?;
        let prefilled = Instant::now();
        let mut decoded = Vec::new();
        for _ in 0..tokens {
            decoded.push(self.session.decode(&Sampling::default(), &mut decode).await?);
        }
        let seconds = prefilled.elapsed().as_secs_f64();
        let sites = (0..decode.layers()).flat_map(|layer| Site::ALL.map(|site| decode.active(layer, site)));
        to_js(&Measurement {
            backend: self.session.engine().name().into(),
            prefill_tokens_per_second: f64::from(prompt) / (prefilled - start).as_secs_f64(),
            decode_tokens_per_second: f64::from(tokens) / seconds,
            active: sites.sum::<f64>() / (4 * decode.layers()) as f64,
            tokens: decoded,
        })
    }
}
