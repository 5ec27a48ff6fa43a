//! MAR: a spiking language model that runs natively and in the browser.
//!
//! The network is MAR (arXiv 2601.21503): Mamba-2 state space blocks, and ternary spiking neurons (ATMN) before every
//! projection, so that a projection adds the weight rows of the neurons that fired and reads no others.
//!
//! | symbol | in code | what |
//! |---|---|---|
//! | v | `vocab_size` | tokens |
//! | d | `d_model` | width of the residual stream |
//! | L | `n_layers` | layers |
//! | f | `d_ffn` | inner width of the feed-forward network |
//! | h, p | `n_heads`, `head_dim` | heads of the scan, and a head's width |
//! | i | `d_inner` | h · p |
//! | g, n | `n_groups`, `d_state` | groups of heads that share B and C, and their width |
//! | k, xbc | `d_conv`, `conv_dim` | taps and channels of the causal convolution, xbc = i + 2·g·n |
//! | W, S | `window`, `sinks` | last and first positions that the optional attention window sees |
//! | T | `steps` | micro-steps of a spike site |
//! | V | 1 / `inv_threshold` | a neuron's threshold |

pub mod config;
pub mod cpu;
pub mod energy;
pub mod engine;
pub mod format;
pub mod gpu;
pub mod loader;
pub mod math;
pub mod model;
pub mod probe;
pub mod reply;
pub mod session;
#[cfg(not(target_arch = "wasm32"))]
pub mod synth;
#[cfg(target_arch = "wasm32")]
pub mod web;

pub use mar_chat as chat;
