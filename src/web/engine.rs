//! Loading, and what a loaded model offers.

use std::ops::ControlFlow;

use js_sys::Function;
use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_time::Instant;

use super::aside;
use super::backend::{Backend, Chosen, Place};
use super::chat;
use super::dials::Dials;
use super::listener::Listener;
use super::rescue::{Rescue, Spare};
use super::to_js;
use crate::chat::{ChatFormat, Message};
use crate::config::Site;
use crate::cpu::Sampling;
use crate::gpu::GpuError;
use crate::loader::{LoadError, Loaded, Loader};
use crate::session::Session;

/// Takes a model's files: `manifest.json` first, if there is one, then the small files, then the weights,
/// whole or in pieces, each file in parts of any size. Before the weights it is said what is to run the model.
#[wasm_bindgen]
#[derive(Debug, Default)]
pub struct ModelLoader {
    files: Loader,
    /// What was asked for, and what that means here.
    place: Option<(Backend, Place)>,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

#[wasm_bindgen]
impl ModelLoader {
    /// A loader that has seen nothing.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// A loader of a model that was loaded before: how it chats is known.
    pub fn again() -> Self {
        Self { files: Loader::new().mute(), place: None }
    }

    /// Takes a small file whole.
    pub fn file(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), JsError> {
        Ok(self.files.file(name, bytes)?)
    }

    /// Opens the hardware asked for, on which the weights go as they come: after `config.json`, before the weights.
    pub async fn place(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Backend")] backend: String,
    ) -> Result<(), JsError> {
        let backend = Backend::parse(&backend)?;
        let config = self.files.config().ok_or(LoadError::Order("config.json"))?;
        let place = Place::choose(backend, config).await?;
        if let Some(device) = place.device() {
            self.files.onto(device);
        }
        self.place = Some((backend, place));
        Ok(())
    }

    /// Begins `model.safetensors`, or the next piece of it, whose size in bytes must be known.
    pub fn weights(&mut self, name: &str, file_bytes: f64) -> Result<(), JsError> {
        // Beyond 2^53 a JavaScript number is not exact, and no file is that large.
        Ok(self.files.weights(name, file_bytes as u64)?)
    }

    /// Takes the next bytes of the file that has begun.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), JsError> {
        Ok(self.files.push(bytes)?)
    }

    /// Ends a load that came to nothing.
    pub fn abandon(self) {
        if let Some((_, place)) = &self.place {
            place.abandon();
        }
    }

    /// The engine, after the last byte. It tells `listener` of what happens while it works; where a GPU is lost, now or later, it
    /// asks `spare` for the model once more, for the hardware that is to go on.
    pub async fn finish(
        self,
        #[wasm_bindgen(unchecked_param_type = "Listener")] listener: Function,
        #[wasm_bindgen(unchecked_param_type = "(backend: Backend) => Promise<ModelLoader>")] spare: Function,
    ) -> Result<Engine, JsError> {
        let (loaded, asked, place) = self.settle()?;
        let spare = Spare(spare);
        let (engine, choice) = match place.engine(loaded.weights).await {
            Ok(chosen) => chosen,
            Err(error) => spare.instead(error, asked).await?,
        };
        let dials = Dials::new(engine.config());
        let rescue = Rescue::new(spare, Listener(listener), asked, choice);
        Ok(Engine { session: Session::new(engine), format: loaded.chat, dials, rescue })
    }
}

impl ModelLoader {
    /// What runs the model, after the last byte.
    pub(super) async fn engine(self) -> Result<Chosen, EngineError> {
        let (loaded, _, place) = self.settle()?;
        Ok(place.engine(loaded.weights).await?)
    }

    /// All that came, what was asked for, and what that means here.
    fn settle(self) -> Result<(Loaded, Backend, Place), LoadError> {
        let (asked, place) = self.place.ok_or(LoadError::Order("what is to run the model"))?;
        match self.files.finish() {
            Ok(loaded) => Ok((loaded, asked, place)),
            Err(error) => {
                place.abandon();
                Err(error)
            }
        }
    }
}

/// A model that is ready, with one conversation.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Engine {
    session: Session,
    /// `None` where the model came without a tokenizer.
    format: Option<ChatFormat>,
    dials: Dials,
    rescue: Rescue,
}

