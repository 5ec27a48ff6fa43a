//! What a template may use up. Everything that takes time or memory asks here first.

/// Steps that rendering a chat may take: an expression, a turn of a loop, or 64 bytes looked at, is one.
pub const MAX_STEPS: u64 = 1_000_000;

/// Bytes of all texts, lists and maps made while a chat is rendered, whether they are still there or not.
pub const MAX_BYTES: u64 = 8 << 20;

/// Expressions in expressions, blocks in blocks, macros in macros: each level needs some of the stack.
pub const MAX_NESTING: usize = 100;

/// Why a template is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is not written as templates are.
    #[error("line {line}: {what}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What was found.
        what: String,
    },
    /// Something that these values cannot do.
    #[error("{0}")]
    Value(String),
    /// What the template itself says by `raise_exception`.
    #[error("{0}")]
    Raised(String),
    /// It would run too long.
    #[error("it takes more than {MAX_STEPS} steps")]
    Steps,
    /// It would make too much.
    #[error("it makes more than {MAX_BYTES} bytes")]
    Bytes,
    /// It would need too much of the stack.
    #[error("it is nested deeper than {MAX_NESTING} levels")]
    Nesting,
}

/// A sentence about values as a [`Problem`].
pub fn wrong<T>(what: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Value(what.into()))
}

/// Counts down.
#[derive(Debug)]
pub struct Meter {
    steps: u64,
    bytes: u64,
}

impl Default for Meter {
    fn default() -> Self {
        Self { steps: MAX_STEPS, bytes: MAX_BYTES }
    }
}

impl Meter {
    /// Uses up steps.
    pub fn steps(&mut self, count: usize) -> Result<(), Problem> {
        self.steps = self.steps.checked_sub(count as u64).ok_or(Problem::Steps)?;
        Ok(())
    }

    /// Uses up the steps of looking at bytes.
    pub fn read(&mut self, bytes: usize) -> Result<(), Problem> {
        self.steps(1 + bytes / 64)
    }

    /// Whether so many bytes may be made: asked before something that is paid for when it is there.
    pub fn check(&self, bytes: usize) -> Result<(), Problem> {
        if self.bytes < bytes as u64 { Err(Problem::Bytes) } else { Ok(()) }
    }

    /// Uses up bytes, before they are made.
    pub fn make(&mut self, bytes: usize) -> Result<(), Problem> {
        self.bytes = self.bytes.checked_sub(bytes as u64).ok_or(Problem::Bytes)?;
        self.read(bytes)
    }
}
