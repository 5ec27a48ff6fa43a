//! `cargo xtask soak`: a long chat with random actions and faults, in headless Chromium, the same for the same seed.

use anyhow::Result;
use clap::Args;

use crate::run::step;
use crate::test::playwright;

/// `cargo xtask soak`
#[derive(Args)]
pub struct Soak {
    /// Answers to ask for
    #[arg(long, default_value_t = 200)]
    turns: u32,
    /// What decides the actions
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// Show the browser
    #[arg(long)]
    headed: bool,
}

impl Soak {
    /// Runs it; every action is printed.
    pub fn run(&self) -> Result<()> {
        step(&format!("soak: {} turns, seed {}", self.turns, self.seed), || {
            playwright(|playwright| {
                // A seed that fails has said what it has to say.
                playwright.args(["soak.spec.ts", "--retries", "0"]).args(self.headed.then_some("--headed"));
                playwright.env("MAR_SOAK_TURNS", self.turns.to_string()).env("MAR_SOAK_SEED", self.seed.to_string());
            })
        })
    }
}
