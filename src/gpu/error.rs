//! Why the GPU did not do what was asked, as sentences for a person.

/// A failure of the GPU backend. After [`GpuError::Lost`] the device is gone for good; a session goes on from its last
/// checkpoint on another one ([`crate::session::Session::recover`]).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No adapter at all.
    #[error(
        "no GPU was found ({0}); use the CPU backend, or install a Vulkan driver \
         (Debian: apt-get install mesa-vulkan-drivers libvulkan1, which also runs without a GPU)"
    )]
    NoAdapter(String),
    /// An adapter that cannot run the kernels.
    #[error("the GPU {adapter} offers {available} {limit}, and this needs {needed}; use the CPU backend")]
    TooSmall {
        /// The adapter's name.
        adapter: String,
        /// Which of its limits.
        limit: &'static str,
        /// What the model needs of it.
        needed: u64,
        /// What the adapter has.
        available: u64,
    },
    /// The driver refused the device.
    #[error("the GPU's driver refused to open it: {0}")]
    Refused(String),
    /// Not enough memory.
    #[error(
        "the GPU is out of memory: {what} did not fit ({bytes} bytes asked for); use the CPU backend or a smaller model"
    )]
    OutOfMemory {
        /// What was being allocated.
        what: String,
        /// Bytes asked for.
        bytes: u64,
    },
    /// The device is gone: unplugged, reset by its driver, or destroyed.
    #[error("the GPU was lost ({0}); load the model again, on the CPU if this happens again")]
    Lost(String),
    /// A mistake in this program that the driver has caught.
    #[error("the GPU's driver found a fault in the program: {0}")]
    Fault(String),
    /// More is watched than can be read back in one go.
    #[error(
        "what is watched takes {bytes} bytes for one pass, and the GPU gives buffers of at most {most}; \
         watch fewer sites, or use the CPU backend"
    )]
    Watch {
        /// Bytes of a pass's read-back.
        bytes: u64,
        /// Bytes of the largest buffer.
        most: u64,
    },
    /// An earlier call ended before the GPU's answer had come, so nobody knows how far its state is.
    #[error(
        "the GPU's last work was broken off, so its state is not that of the conversation; \
         prefill the conversation again, which goes on from the last place kept, or start a new one"
    )]
    Broken,
}

impl GpuError {
    /// Whether the device is of no more use, so that going on takes another engine.
    pub fn ends_device(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Fault(_))
    }

    /// What has happened, without advice: for who goes on with another engine and says so. `None` where that would not help.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Lost(words) => Some(format!("the GPU was lost ({words})")),
            Self::Fault(words) => Some(format!("the GPU failed ({words})")),
            Self::OutOfMemory { what, .. } => Some(format!("the GPU ran out of memory ({what} did not fit)")),
            _ => None,
        }
    }
}
