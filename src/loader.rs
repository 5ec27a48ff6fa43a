//! A model from files that come one by one, as a download brings them: small files first, then the weights as a stream.

use std::collections::HashMap;

use crate::chat::{ChatError, ChatFiles, ChatFormat};
use crate::config::Config;
use crate::format::{FormatError, Manifest, ModelStream, Receiver, Tensor, TensorSpec, WEIGHTS, WeightsFile};
use crate::gpu::{Device, GpuModelBuilder};
use crate::model::{Model, ModelBuilder};

/// The files of a model that say how it chats.
const CHAT_FILES: [&str; 3] = ["tokenizer.json", "tokenizer_config.json", "generation_config.json"];

/// The largest of the small files, in bytes.
const MAX_FILE: usize = 64 << 20;

/// The largest `config.json`, in bytes.
const MAX_CONFIG: usize = 1 << 20;

/// Why a model was refused while its files came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file that is not what the format asks for.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A file on chatting that is not right.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// Something that must come before something else.
    #[error("{0} must come first; fetch it before this file")]
    Order(&'static str),
    /// A manifest after files that it could have vouched for, or a second one.
    #[error("manifest.json came after other files, which were not checked against it; begin again with it")]
    LateManifest,
    /// A file that loading does not need.
    #[error("{0:?} is not a file that a model is loaded from")]
    UnknownFile(String),
    /// A small file that is not small.
    #[error("{file}: {found} bytes, expected at most {most}")]
    TooLarge {
        /// Its name.
        file: String,
        /// Its size.
        found: usize,
        /// The largest that is read.
        most: usize,
    },
}

/// A network's weights, all of them, where they were wanted.
#[derive(Debug)]
pub enum Weights {
    /// In main memory.
    Memory(Box<Model>),
    /// On their way to a GPU's memory: whether it took them is told when [`GpuModelBuilder::build`] makes a model of them.
    Gpu {
        /// All tensors.
        builder: Box<GpuModelBuilder>,
        /// The model's identity ([`crate::format::identity`]).
        sha256: [u8; 32],
    },
}

impl Weights {
    /// The model, if it is in main memory.
    pub fn into_model(self) -> Option<Model> {
        match self {
            Self::Memory(model) => Some(*model),
            Self::Gpu { .. } => None,
        }
    }
}

/// Gathers [`Weights`].
#[derive(Debug)]
enum Builder {
    Memory(Box<ModelBuilder>),
    Gpu(Box<GpuModelBuilder>),
}

impl Receiver for Builder {
    fn receive(&mut self, spec: &TensorSpec, tensor: Tensor) {
        match self {
            Self::Memory(builder) => builder.receive(spec, tensor),
            Self::Gpu(builder) => builder.receive(spec, tensor),
        }
    }
}

/// A model, and how it chats if it can.
#[derive(Debug)]
pub struct Loaded {
    /// The network.
    pub weights: Weights,
    /// Its tokenizer and template; `None` where none of their files came.
    pub chat: Option<ChatFormat>,
}

/// Takes a model's files in this order: `manifest.json` if there is one, the small files, the weights.
///
/// Where there is a manifest, a file that it does not list is refused, and so is a byte that it does not vouch for.
#[derive(Debug, Default)]
pub struct Loader {
    manifest: Option<Manifest>,
    config: Option<Config>,
    files: HashMap<String, Vec<u8>>,
    /// How it chats, from when the weights begin.
    chat: Option<ChatFormat>,
    /// Whether nobody wants to know how it chats.
    mute: bool,
    /// Where the weights go, if not to main memory.
    device: Option<Device>,
    stream: Option<ModelStream<Builder>>,
}

impl Loader {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves out how the model chats: its files are checked and forgotten, for who knows it already.
    pub fn mute(mut self) -> Self {
        self.mute = true;
        self
    }

