//! The engine as a user of the library sees it, on the models of this repository.

mod common;
mod energy;
mod golden;
mod gpu;
mod loader;
mod pieces;
mod robustness;
mod session;
mod synth;
