//! What all commands share: the model, the backend, sampling and controls.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use mar::chat::{ChatFiles, ChatFormat};
use mar::cpu::{Cpu, Kernels, Sampling};
use mar::engine::Engine;
use mar::format::{self, ModelFile};
use mar::gpu::{Device, Gpu, GpuError, GpuModel};
use mar::model::Model;
use pollster::block_on;

use crate::Failure;
use crate::output::note;
use crate::progress::Progress;

/// Which code runs the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// A GPU where there is one, else the fast kernels of this CPU.
    Auto,
    /// The readable kernels.
    Reference,
    /// The fast kernels of this CPU.
    Cpu,
    /// The GPU, or a software one.
    Gpu,
}

/// The model and how it runs.
#[derive(Debug, Args)]
pub struct ModelArguments {
    /// A model directory, such as models/mar-smalltalk
    pub model: PathBuf,
    /// What runs the network
    #[arg(long, value_enum, default_value = "auto")]
    pub backend: Backend,
    /// λ: neurons fire at λ times their threshold, and are read out times λ
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    pub threshold_scale: f32,
    /// At most so many micro-steps at every spike site
    #[arg(long, default_value_t = 127, value_parser = clap::value_parser!(u32).range(1..=127))]
    pub max_steps: u32,
}

impl ModelArguments {
    /// Loads the model, under the controls asked for, and says on standard error what runs it.
    pub fn load(&self) -> Result<Engine, Failure> {
        let mut engine = self.engine(self.backend)?;
        note!("running on {}: {}", if engine.gpu().is_some() { "the GPU" } else { "the CPU" }, engine.name());
        let controls = engine.controls();
        controls.threshold_scale = self.threshold_scale;
        controls.max_steps = self.max_steps;
        Ok(engine)
    }

    /// The model on `backend`.
    pub fn engine(&self, backend: Backend) -> Result<Engine, Failure> {
        engine(Arc::new(model(&self.model)?), backend)
    }

    /// The model's tokenizer and template.
    pub fn chat_format(&self, vocab_size: usize) -> Result<ChatFormat, Failure> {
        chat_format(&self.model, vocab_size)
    }
}

/// The model in `directory`, read with a progress bar where somebody looks.
pub fn model(directory: &Path) -> Result<Model, Failure> {
    let mut progress = Progress::new("loading {bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
    Ok(format::open(directory, |read, size| progress.set(read, size))?)
}

/// A fresh conversation with `model` on the backend asked for.
pub fn engine(model: Arc<Model>, backend: Backend) -> Result<Engine, Failure> {
    let cpu = |kernels| Ok(Cpu::new(Arc::clone(&model), kernels).into());
    match backend {
        Backend::Reference => cpu(Kernels::REFERENCE),
        Backend::Cpu => cpu(Kernels::best()),
        Backend::Gpu => match gpu(&block_on(Device::open(&model.config))?, &model) {
            // Whoever asks for a GPU wants to know that there is none. One that is too small is no reason to be without a reply.
            Err(error @ GpuError::OutOfMemory { .. }) => {
                note!("not on the GPU: {error}");
                cpu(Kernels::best())
            }
            other => Ok(other?.into()),
        },
        Backend::Auto => match block_on(Device::open(&model.config)) {
            // A CPU that plays a GPU is slower than the CPU.
            Ok(device) if !device.is_software() => gpu(&device, &model).map_or_else(
                |error| {
                    note!("not on the GPU: {error}");
                    cpu(Kernels::best())
                },
                |gpu| Ok(gpu.into()),
            ),
            _ => cpu(Kernels::best()),
        },
    }
}

fn gpu(device: &Device, model: &Model) -> Result<Gpu, GpuError> {
    block_on(async { Gpu::new(GpuModel::upload(device, model).await?).await })
}

fn chat_format(directory: &Path, vocab_size: usize) -> Result<ChatFormat, Failure> {
    let read = |name| ModelFile::read(directory, name, 64 << 20).map(|file| file.bytes);
    let files = (read("tokenizer.json")?, read("tokenizer_config.json")?, read("generation_config.json")?);
    let files = ChatFiles { tokenizer: &files.0, tokenizer_config: &files.1, generation_config: &files.2 };
    Ok(ChatFormat::parse(files, vocab_size)?)
}

/// How replies are sampled. What is not given comes from the model's generation_config.json.
#[derive(Debug, Args)]
pub struct SamplingArguments {
    /// 0 takes the likeliest token every time
    #[arg(long)]
    pub temperature: Option<f32>,
    /// Keep the so many likeliest tokens; 0 keeps all
    #[arg(long, default_value_t = 0)]
    pub top_k: u32,
    /// Keep the likeliest tokens that together have this probability
    #[arg(long)]
    pub top_p: Option<f32>,
    /// Keep tokens at least this likely, as a fraction of the likeliest
    #[arg(long, default_value_t = 0.0)]
    pub min_p: f32,
    /// Make recent tokens less likely; 1 does not
    #[arg(long)]
    pub repetition_penalty: Option<f32>,
    /// The longest reply, in tokens
    #[arg(long)]
    pub max_tokens: Option<usize>,
    /// The same seed gives the same reply
    #[arg(long, default_value_t = 0)]
    pub seed: u32,
    /// Text that ends the reply; may be given several times
    #[arg(long)]
    pub stop: Vec<String>,
}

impl SamplingArguments {
    /// The settings, checked.
    pub fn sampling(&self, format: &ChatFormat) -> Result<Sampling, Failure> {
        let sampling = Sampling {
            temperature: self.temperature.or(format.generation.temperature).unwrap_or(0.0),
            top_k: self.top_k,
            top_p: self.top_p.or(format.generation.top_p).unwrap_or(1.0),
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty.or(format.generation.repetition_penalty).unwrap_or(1.0),
            seed: self.seed,
        };
        sampling.check()?;
        Ok(sampling)
    }

    /// The longest reply.
    pub fn max_tokens(&self, format: &ChatFormat) -> usize {
        self.max_tokens.or(format.generation.max_new_tokens).unwrap_or(256)
    }
}

fn positive(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(x) if x > 0.0 && x.is_finite() => Ok(x),
        _ => Err("give a number above 0".into()),
    }
}
