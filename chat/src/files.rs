//! The three files that say how a model chats, as Hugging Face lays them out.

use serde::Deserialize;
use tokenizers::models::bpe::BPE;
use tokenizers::{
    DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer, TokenizerImpl,
};

use super::{Message, Role, TextStream, outline, template};

/// The largest of the two small files, in bytes.
const MAX_CONFIG: usize = 1 << 20;

/// Why a model cannot chat, or a chat cannot become tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// A file that is too large, or not what its name says.
    #[error("{file}: {problem}")]
    File {
        /// Which.
        file: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The template does not render this chat.
    #[error("tokenizer_config.json: the chat template fails: {0}")]
    Template(String),
    /// The tokenizer does not take a text.
    #[error("the text cannot be tokenised: {0}")]
    Tokenizer(String),
}

/// A tokenizer whose model is known to be BPE. Where it may be any, the library makes JSON values of all tokens first: with
/// mar-smollm2-135m's that takes 18.5 MB instead of 10.4.
type BpeTokenizer = TokenizerImpl<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// The bytes of the three files.
#[derive(Debug, Clone, Copy)]
pub struct ChatFiles<'a> {
    /// `tokenizer.json`.
    pub tokenizer: &'a [u8],
    /// `tokenizer_config.json`.
    pub tokenizer_config: &'a [u8],
    /// `generation_config.json`.
    pub generation_config: &'a [u8],
}

/// `generation_config.json`: how the model is best sampled, and where it stops. Other keys are ignored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Generation {
    /// Any of these ends a reply.
    pub eos_token_id: Vec<u32>,
    /// Fills up rows of a batch; an engine with one conversation needs none.
    pub pad_token_id: Option<u32>,
    /// Of the softmax.
    pub temperature: Option<f32>,
    /// Nucleus sampling's mass.
    pub top_p: Option<f32>,
    /// Of recent tokens; 1 changes nothing.
    pub repetition_penalty: Option<f32>,
    /// The longest reply.
    pub max_new_tokens: Option<usize>,
}

#[derive(Deserialize)]
struct TokenizerConfig {
    chat_template: String,
}

/// A model's tokenizer, chat template and stop tokens.
#[derive(Debug, Clone)]
pub struct ChatFormat {
    tokenizer: Tokenizer,
    template: template::Template,
    /// Texts of the tokens that are not text.
    special: Vec<String>,
    /// How to sample, and where to stop.
    pub generation: Generation,
}

impl ChatFormat {
    /// Reads the files of a model with a vocabulary of `vocab_size`.
    pub fn parse(files: ChatFiles, vocab_size: usize) -> Result<Self, ChatError> {
        const CONFIG: &str = "tokenizer_config.json";
        const GENERATION: &str = "generation_config.json";
        outline::check(files.tokenizer, vocab_size).map_err(|problem| bad("tokenizer.json", problem))?;
        limit(CONFIG, files.tokenizer_config, MAX_CONFIG)?;
        limit(GENERATION, files.generation_config, MAX_CONFIG)?;
        let tokenizer: Tokenizer = BpeTokenizer::from_bytes(files.tokenizer)
            .map_err(|e| bad("tokenizer.json", format!("is not a tokenizer: {e}")))?
            .into();
        let tokens = tokenizer.get_vocab_size(true);
        if tokens > vocab_size {
            return Err(bad(
                "tokenizer.json",
                format!("has {tokens} tokens, but config.json's vocab_size is {vocab_size}"),
            ));
        }
        let config: TokenizerConfig =
            serde_json::from_slice(files.tokenizer_config).map_err(|e| bad(CONFIG, e.to_string()))?;
        let generation: Generation =
            serde_json::from_slice(files.generation_config).map_err(|e| bad(GENERATION, e.to_string()))?;
        for (key, ids) in
            [("eos_token_id", &generation.eos_token_id[..]), ("pad_token_id", generation.pad_token_id.as_slice())]
        {
            if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab_size) {
                let last = vocab_size - 1;
                return Err(bad(GENERATION, format!("{key} has {id}, but the vocabulary ends at {last}")));
            }
        }
        let mut special: Vec<String> = tokenizer
            .get_added_tokens_decoder()
            .into_values()
            .filter(|token| token.special && !token.content.is_empty())
            .map(|token| token.content)
            .collect();
        special.sort();
        let template = template::Template::parse(&config.chat_template)?;
        Ok(Self { tokenizer, template, special, generation })
    }

    /// A chat's tokens; with `reply`, up to where the model's next turn begins. Where the last turn is the model's own, `reply`
    /// leaves it open, so that what comes next goes on with it.
    ///
    /// Contents are tokenised apart from the template's text, with special tokens' texts defused, so that no message can
    /// pass for a turn of somebody else (`models/FORMAT.md`, "Chat").
    pub fn encode(&self, messages: &[Message], reply: bool) -> Result<Vec<u32>, ChatError> {
        let open = messages.len().checked_sub(1).filter(|&last| reply && messages[last].role == Role::Assistant);
        let mut pieces = self.template.render(messages, reply && open.is_none())?;
        if let Some(last) = open {
            let end = pieces.iter().rposition(|piece| *piece == template::Piece::Content(last));
            let end = end.ok_or_else(|| ChatError::Template("it leaves out the last message".into()))?;
            pieces.truncate(end + 1);
        }
        let mut tokens = Vec::new();
        for piece in pieces {
            let ids = match piece {
                template::Piece::Text(text) => self.encode_raw(&text)?,
                // The space at its end is the beginning of what comes next.
                template::Piece::Content(index) if open == Some(index) => {
                    self.encode_raw(&self.defuse(messages[index].content.trim_start()))?
                }
                template::Piece::Content(index) => self.encode_raw(&self.defuse(messages[index].content.trim()))?,
            };
            tokens.extend(ids);
        }
        Ok(tokens)
    }

    /// The tokens of plain text, without a template; special tokens' texts are text like any other.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>, ChatError> {
        self.encode_raw(&self.defuse(text))
    }

    /// Text from tokens that come one by one.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream::new(&self.tokenizer)
    }

    /// Whether a token ends a reply.
    pub fn ends(&self, token: u32) -> bool {
        self.generation.eos_token_id.contains(&token)
    }

    fn encode_raw(&self, text: &str) -> Result<Vec<u32>, ChatError> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(|e| ChatError::Tokenizer(e.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// `<|end|>` becomes `< end >`; a special token without bars loses its first character.
    fn defuse(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for special in &self.special {
            if text.contains(special.as_str()) {
                let harmless = special.replace('|', " ");
                let cut = special.char_indices().nth(1).map_or("", |(at, _)| &special[at..]);
                text = text.replace(special, if harmless == *special { cut } else { &harmless });
            }
        }
        text
    }
}

fn bad(file: &'static str, problem: String) -> ChatError {
    ChatError::File { file, problem }
}

fn limit(file: &'static str, bytes: &[u8], most: usize) -> Result<(), ChatError> {
    if bytes.len() <= most {
        return Ok(());
    }
    Err(bad(file, format!("has {} bytes, expected at most {most}", bytes.len())))
}
