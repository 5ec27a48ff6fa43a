//! The engine as a user of the library sees it, on the models of this repository.

mod common;
mod golden;
mod robustness;
