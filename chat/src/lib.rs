//! Text on one side, tokens on the other: tokenizer, chat template, and the stream of text that a reply becomes.
//!
//! A crate of its own, which `mar` shows as `mar::chat`: in the web build it is compiled for size, unlike the kernels.

mod files;
mod outline;
mod stop;
mod stream;
mod template;

pub use files::{ChatError, ChatFiles, ChatFormat, Generation};
pub use stop::StopStrings;
pub use stream::TextStream;
pub use template::{Piece, Template};

use serde::{Deserialize, Serialize};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sets the scene.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name in chats and templates.
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// One turn of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A turn of the person's.
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: Role::User, content: content.into() }
    }

    /// A turn of the model's.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self { role: Role::Assistant, content: content.into() }
    }
}