    /// Takes a small file whole.
    pub fn file(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), LoadError> {
        let most = if name == "config.json" { MAX_CONFIG } else { MAX_FILE };
        if bytes.len() > most {
            return Err(LoadError::TooLarge { file: name.into(), found: bytes.len(), most });
        }
        if name == "manifest.json" {
            return self.take_manifest(&bytes);
        }
        if name != "config.json" && !CHAT_FILES.contains(&name) {
            return Err(LoadError::UnknownFile(name.into()));
        }
        if let Some(manifest) = &self.manifest {
            manifest.file(name).ok_or_else(|| FormatError::NotListed(name.into()))?.verify(&bytes)?;
        }
        if name == "config.json" {
            self.config = Some(Config::parse(&bytes).map_err(FormatError::from)?);
        } else if !self.mute {
            self.files.insert(name.into(), bytes);
        }
        Ok(())
    }

    /// The network's shape, once `config.json` has come.
    pub fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// Has the weights go to a GPU's memory tensor by tensor as they come, so that main memory never has more than one of
    /// them. Those that have begun stay where they are.
    pub fn onto(&mut self, device: &Device) {
        self.device = Some(device.clone());
    }

    /// Begins `model.safetensors`, or the next piece of it: a file of `file_bytes` bytes.
    ///
    /// Pieces come in order. Without a manifest nobody knows how many there are, so they need one.
    pub fn weights(&mut self, name: &str, file_bytes: u64) -> Result<(), LoadError> {
        if self.manifest.as_ref().is_some_and(|manifest| manifest.file(name).is_none()) {
            return Err(FormatError::NotListed(name.into()).into());
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            empty => {
                let config = self.config.clone().ok_or(LoadError::Order("config.json"))?;
                let files = match &self.manifest {
                    Some(manifest) => manifest.weights().into_iter().cloned().map(WeightsFile::Listed).collect(),
                    None if name != WEIGHTS => return Err(LoadError::Order("manifest.json")),
                    None => vec![WeightsFile::Unlisted { name: name.into(), bytes: file_bytes }],
                };
                // What is wrong is said before the large files come.
                self.chat = chat_format(&self.files, config.vocab_size)?;
                if self.chat.is_some() {
                    // A large vocabulary's file would else lie beside the weights until the last of them is there.
                    self.files = HashMap::new();
                }
                let builder = match &self.device {
                    Some(device) => Builder::Gpu(Box::new(GpuModelBuilder::new(device, config.clone()))),
                    None => Builder::Memory(Box::new(ModelBuilder::new(config.clone()))),
                };
                empty.insert(ModelStream::into(builder, &config, files))
            }
        };
        Ok(stream.begin(name, file_bytes)?)
    }

    /// Takes the next bytes of the file that [`Loader::weights`] began.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        let stream = self.stream.as_mut().ok_or(LoadError::Order("the size of model.safetensors"))?;
        Ok(stream.push(bytes)?)
    }

    fn take_manifest(&mut self, json: &[u8]) -> Result<(), LoadError> {
        let others = self.config.is_some() || !self.files.is_empty() || self.stream.is_some();
        if others || self.manifest.is_some() {
            return Err(LoadError::LateManifest);
        }
        self.manifest = Some(Manifest::parse(json)?);
        Ok(())
    }

    /// The model, after the last byte.
    pub fn finish(mut self) -> Result<Loaded, LoadError> {
        let stream = self.stream.take().ok_or(LoadError::Order("model.safetensors"))?;
        let weights = match stream.close()? {
            (Builder::Memory(builder), sha256) => Weights::Memory(Box::new(builder.build(sha256)?)),
            (Builder::Gpu(builder), sha256) => Weights::Gpu { builder, sha256 },
        };
        let vocab_size = self.config.as_ref().ok_or(LoadError::Order("config.json"))?.vocab_size;
        let chat = match self.chat {
            Some(chat) => Some(chat),
            None => chat_format(&self.files, vocab_size)?,
        };
        Ok(Loaded { weights, chat })
    }
}

/// How a model chats, from its files; `None` where none of them is there.
fn chat_format(files: &HashMap<String, Vec<u8>>, vocab_size: usize) -> Result<Option<ChatFormat>, LoadError> {
    if files.is_empty() {
        return Ok(None);
    }
    let file = |name| files.get(name).map(Vec::as_slice).ok_or(LoadError::Order(name));
    let files = ChatFiles {
        tokenizer: file("tokenizer.json")?,
        tokenizer_config: file("tokenizer_config.json")?,
        generation_config: file("generation_config.json")?,
    };
    Ok(Some(ChatFormat::parse(files, vocab_size)?))
}
