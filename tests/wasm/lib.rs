//! The CPU's kernels by themselves, so that their tests (`src/cpu/simd/tests.rs`) run in WebAssembly too, where `isa.rs` has
//! instructions that no native test takes: the extremes of every integer type, and random products, each against the reference.
//!
//! `cargo test --package mar-wasm-tests --target wasm32-wasip1 simd`, in Node; `cargo xtask test rust` does it. For every other
//! target it is empty.
#![cfg(target_os = "wasi")]
#![allow(unused, reason = "these modules are parts of the engine, and the rest of it is not here")]

#[path = "../../src"]
mod engine {
    pub mod config;
    pub mod cpu;
    pub mod energy;
    pub mod format;
    pub mod math;
    pub mod model;
}

// Under the names by which they know each other.
pub use engine::*;
