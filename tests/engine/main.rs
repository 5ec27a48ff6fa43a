//! The engine as a user of the library sees it, on the models of this repository.

mod choices;
mod common;
mod endurance;
mod energy;
mod golden;
mod gpu;
mod loader;
mod losses;
mod pieces;
mod probe;
mod recovery;
mod robustness;
mod session;
mod synth;