/// `Shape` of `types.ts`.
#[derive(Serialize)]
struct Shape<'a> {
    name: &'a str,
    n_layers: usize,
    d_model: usize,
    d_inner: usize,
    d_ffn: usize,
    vocab_size: usize,
    d_state: usize,
    n_heads: usize,
    window: usize,
    steps: [u32; 4],
    parameters: u64,
    weight_bytes: u64,
    state_bytes: usize,
    kv_bytes_per_token: usize,
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
        to_js(self.rescue.choice())
    }

    /// The network's shape.
    #[wasm_bindgen(unchecked_return_type = "Shape")]
    pub fn shape(&mut self) -> Result<JsValue, JsError> {
        let engine = self.session.engine();
        let config = engine.config();
        to_js(&Shape {
            name: &config.name,
            n_layers: config.n_layers,
            d_model: config.d_model,
            d_inner: config.d_inner(),
            d_ffn: config.d_ffn,
            vocab_size: config.vocab_size,
            d_state: config.d_state,
            n_heads: config.n_heads,
            window: config.window,
            steps: config.steps,
            parameters: config.parameters(),
            weight_bytes: config.weight_bytes(),
            state_bytes: engine.state_bytes(),
            // A key and a value in every layer.
            kv_bytes_per_token: 2 * 2 * config.d_model * config.n_layers,
        })
    }

    /// What may be turned and watched, also while the engine is busy.
    pub fn dials(&self) -> Dials {
        self.dials.clone()
    }

    /// Replies to a chat. What an earlier chat has in common with this one is not computed again. A reply that another engine
    /// has begun with the tokens `said` goes on behind them.
    #[wasm_bindgen(unchecked_return_type = "Reply")]
    pub async fn chat(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Message[]")] messages: JsValue,
        #[wasm_bindgen(unchecked_param_type = "ChatOptions")] options: JsValue,
        said: Vec<u32>,
    ) -> Result<JsValue, JsError> {
        let format = chats(&self.format)?;
        let messages: Vec<Message> = serde_wasm_bindgen::from_value(messages)?;
        let options: super::options::ChatOptions = serde_wasm_bindgen::from_value(options)?;
        let options = options.fill(&format.generation);
        let about = chat::About { format, dials: &self.dials, rescue: &mut self.rescue };
        chat::run(&mut self.session, about, &messages, &options, &said).await
    }

    /// Takes tokens of the conversation through the network once more, under the controls of now, and shows what is asked for.
    #[wasm_bindgen(unchecked_return_type = "Replayed")]
    pub async fn replay(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Replay")] replay: JsValue,
    ) -> Result<JsValue, JsError> {
        self.dials.apply(&mut self.session);
        aside::replay(&mut self.session, serde_wasm_bindgen::from_value(replay)?, &mut self.rescue).await
    }

    /// How good the network is at a text, under the controls of now. The conversation stays.
    #[wasm_bindgen(unchecked_return_type = "Loss")]
    pub async fn loss(&mut self, text: &str) -> Result<JsValue, JsError> {
        self.dials.apply(&mut self.session);
        let tokens = chats(&self.format)?.encode_text(text)?;
        aside::loss(&mut self.session, &tokens, &mut self.rescue).await
    }

    /// The conversation as bytes, for [`Engine::load`].
    pub async fn save(&mut self) -> Result<Vec<u8>, JsError> {
        loop {
            match self.session.to_bytes().await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => self.rescue.after(error, &mut self.session).await?,
            }
        }
    }

    /// Takes up a conversation of the same model.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), JsError> {
        Ok(self.session.load_bytes(bytes)?)
    }

    /// Forgets the conversation.
    pub fn reset(&mut self) {
        self.session.reset();
    }

    /// The likeliest token after each of `tokens`, from an empty state. The conversation stays.
    pub async fn choices(&mut self, tokens: &[u32]) -> Result<Vec<u32>, JsError> {
        Ok(self.session.choices(tokens).await?)
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

fn chats(format: &Option<ChatFormat>) -> Result<&ChatFormat, JsError> {
    format.as_ref().ok_or_else(|| JsError::new("this model has no tokenizer, so it cannot read text or chat"))
}
